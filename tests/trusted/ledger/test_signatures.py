"""Signatures as Fabric reads them: what Go forgives is forgiven, high S is not."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from cloister.fabric.der import INTEGER, SEQUENCE, encode_element
from cloister.trusted.ledger.signatures import to_low_s, verify_signature

KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = KEY.public_key()
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
MESSAGE = b"message"


def low_s(message: bytes = MESSAGE) -> bytes:
    r, s = decode_dss_signature(KEY.sign(message, ec.ECDSA(hashes.SHA256())))
    return encode_dss_signature(r, min(s, ORDER - s))


def test_low_s_holds_and_its_twin_does_not() -> None:
    signature = low_s()
    r, s = decode_dss_signature(signature)
    high = encode_dss_signature(r, ORDER - s)
    assert verify_signature(PUBLIC, MESSAGE, signature)
    assert not verify_signature(PUBLIC, MESSAGE, high)
    assert to_low_s(high, "secp256r1") == signature
    assert not verify_signature(PUBLIC, b"another", signature)


def test_bytes_after_the_sequence_and_elements_after_s_are_forgiven_as_go_does() -> None:
    signature = low_s()
    r, s = decode_dss_signature(signature)
    body = b"".join(
        encode_element(INTEGER, number.to_bytes(33, "big").lstrip(b"\0").rjust(1, b"\0")) for number in (1,)
    )
    numbers = signature[2:]
    assert verify_signature(PUBLIC, MESSAGE, signature + b"\0\1\2")
    assert verify_signature(PUBLIC, MESSAGE, encode_element(SEQUENCE, numbers + body))
    assert not verify_signature(PUBLIC, MESSAGE, encode_element(SEQUENCE, numbers[: 2 + numbers[1]]))
    assert (r, s) == decode_dss_signature(signature)


def test_numbers_that_are_zero_negative_or_longer_than_need_be_are_refused() -> None:
    r, s = (number.to_bytes(33, "big") for number in decode_dss_signature(low_s()))
    for first, second in ((b"\0", s), (r, b"\0"), (b"\xff", s), (b"\0" + r, s), (r, b"\0\0" + s)):
        forged = encode_element(SEQUENCE, encode_element(INTEGER, first) + encode_element(INTEGER, second))
        assert not verify_signature(PUBLIC, MESSAGE, forged)


def test_ed25519_is_over_the_message_and_rsa_cannot_sign() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    assert verify_signature(key.public_key(), MESSAGE, key.sign(MESSAGE))
    assert not verify_signature(key.public_key(), b"another", key.sign(MESSAGE))
    assert not verify_signature(rsa.generate_private_key(65537, 2048).public_key(), MESSAGE, bytes(256))
    assert not verify_signature(None, MESSAGE, low_s())


@given(st.binary(max_size=160))
def test_any_bytes_are_no_signature_and_raise_nothing(signature: bytes) -> None:
    assert not verify_signature(PUBLIC, MESSAGE, signature)
    to_low_s(signature, "secp256r1")


@given(st.lists(st.tuples(st.integers(0, 75), st.integers(0, 255)), min_size=1, max_size=3))
def test_a_changed_signature_holds_only_where_go_looks_away(changes: list[tuple[int, int]]) -> None:
    """Whatever is accepted has the same numbers: nothing can be changed but what stands behind them."""
    signature = low_s()
    damaged = bytearray(signature + b"\0\0\0\0")
    for offset, value in changes:
        damaged[offset % len(damaged)] = value
    if verify_signature(PUBLIC, MESSAGE, bytes(damaged)):
        assert bytes(damaged)[: len(signature)] == signature
