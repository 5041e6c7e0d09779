from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.contract.server.errors import ConnectionViolated
from cloister.contract.server.grpc_frames import MAX_FRAME_BYTES, MAX_FRAMES, FrameGate
from support.http2_client import frame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PING = 6

pings = st.builds(lambda data, flags: frame(PING, flags, 0, data), st.binary(min_size=8, max_size=8), st.just(0))
others = st.builds(
    frame,
    st.integers(0, 255).filter(lambda kind: kind != PING),
    st.integers(0, 255),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=40),
) | st.builds(frame, st.just(PING), st.just(1), st.just(0), st.binary(min_size=8, max_size=8))
cuts = st.lists(st.integers(1, 60), min_size=1, max_size=20)


def in_pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces: list[bytes] = []
    while data:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(data[:size])
        data = data[size:]
    return pieces


@given(st.lists(pings | others), cuts)
def test_everything_but_pings_passes_however_it_is_cut(frames: list[bytes], sizes: list[int]) -> None:
    gate = FrameGate()
    passed = b"".join(bytes(gate.admit(piece)) for piece in in_pieces(PREFACE + b"".join(frames), sizes))
    taken = [item for item in frames if item[3] == PING and not item[4] & 1]
    assert passed == PREFACE + b"".join(item for item in frames if item not in taken)
    assert gate.pings == [item[9:] for item in taken]


@given(st.binary(max_size=400), cuts)
def test_no_bytes_do_anything_but_pass_or_violate(data: bytes, sizes: list[int]) -> None:
    gate = FrameGate()
    gate.admit(PREFACE)
    passed = 0
    for piece in in_pieces(data, sizes):
        try:
            passed += len(gate.admit(piece))
        except ConnectionViolated:
            return
    assert passed <= len(data)


@pytest.mark.parametrize(
    "ping", [frame(PING, 0, 1, bytes(8)), frame(PING, 0, 0, bytes(7)), frame(PING, 0, 0, bytes(9))]
)
def test_pings_that_violate_the_rfc_are_left_to_h2(ping: bytes) -> None:
    gate = FrameGate()
    assert gate.admit(PREFACE + ping) == PREFACE + ping
    assert gate.pings == []


def test_answers_repeat_what_was_in_the_pings_once() -> None:
    gate = FrameGate()
    gate.admit(PREFACE + frame(PING, 0, 0, b"12345678") + frame(PING, 0, 0, b"abcdefgh"))
    assert gate.answers() == frame(PING, 1, 0, b"12345678") + frame(PING, 1, 0, b"abcdefgh")
    assert gate.answers() == b""


def test_a_frame_of_the_largest_size_passes_and_a_longer_one_is_refused_by_its_header() -> None:
    largest = frame(0, 0, 1, bytes(MAX_FRAME_BYTES))
    assert FrameGate().admit(PREFACE + largest) == PREFACE + largest
    with pytest.raises(ConnectionViolated, match="too long"):
        FrameGate().admit(PREFACE + frame(0, 0, 1, bytes(MAX_FRAME_BYTES + 1))[:9])


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", PREFACE[:-1] + b"x"])
@pytest.mark.parametrize("size", [1, 100])
def test_what_is_no_http2_is_refused_as_such(sent: bytes, size: int) -> None:
    gate = FrameGate()
    with pytest.raises(ConnectionViolated, match="does not speak HTTP/2"):
        list(map(gate.admit, in_pieces(sent, [size])))


def test_a_flood_of_small_frames_is_refused() -> None:
    FrameGate().admit(PREFACE + frame(0, 0, 1, b"") * MAX_FRAMES)
    with pytest.raises(ConnectionViolated, match="floods"):
        FrameGate().admit(PREFACE + frame(0, 0, 1, b"") * (MAX_FRAMES + 1))
