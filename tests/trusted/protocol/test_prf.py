"""Vector: RFC 4231, test case 2 (HMAC-SHA-256)."""

from __future__ import annotations

import pytest

from cloister.trusted.protocol.prf import Prf

EXPECTED = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


@pytest.mark.parametrize("size", [12, 16, 32])
def test_it_is_hmac_sha256_cut_short_however_often_it_is_asked(size: int) -> None:
    prf = Prf(b"Jefe", size)
    assert [prf(b"what do ya want for nothing?").hex() for _ in range(2)] == [EXPECTED[: 2 * size]] * 2
