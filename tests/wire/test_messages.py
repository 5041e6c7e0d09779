"""Messages between host and enclave: round trip, strict decoding, bounded frames."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.errors import MalformedInput
from cloister.wire.messages import (
    EnclaveMessage,
    GetRange,
    HostMessage,
    ImportKeys,
    Invoke,
    LedgerReplied,
    OpenCommitted,
    Provision,
    Refusal,
    Result,
    RowsAnswer,
    Status,
    ValueAnswer,
    decode_enclave_message,
    decode_host_message,
    encode_enclave_message,
    encode_host_message,
)
from cloister.wire.stream import MAX_FRAME_BYTES, FrameBuffer, wrap_frame

text = st.text(max_size=12)
data = st.binary(max_size=24)
number = st.integers(min_value=0, max_value=2**64 - 1)
pairs = st.lists(st.tuples(text, data), max_size=4).map(tuple)
host_messages: st.SearchStrategy[HostMessage] = st.one_of(
    st.builds(Invoke, data),
    st.builds(ValueAnswer, st.none() | data, data),
    st.builds(RowsAnswer, pairs, text, data),
    st.builds(LedgerReplied, data),
    st.builds(OpenCommitted, text, data),
    st.builds(ImportKeys, data, data, data),
    st.builds(Provision, text, data, text, number, text, data, text, data, data),
)
enclave_messages: st.SearchStrategy[EnclaveMessage] = st.one_of(
    st.builds(Result, pairs, st.lists(text, max_size=3).map(tuple), pairs, text, data, data),
    st.builds(GetRange, text, text, number, text, data),
    st.builds(Status, text, text, data, number, data, data, number),
    st.builds(Refusal, text, text),
)


@given(number, host_messages)
def test_host_messages_survive_the_wire(call: int, message: HostMessage) -> None:
    assert decode_host_message(encode_host_message(call, message)) == (call, message)


@given(number, enclave_messages)
def test_enclave_messages_survive_the_wire(call: int, message: EnclaveMessage) -> None:
    assert decode_enclave_message(encode_enclave_message(call, message)) == (call, message)


@given(st.binary(max_size=300))
def test_any_bytes_decode_or_are_refused(encoded: bytes) -> None:
    for decode in (decode_host_message, decode_enclave_message):
        try:
            decode(encoded)
        except MalformedInput:
            continue


@given(host_messages, st.data())
def test_a_flipped_byte_decodes_to_something_else_or_is_refused(message: HostMessage, source: st.DataObject) -> None:
    encoded = bytearray(encode_host_message(7, message))
    position = source.draw(st.integers(min_value=0, max_value=len(encoded) - 1))
    encoded[position] ^= source.draw(st.integers(min_value=1, max_value=255))
    with contextlib.suppress(MalformedInput):
        assert decode_host_message(bytes(encoded)) != (7, message)


def test_the_directions_are_not_interchangeable() -> None:
    with pytest.raises(MalformedInput):
        decode_host_message(encode_enclave_message(1, GetRange("a", "b", 0, "", b"")))
    with pytest.raises(MalformedInput):
        decode_enclave_message(encode_host_message(1, Invoke(b"")))


@given(st.lists(st.binary(max_size=50), max_size=6), st.integers(min_value=1, max_value=7))
def test_frames_come_out_whole_however_they_are_cut(frames: list[bytes], chunk: int) -> None:
    stream = b"".join(wrap_frame(frame) for frame in frames)
    buffer = FrameBuffer()
    found = [frame for start in range(0, len(stream), chunk) for frame in buffer.feed(stream[start : start + chunk])]
    assert found == frames


def test_an_announced_frame_beyond_the_limit_is_refused_at_once() -> None:
    with pytest.raises(MalformedInput):
        FrameBuffer().feed((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))
    assert FrameBuffer().feed(MAX_FRAME_BYTES.to_bytes(4, "big")) == []
