"""Descriptors of key sets and sealed outcomes: signed, bound to their maker, one encoding, any bytes refused."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.errors import MalformedInput, Refused
from cloister.trusted.protocol.key_set import (
    KeySetDescriptor,
    parse_descriptor,
    sign_descriptor,
    succeeds,
    verify_descriptor,
)
from cloister.trusted.protocol.outcome import Outcome, SealedOutcome, decode_outcome, decode_sealed_outcome
from cloister.wire.framing import decode_frame, encode_frame

TAG_SIGNED = b"cloister/key-set-descriptor-signed/1"
MAKER, PREVIOUS = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
DESCRIPTOR = KeySetDescriptor(
    genesis_hash=bytes([1]) * 32,
    channel="channel",
    chaincode="auction",
    sequence=2,
    measurement=bytes([2]) * 32,
    key_set_id=bytes([3]) * 32,
    request_key=bytes(1216),
    result_key=bytes([4]) * 32,
    maker=bytes([5]) * 32,
)
SIGNED = sign_descriptor(DESCRIPTOR, MAKER, previous=PREVIOUS)


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def test_a_descriptor_is_verified_under_its_makers_key() -> None:
    for signed in (SIGNED, sign_descriptor(DESCRIPTOR, MAKER)):
        assert parse_descriptor(signed) == DESCRIPTOR
        assert verify_descriptor(signed, signing_key=public(MAKER), maker=DESCRIPTOR.maker) == DESCRIPTOR


def test_b9_another_key_another_maker_or_other_contents_are_refused() -> None:
    with pytest.raises(Refused):
        verify_descriptor(SIGNED, signing_key=public(PREVIOUS), maker=DESCRIPTOR.maker)
    with pytest.raises(Refused):
        verify_descriptor(SIGNED, signing_key=public(MAKER), maker=bytes(32))
    other = dataclasses.replace(DESCRIPTOR, request_key=bytes([9]) * 1216)
    spliced = SIGNED.replace(DESCRIPTOR.encode(), other.encode())
    assert spliced != SIGNED
    with pytest.raises(Refused):
        verify_descriptor(spliced, signing_key=public(MAKER), maker=DESCRIPTOR.maker)


def test_only_the_key_set_before_can_name_its_successor() -> None:
    assert succeeds(SIGNED, public(PREVIOUS))
    assert not succeeds(SIGNED, public(MAKER))
    assert not succeeds(sign_descriptor(DESCRIPTOR, MAKER), public(PREVIOUS))
    assert not succeeds(SIGNED, bytes(31))
    other = sign_descriptor(dataclasses.replace(DESCRIPTOR, sequence=3), MAKER, previous=PREVIOUS)
    assert not succeeds(SIGNED.replace(DESCRIPTOR.encode(), parse_descriptor(other).encode()), public(PREVIOUS))
    # the maker's own signature over the descriptor is none over the succession
    assert not succeeds(sign_descriptor(DESCRIPTOR, PREVIOUS, previous=MAKER), public(PREVIOUS))


def test_nobody_but_the_maker_takes_a_succession_away_or_puts_one_in() -> None:
    """Else one organisation could register an honest key set so that it never counts: the first registration stays."""
    fields = decode_frame(TAG_SIGNED, SIGNED, count=3)
    alone = decode_frame(TAG_SIGNED, sign_descriptor(DESCRIPTOR, MAKER), count=3)
    for body, signature, succession in ((*fields[:2], b""), (*fields[:2], bytes(64)), (*alone[:2], fields[2])):
        bent = encode_frame(TAG_SIGNED, (body, signature, succession))
        with pytest.raises(Refused):
            verify_descriptor(bent, signing_key=public(MAKER), maker=DESCRIPTOR.maker)


@pytest.mark.parametrize(
    "change", [{"genesis_hash": b""}, {"measurement": bytes(31)}, {"request_key": bytes(32)}, {"result_key": b""}]
)
def test_fields_of_another_length_are_malformed(change: dict[str, bytes]) -> None:
    values: dict[str, object] = dict(change)
    with pytest.raises(MalformedInput):
        parse_descriptor(sign_descriptor(dataclasses.replace(DESCRIPTOR, **values), MAKER))  # type: ignore[arg-type]


OUTCOMES = st.builds(Outcome, st.integers(0, 2**32 - 1), st.text(max_size=9), st.binary(max_size=9))
SEALED = st.builds(
    SealedOutcome,
    st.binary(max_size=9),
    st.binary(min_size=64, max_size=64),
    st.binary(min_size=1, max_size=9),
    st.binary(max_size=9),
)


@settings(max_examples=50, deadline=None)
@given(OUTCOMES, SEALED)
def test_outcomes_come_back(outcome: Outcome, sealed: SealedOutcome) -> None:
    assert decode_outcome(outcome.encode()) == outcome
    assert decode_sealed_outcome(sealed.encode()) == sealed


def test_an_outcomes_text_shows_no_secret() -> None:
    assert "secret" not in repr(Outcome(200, "secret", b"secret"))


@pytest.mark.parametrize("change", [{"ciphertext": b""}, {"signature": bytes(63)}])
def test_b10_outcomes_without_ciphertext_or_signature_are_malformed(change: dict[str, bytes]) -> None:
    sealed = dataclasses.replace(SealedOutcome(b"s", bytes(64), b"c", b"r"), **change)
    with pytest.raises(MalformedInput):
        decode_sealed_outcome(sealed.encode())


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_malformed(content: bytes) -> None:
    for parser in (parse_descriptor, decode_outcome, decode_sealed_outcome):
        with pytest.raises(MalformedInput):
            parser(content)
    with pytest.raises(MalformedInput):
        succeeds(content, public(PREVIOUS))


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_damaged_descriptors_and_outcomes_are_malformed_or_refused(data: st.DataObject) -> None:
    for genuine in (SIGNED, SealedOutcome(b"s", bytes(64), b"c", b"r").encode()):
        damaged = bytearray(genuine)
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
        content = bytes(damaged)
        with contextlib.suppress(MalformedInput):
            assert decode_sealed_outcome(content).encode() == content
        with contextlib.suppress(MalformedInput, Refused):
            verify_descriptor(content, signing_key=public(MAKER), maker=DESCRIPTOR.maker)
            assert not succeeds(content, public(PREVIOUS))  # only the succession itself was damaged
