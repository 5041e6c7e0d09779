"""The first block of PEM bytes is the one that Go's decoder finds: vectors were made with Go 1.26.8's encoding/pem."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.fabric.pem import first_pem_block, is_plain_certificate

ONE = b"-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"
TWO = b"-----BEGIN FOO-----\nREVG\n-----END FOO-----\n"
VECTORS: list[tuple[bytes, bytes | None]] = [
    (ONE, b"ABC"),
    (ONE[:-1], b"ABC"),
    (ONE.replace(b"\n", b"\r\n"), b"ABC"),
    (b"text\n" + ONE, b"ABC"),
    (b"text" + ONE, None),
    (ONE + b"text", b"ABC"),
    (TWO + ONE, b"DEF"),
    (ONE + TWO, b"ABC"),
    (b"-----BEGIN X-----\n!\n-----END X-----\n" + ONE, b"ABC"),
    (b"-----BEGIN X-----\nQUJD\n-----END Y-----\n" + TWO, b"DEF"),
    (b"-----BEGIN X-----\n" + ONE, b"ABC"),
    (b"-----BEGIN X-----\nkey: value\n\nQUJD\n-----END X-----\n", b"ABC"),
    (b"-----BEGIN X-----\nkey: value\n-----END X-----\n" + ONE, b"ABC"),
    (b"-----BEGIN X-----\n-----END X-----\n" + ONE, b""),
    (b"-----BEGIN X-----\nQUI\n-----END X-----\n" + ONE, b"ABC"),
    (b"-----BEGIN X-----\nQQ==QQ==\n-----END X-----\n" + ONE, b"ABC"),
    (b"-----BEGIN X-----\nQ U\tJ\nD\n-----END X-----  \n", b"ABC"),
    (b"-----BEGIN X-----\nQUJD\n-----END X-----x\n" + TWO, b"DEF"),
    (b"-----BEGIN FOO-----\n-----END X-----A: b\n" + TWO, None),
    (b"-----BEGIN X-----\n-----END " + ONE, b"ABC"),
    (b"", None),
]


@pytest.mark.parametrize(("pem", "content"), VECTORS)
def test_the_first_block_is_gos(pem: bytes, content: bytes | None) -> None:
    assert first_pem_block(pem) == content


def test_one_certificate_and_nothing_else_is_plain() -> None:
    assert is_plain_certificate(ONE)
    assert is_plain_certificate(ONE.replace(b"\n", b"\r\n"))
    assert is_plain_certificate(b"\n" + ONE + b"\n")
    others = [pem for pem, _ in VECTORS if pem.strip().replace(b"\r", b"") != ONE.strip()]
    assert not [pem for pem in others if is_plain_certificate(pem)]


@given(st.lists(st.sampled_from([b"-----BEGIN ", b"\n-----END ", b"X", b"-----", b"\n", b": ", b"QUJD"])).map(b"".join))
def test_what_is_plain_is_read_as_it_stands_and_nothing_raises(pem: bytes) -> None:
    found = first_pem_block(pem)
    assert found is None or isinstance(found, bytes)
