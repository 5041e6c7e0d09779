"""What looks at a client's HTTP/2 frames before `h2` does: preface, lengths, number, PING, and DATA of calls. No I/O.

DATA of a call is not left to `h2`: it is nearly all that peers send, nothing of it but the length concerns the
connection, and `h2` takes longer over a frame than the rest of the server over the message in it. Nor is PING, which
`h2` answers at once. Fabric's peers (grpc-go) measure the connection with a PING for every burst of data unless one is
unanswered, so that at once would mean a PING and a WINDOW_UPDATE with every message. Whoever uses this answers a
little later.
Source: RFC 9113 3.4 (preface), 4.1 (frames), 6.1 (DATA), 6.7 (PING), 6.10 (no other frame between those of a header
block); grpc-go internal/transport: bdp_estimator.go, http2_client.go (handleData).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from .errors import ConnectionViolated

MAX_FRAME_BYTES = 16 * 1024
"""The least that RFC 9113 allows (4.2), and what `h2` announces; but it looks only once it has the whole frame."""
MAX_FRAMES = 2048
"""In one read: more are a flood of frames with next to nothing in them."""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER = struct.Struct(">HBBBI")
_HEADER_BYTES = _HEADER.size
_DATA, _HEADERS, _PUSH_PROMISE, _PING, _WINDOW_UPDATE, _CONTINUATION = 0, 1, 5, 6, 8, 9
_END_HEADERS = 4
_FOR_H2, _FOR_PINGS = 0, -1
_PING_BYTES = 8
_PING_ACK = _HEADER.pack(0, _PING_BYTES, _PING, 1, 0)
"""Header of a PING frame of stream 0 with the flag ACK."""
_WINDOW_UPDATE_FRAME = struct.Struct(">HBBBII")

Piece = tuple[int, bytes | memoryview]
"""Stream and a part of its DATA; stream 0: a part of what `h2` is to see."""


def window_update(stream_id: int, size: int) -> bytes:
    """The frame that lets a client send `size` more bytes (1 to 2^31 - 1) on a stream, or on the connection (0)."""
    return _WINDOW_UPDATE_FRAME.pack(0, 4, _WINDOW_UPDATE, 0, stream_id, size)


class FrameGate:
    """Takes a client's bytes apart. What is in PING frames is added to `pings`.

    `takes_data` tells whether a stream is a call whose DATA `h2` is not to see; it sees all that has flags (end of the
    stream, padding).
    """

    def __init__(self, takes_data: Callable[[int], bool]) -> None:
        self.pings: list[bytes] = []
        self._takes_data = takes_data
        self._preface = _PREFACE  # what is still to come of it
        self._rest = len(_PREFACE)  # bytes that are still to come of the frame that is passing
        self._stream_id = 0  # whose DATA that frame is; 0 if it is for h2
        self._held = b""  # the beginning of a frame, too short to know it
        self._header_block = False  # begun, not ended

    def admit(self, data: bytes | memoryview) -> Iterator[Piece]:
        """Pieces of `data` and of what was held back before, in their order; deal with one before asking for the next.

        Nothing of `data` is referred to after the last one. Raises: ConnectionViolated.
        """
        if self._preface:
            self._check_preface(data)
        if self._held:
            data, self._held = self._held + data, b""
        size, frames = len(data), 0
        start = position = min(self._rest, size)
        if position:
            self._rest -= position
            yield self._stream_id, data[:position]
        while not self._rest and size - position >= _HEADER_BYTES:
            high, low, kind, flags, stream_id = _HEADER.unpack_from(data, position)
            length, content = high << 8 | low, position + _HEADER_BYTES
            frames += 1
            self._check(length, frames)
            if start < position and kind in (_DATA, _PING):  # h2 may be about to open or end the stream
                yield _FOR_H2, data[start:position]
                start = position
            goes_to = self._destination(kind, flags, stream_id, length)
            end = min(content + length, size)
            if goes_to == _FOR_PINGS:
                if content + length > size:
                    break
                self.pings.append(bytes(data[content:end]))
                start = end
            elif goes_to:
                yield stream_id, data[content:end]
                start = end
            position, self._rest, self._stream_id = end, content + length - end, goes_to
        if start < position:
            yield _FOR_H2, data[start:position]
        self._held = bytes(data[position:])

    def _destination(self, kind: int, flags: int, stream_id: int, length: int) -> int:
        """_FOR_H2, _FOR_PINGS, or the stream whose DATA it is."""
        if kind == _DATA and not flags and not self._header_block and self._takes_data(stream_id):
            return stream_id
        if (kind, flags & 1, stream_id, length) == (_PING, 0, 0, _PING_BYTES):
            return _FOR_PINGS
        if kind in (_HEADERS, _PUSH_PROMISE, _CONTINUATION):
            self._header_block = not flags & _END_HEADERS
        return _FOR_H2

    def answers(self) -> bytes:
        """The answers to `pings`, which are forgotten."""
        answers = b"".join(_PING_ACK + data for data in self.pings)
        self.pings.clear()
        return answers

    def _check_preface(self, data: bytes | memoryview) -> None:
        expected = self._preface[: len(data)]
        if data[: len(expected)] != expected:
            raise ConnectionViolated("client does not speak HTTP/2, or it uses TLS and this server does not")
        self._preface = self._preface[len(expected) :]

    @staticmethod
    def _check(length: int, frames: int) -> None:
        if length > MAX_FRAME_BYTES:
            raise ConnectionViolated("client sends a frame that is too long", field="frame")
        if frames > MAX_FRAMES:
            raise ConnectionViolated("client floods the connection with small frames", field="frame")
