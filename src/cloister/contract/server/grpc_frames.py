"""What looks at a client's HTTP/2 frames before `h2` does: preface, lengths, number, and PING. No I/O.

PING is not left to `h2`, which answers at once. Fabric's peers (grpc-go) measure the connection with a PING for every
burst of data unless one is unanswered, so that at once would mean a PING and a WINDOW_UPDATE with every message.
Whoever uses this answers a little later.
Source: RFC 9113 3.4 (preface), 4.1 (frames), 6.7 (PING); grpc-go internal/transport: bdp_estimator.go, http2_client.go
(handleData).
"""

from __future__ import annotations

import struct

from .errors import ConnectionViolated

MAX_FRAME_BYTES = 16 * 1024
"""The least that RFC 9113 allows (4.2), and what `h2` announces; but it looks only once it has the whole frame."""
MAX_FRAMES = 2048
"""In one read: more are a flood of frames with next to nothing in them."""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER = struct.Struct(">HBBBI")
_HEADER_BYTES = _HEADER.size
_PING, _PING_BYTES = 6, 8
_PING_ACK = _HEADER.pack(0, _PING_BYTES, _PING, 1, 0)
"""Header of a PING frame of stream 0 with the flag ACK."""


class FrameGate:
    """Lets a client's bytes through, but for PING frames: what is in those is added to `pings`."""

    def __init__(self) -> None:
        self.pings: list[bytes] = []
        self._preface = _PREFACE  # what is still to come of it
        self._rest = len(_PREFACE)  # bytes that are still to come of the frame that is passing
        self._held = b""  # the beginning of a frame, too short to know it

    def admit(self, data: bytes | memoryview) -> bytes | memoryview:
        """What `h2` is to see of `data` and of what was held back before. Raises: ConnectionViolated."""
        if self._preface:
            self._check_preface(data)
        if self._held:
            data = self._held + data
        admitted: list[bytes | memoryview] = []
        start, position, size = 0, self._rest, len(data)
        frames = 0
        while size - position >= _HEADER_BYTES:
            high, low, kind, flags, stream_id = _HEADER.unpack_from(data, position)
            end = position + _HEADER_BYTES + (high << 8 | low)
            frames += 1
            self._check(end - position, frames)
            if (kind, flags & 1, stream_id, high, low) == (_PING, 0, 0, 0, _PING_BYTES):
                if end > size:
                    break
                self.pings.append(bytes(data[position + _HEADER_BYTES : end]))
                admitted.append(data[start:position])
                start = end
            position = end
        self._held = bytes(data[position:])
        self._rest = max(0, position - size)
        admitted.append(data[start:position])
        return admitted[0] if len(admitted) == 1 else b"".join(admitted)

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
        if length > _HEADER_BYTES + MAX_FRAME_BYTES:
            raise ConnectionViolated("client sends a frame that is too long", field="frame")
        if frames > MAX_FRAMES:
            raise ConnectionViolated("client floods the connection with small frames", field="frame")
