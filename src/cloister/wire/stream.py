"""Length-prefixed frames on a byte stream: u32 big-endian length, then that many bytes. I/O-free.

Trust level: pure, measured into enclaves.
"""

from __future__ import annotations

from cloister.errors import MalformedInput

from .framing import u32

_HEADER_BYTES = 4
MAX_FRAME_BYTES = 64 * 1024 * 1024
"""Bound on one frame in bytes. A peer allows 100 MB per message; what does not fit is refused, not buffered."""


def wrap_frame(frame: bytes) -> bytes:
    """The frame with its length in front. Raises: MalformedInput if it is too long to be sent."""
    if len(frame) > MAX_FRAME_BYTES:
        raise MalformedInput(f"frame: at most {MAX_FRAME_BYTES} bytes, got {len(frame)}", field="frame")
    return u32(len(frame)) + frame


class FrameBuffer:
    """Collects received bytes and gives out whole frames. Holds at most one frame and one chunk more."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, chunk: bytes | memoryview) -> list[bytes]:
        """All frames that are complete now.

        Raises: MalformedInput on a length above MAX_FRAME_BYTES: the stream cannot be read any further.
        """
        self._data += chunk
        frames: list[bytes] = []
        begin, size = _HEADER_BYTES, len(self._data)
        with memoryview(self._data) as data:
            while begin <= size:
                length = int.from_bytes(data[begin - _HEADER_BYTES : begin], "big")
                if length > MAX_FRAME_BYTES:
                    raise MalformedInput(f"frame: at most {MAX_FRAME_BYTES} bytes, announced {length}", field="frame")
                if begin + length > size:
                    break
                frames.append(bytes(data[begin : begin + length]))
                begin += length + _HEADER_BYTES
        del self._data[: begin - _HEADER_BYTES]
        return frames
