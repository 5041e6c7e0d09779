"""Size classes: what is sealed is padded first, so that its length says only which class it is in.

Trust level: trusted, pure; also used by clients.
Shape: u32 length, content, zero bytes up to the class. Classes: the smallest one given by the caller, then doubling up
to 64 KiB, then multiples of 64 KiB.
"""

from __future__ import annotations

from cloister.errors import MalformedInput
from cloister.wire.framing import u32

VALUE_CLASS = 256
"""Smallest class of a sealed state value, in bytes before sealing."""
MESSAGE_CLASS = 1024
"""Smallest class of requests and responses, in bytes before sealing. Ordinary contract errors fit."""
_STEP = 64 * 1024
_HEADER = 4


def padded_length(length: int, smallest: int) -> int:
    """The size class, in bytes, of content of this length."""
    needed = length + _HEADER
    size = smallest
    while size < needed and size < _STEP:
        size *= 2
    return size if size >= needed else -(-needed // _STEP) * _STEP


def pad(content: bytes, smallest: int) -> bytes:
    """Content with its length in front, filled with zeros up to its size class."""
    size = padded_length(len(content), smallest)
    return (u32(len(content)) + content).ljust(size, b"\0")


def unpad(padded: bytes) -> bytes:
    """Inverse of `pad`, strict: filling must be zero. Raises: MalformedInput."""
    length = int.from_bytes(padded[:_HEADER], "big")
    end = _HEADER + length
    if len(padded) < _HEADER or end > len(padded) or padded.count(0, end) != len(padded) - end:
        raise MalformedInput("padding: malformed", field="padding")
    return padded[_HEADER:end]
