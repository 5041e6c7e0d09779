"""What is no plain protobuf is read as Go reads it: vectors were made with google.golang.org/protobuf 1.34.2."""

from __future__ import annotations

import pytest
from fabric_protos.common import policies_pb2
from google.protobuf.any_pb2 import Any
from hypothesis import given
from hypothesis import strategies as st

from cloister.errors import MalformedInput
from cloister.fabric.decoding import decode_message
from cloister.fabric.transaction import is_well_formed
from cloister.fabric.wire_format import remarshalled
from cloister.testing.channel import Channel, new_answers_for
from cloister.testing.forge import rwset
from cloister.trusted.ledger.codes import Code

PLAIN = Any(type_url="a", value=b"b").SerializeToString()
TAG = b"\xf8\x80\x80\x80\x80\x00"
"""Of field 15, a varint, in six bytes where one would do."""
ODD = {
    "a tag of six bytes": TAG + b"\x01",
    "a known field under a long tag": b"\x8a\x80\x80\x80\x80\x80\x00\x01a",
    "a long length": b"\x0a\x81\x80\x80\x80\x80\x80\x80\x80\x80\x00a",
    "64 bits": b"\x78" + b"\xff" * 9 + b"\x01",
    "a group": b"\x7b" + TAG + b"\x01\x7c",
    "groups within groups": b"\x7b" * 200 + b"\x7c" * 200,
    "a known number of another type": b"\x08\x05",
}
REFUSED = {
    "65 bits": b"\x78" + b"\xff" * 9 + b"\x02",
    "eleven bytes": b"\x78" + b"\x80" * 10 + b"\x00",
    "number 0": b"\x00\x00",
    "a number that is too large": b"\x80\x80\x80\x80\x10\x00",
    "another group's end": b"\x7b\x74",
    "an end without a group": b"\x7c",
    "a group without an end": b"\x7b",
    "type 6": b"\x7e",
    "cut short": b"\x7a\x05abc",
    "a length of 64 bits": b"\x7a" + b"\xff" * 9 + b"\x01",
    "no UTF-8": b"\x0a\x01\xff",
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("before", [True, False])
def test_what_go_reads_is_read(odd: str, *, before: bool) -> None:
    encoded = ODD[odd] + PLAIN if before else PLAIN + ODD[odd]
    assert decode_message(Any(), encoded, "message") == Any(type_url="a", value=b"b")


@pytest.mark.parametrize("odd", REFUSED)
def test_what_go_refuses_is_refused(odd: str) -> None:
    with pytest.raises(MalformedInput):
        decode_message(Any(), PLAIN + REFUSED[odd], "message")


@given(st.binary(max_size=40))
def test_any_bytes_are_a_message_or_malformed(encoded: bytes) -> None:
    for read in (lambda: decode_message(Any(), encoded, "message"), lambda: remarshalled(encoded, 2)):
        try:
            read()
        except MalformedInput:
            continue


@pytest.mark.parametrize("depth", [50, 150, 5000, 200_000])
@pytest.mark.parametrize("odd", [b"", TAG + b"\x01"], ids=["plain", "odd"])
def test_e1_messages_within_messages_are_read_or_malformed(depth: int, odd: bytes) -> None:
    """Signature policies are recursive, and whoever runs a chaincode sets them for its keys."""
    policy = odd
    for _ in range(min(depth, 5000)):
        rule = b"\x12" + _length(policy) + policy
        policy = b"\x12" + _length(rule) + rule
    groups = b"\x7b" * depth + b"\x7c" * depth
    try:
        decode_message(policies_pb2.SignaturePolicy(), policy + (groups if depth > 5000 else b""), "policy")
    except MalformedInput:
        assert depth > 25


def _length(content: bytes) -> bytes:
    found, left = bytearray(), len(content)
    while left > 0x7F:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*found, left])


def test_an_envelope_is_well_formed_if_go_writes_it_as_it_was() -> None:
    assert is_well_formed(PLAIN)  # an Envelope has the same two fields
    for more in (b"\x78\x01", ODD["a group"], ODD["64 bits"], b"\x08\x05"):
        assert is_well_formed(PLAIN + more)
        assert not is_well_formed(more + PLAIN)
    assert not is_well_formed(PLAIN + ODD["a tag of six bytes"])
    assert not is_well_formed(PLAIN + REFUSED["65 bits"])


def test_e1_an_odd_envelope_stops_nobody_and_an_odd_transaction_gets_gos_verdict() -> None:
    """Any client can have them ordered: the orderer writes unknown fields as they came, but for their tags."""
    channel = Channel()
    channel.prepare()
    answers = new_answers_for(channel)
    for block in channel.blocks[1:]:
        answers.judge.follow(block)
    sound = channel.draft(("plain", rwset(writes=[("k", b"v")])), chaincode="plain")

    def with_data(more: bytes) -> bytes:
        encoded: bytes = sound.but(payload=lambda payload: setattr(payload, "data", payload.data + more)).build()
        return encoded

    envelopes = [
        sound.but().build() + ODD["a group"],
        with_data(ODD["a tag of six bytes"]),
        sound.build(),
        with_data(REFUSED["65 bits"]),
    ]
    verdict = answers.judge.follow(channel.add(*envelopes))
    assert verdict.codes == (Code.VALID, Code.VALID, Code.VALID, Code.INVALID_ENDORSER_TRANSACTION)
