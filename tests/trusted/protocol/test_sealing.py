"""State values: what is bound to them, and that equal ones never look equal."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace

import pytest

from cloister.errors import Refused
from cloister.trusted.protocol import sealing
from cloister.trusted.protocol.sealing import HEADER_BYTES, Place, SealedHeader, ValueCipher, read_header

KEY = os.urandom(32)
PLACE = Place(bytes(32), "channel", "chaincode")
HEADER = SealedHeader(b"k" * 32, "ab" * 32, b"s" * 32)


@pytest.mark.parametrize("key", ["k", "\0bid\0spring\0ann\0", "ключ", "k" * 300])
@pytest.mark.parametrize("value", [b"v", b"\0", bytes(255), os.urandom(70_000)])
def test_what_was_sealed_opens_under_its_stored_key(key: str, value: bytes) -> None:
    cipher = ValueCipher(KEY, PLACE)
    sealed = cipher.seal(HEADER, stored_key="stored", key=key, value=value)
    assert cipher.open(sealed, stored_key="stored") == (key, value)
    assert read_header(sealed) == HEADER
    with pytest.raises(Refused):
        cipher.open(sealed, stored_key="other")


def test_equal_values_look_different_wherever_anything_around_them_differs() -> None:
    """One key seals all of them, so nothing but nonce and associated data keeps them apart."""
    headers = [HEADER, replace(HEADER, transaction_id="cd" * 32), replace(HEADER, selector=b"t" * 32)]
    places = [PLACE, replace(PLACE, channel="other"), replace(PLACE, chaincode="other")]
    bodies = {
        ValueCipher(KEY, place).seal(header, stored_key=stored, key="k", value=b"v")[HEADER_BYTES:]
        for place, header, stored in itertools.product(places, headers, ("a", "b"))
    }
    assert len(bodies) == len(places) * len(headers) * 2
    assert len({body[:16] for body in bodies}) == len(bodies)


def test_sealing_again_gives_the_same_bytes() -> None:
    """All endorsers have to agree."""
    sealed = [ValueCipher(KEY, PLACE).seal(HEADER, stored_key="a", key="k", value=b"v") for _ in range(2)]
    assert sealed[0] == sealed[1]


def test_b6_even_places_that_meet_in_one_nonce_show_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two in 2^48 do; here all. A nonce that comes again is why it is GCM-SIV."""
    monkeypatch.setattr(sealing, "_nonces", lambda key: lambda associated: bytes(12))
    cipher = ValueCipher(KEY, PLACE)
    others = [replace(HEADER, selector=bytes([number]) * 32) for number in range(50)]
    bodies = [cipher.seal(header, stored_key="a", key="k", value=b"v")[HEADER_BYTES:] for header in others]
    blocks = [body[start : start + 16] for body in bodies for start in range(0, len(body), 16)]
    assert len(set(blocks)) == len(blocks)
    with pytest.raises(Refused):
        cipher.open(others[0].encode() + bodies[1], stored_key="a")
    assert cipher.open(others[1].encode() + bodies[1], stored_key="a") == ("k", b"v")
