"""Length-prefixed frames on a byte stream: u32 big-endian length, then that many bytes. I/O-free.

Trust level: pure, measured into enclaves.
"""

from __future__ import annotations

from cloister.errors import MalformedInput

from .framing import u32

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

    def feed(self, chunk: bytes) -> list[bytes]:
        """All frames that are complete now.

        Raises: MalformedInput on a length above MAX_FRAME_BYTES: the stream cannot be read any further.
        """
        self._data += chunk
        frames = []
        offset = 0
        while len(self._data) - offset >= 4:
            length = int.from_bytes(self._data[offset : offset + 4], "big")
            if length > MAX_FRAME_BYTES:
                raise MalformedInput(f"frame: at most {MAX_FRAME_BYTES} bytes, announced {length}", field="frame")
            end = offset + 4 + length
            if end > len(self._data):
                break
            frames.append(bytes(self._data[offset + 4 : end]))
            offset = end
        del self._data[:offset]
        return frames
