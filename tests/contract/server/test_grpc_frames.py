from __future__ import annotations

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.contract.server.errors import ConnectionViolated
from cloister.contract.server.grpc_frames import MAX_FRAME_BYTES, MAX_FRAMES, FrameGate
from support.http2_client import frame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PING, CONTINUATION = 0, 1, 6, 9
END_HEADERS = 4
CALLS = (1, 3)
"""Streams whose DATA is not for h2."""

pings = st.builds(lambda data, flags: frame(PING, flags, 0, data), st.binary(min_size=8, max_size=8), st.just(0))
others = st.builds(
    frame,
    st.integers(0, 255).filter(lambda kind: kind not in (PING, HEADERS, CONTINUATION)),
    st.integers(0, 255),
    st.integers(4, 2**32 - 1),
    st.binary(max_size=40),
) | st.builds(frame, st.just(PING), st.just(1), st.just(0), st.binary(min_size=8, max_size=8))
data = st.builds(frame, st.just(DATA), st.just(0), st.sampled_from(CALLS), st.binary(max_size=40))
cuts = st.lists(st.integers(1, 60), min_size=1, max_size=20)


def in_pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces: list[bytes] = []
    while data:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(data[:size])
        data = data[size:]
    return pieces


def new_gate() -> FrameGate:
    return FrameGate(CALLS.__contains__)


def for_h2(gate: FrameGate, data: bytes) -> bytes:
    """What h2 is to see of `data`."""
    return b"".join(bytes(piece) for stream_id, piece in gate.admit(data) if not stream_id)


@given(st.lists(pings | data | others), cuts)
def test_everything_goes_its_way_in_its_order_however_it_is_cut(frames: list[bytes], sizes: list[int]) -> None:
    gate = new_gate()
    h2, calls = b"", dict.fromkeys(CALLS, b"")
    for piece in in_pieces(PREFACE + b"".join(frames), sizes):
        for stream_id, part in gate.admit(piece):
            if stream_id:
                calls[stream_id] += part
            else:
                h2 += part
    taken = [item for item in frames if item[3] == PING and not item[4] & 1]
    of_calls = [
        item
        for item in frames
        if item[3] == DATA and item[4] == 0 and item[5:9] in (bytes(3) + b"\1", bytes(3) + b"\3")
    ]
    assert h2 == PREFACE + b"".join(item for item in frames if item not in taken and item not in of_calls)
    assert gate.pings == [item[9:] for item in taken]
    assert calls == {call: b"".join(item[9:] for item in of_calls if item[8] == call) for call in CALLS}


def test_data_comes_after_what_h2_saw_before_it() -> None:
    """So that a call which begins in the same bytes is one by then."""
    known: list[int] = []
    gate = FrameGate(known.__contains__)
    headers, message = frame(HEADERS, END_HEADERS, 5, b"call"), frame(DATA, 0, 5, b"message")
    seen = []
    for_h2(gate, PREFACE)
    for stream_id, piece in gate.admit(headers + message + message):
        seen.append((stream_id, bytes(piece)))
        known.append(5)
    assert seen == [(0, headers), (5, b"message"), (5, b"message")]


@pytest.mark.parametrize("flags", [1, 8, 9, 255])
def test_data_with_flags_is_for_h2(flags: int) -> None:
    assert for_h2(new_gate(), PREFACE + frame(DATA, flags, 1, b"\0data")).endswith(b"data")


def test_data_between_the_frames_of_a_header_block_is_for_h2_which_refuses_it() -> None:
    begun, ended = frame(HEADERS, 0, 5, b""), frame(CONTINUATION, END_HEADERS, 5, b"")
    message = frame(DATA, 0, 1, b"message")
    gate = new_gate()
    assert for_h2(gate, PREFACE + begun + message) == PREFACE + begun + message
    assert for_h2(gate, ended + message) == ended


@given(st.binary(max_size=400), cuts)
def test_no_bytes_do_anything_but_pass_or_violate(data: bytes, sizes: list[int]) -> None:
    gate = new_gate()
    for_h2(gate, PREFACE)
    passed = 0
    for piece in in_pieces(data, sizes):
        try:
            passed += sum(len(part) for _, part in gate.admit(piece))
        except ConnectionViolated:
            return
    assert passed <= len(data)


@pytest.mark.parametrize(
    "ping", [frame(PING, 0, 1, bytes(8)), frame(PING, 0, 0, bytes(7)), frame(PING, 0, 0, bytes(9))]
)
def test_pings_that_violate_the_rfc_are_left_to_h2(ping: bytes) -> None:
    gate = new_gate()
    assert for_h2(gate, PREFACE + ping) == PREFACE + ping
    assert gate.pings == []


def test_answers_repeat_what_was_in_the_pings_once() -> None:
    gate = new_gate()
    for_h2(gate, PREFACE + frame(PING, 0, 0, b"12345678") + frame(PING, 0, 0, b"abcdefgh"))
    assert gate.answers() == frame(PING, 1, 0, b"12345678") + frame(PING, 1, 0, b"abcdefgh")
    assert gate.answers() == b""


def test_a_frame_of_the_largest_size_passes_and_a_longer_one_is_refused_by_its_header() -> None:
    for stream_id in (1, 5):  # a call's, and not
        largest = frame(0, 0, stream_id, bytes(MAX_FRAME_BYTES))
        assert sum(len(piece) for _, piece in new_gate().admit(PREFACE + largest)) >= MAX_FRAME_BYTES + len(PREFACE)
        with pytest.raises(ConnectionViolated, match="too long"):
            list(new_gate().admit(PREFACE + frame(0, 0, stream_id, bytes(MAX_FRAME_BYTES + 1))[:9]))


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", PREFACE[:-1] + b"x"])
@pytest.mark.parametrize("size", [1, 100])
def test_what_is_no_http2_is_refused_as_such(sent: bytes, size: int) -> None:
    gate = new_gate()
    with pytest.raises(ConnectionViolated, match="does not speak HTTP/2"):
        list(map(functools.partial(for_h2, gate), in_pieces(sent, [size])))


def test_a_flood_of_small_frames_is_refused() -> None:
    for stream_id in (1, 5):
        for_h2(new_gate(), PREFACE + frame(0, 0, stream_id, b"") * MAX_FRAMES)
        with pytest.raises(ConnectionViolated, match="floods"):
            for_h2(new_gate(), PREFACE + frame(0, 0, stream_id, b"") * (MAX_FRAMES + 1))
