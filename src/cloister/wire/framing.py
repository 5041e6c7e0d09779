"""The canonical encoding of everything that is hashed, signed or bound: a tag and length-framed fields.

Trust level: pure, measured into enclaves.
Shape: u32 length + tag, u32 field count, then per field u32 length + bytes; all integers big endian. Exactly one
encoding exists per (tag, fields), so concatenations cannot be shifted into one another.
"""

from __future__ import annotations

from collections.abc import Sequence

from cloister.errors import MalformedInput

_U32 = 4
MAX_FIELDS = 4096
"""Bound on the number of fields that `decode_frame` accepts; every fixed record has far fewer."""


def u32(value: int) -> bytes:
    """Four bytes, big endian. Raises: OverflowError outside 0 … 2^32 - 1."""
    return value.to_bytes(_U32, "big")


def u64(value: int) -> bytes:
    """Eight bytes, big endian. Raises: OverflowError outside 0 … 2^64 - 1."""
    return value.to_bytes(8, "big")


def encode_frame(tag: bytes, fields: Sequence[bytes]) -> bytes:
    """The one encoding of (tag, fields)."""
    parts = [u32(len(tag)), tag, u32(len(fields))]
    for field in fields:
        parts.append(u32(len(field)))
        parts.append(field)
    return b"".join(parts)


def decode_frame(
    tag: bytes, encoded: bytes, *, count: int | None = None, maximum: int = MAX_FIELDS
) -> tuple[bytes, ...]:
    """The exact inverse of `encode_frame` for one expected tag; `count` fixes, `maximum` bounds the fields' number.

    Raises: MalformedInput, and nothing else, for any bytes.
    """
    what = tag.decode("ascii", "replace")
    found, offset = _take(encoded, 0, what)
    if found != tag:
        raise MalformedInput(f"{what}: another kind of record", field=what)
    number, offset = _length(encoded, offset, what)
    if number > maximum or (count is not None and number != count):
        raise MalformedInput(f"{what}: wrong number of fields", field=what)
    fields = []
    for _ in range(number):
        field, offset = _take(encoded, offset, what)
        fields.append(field)
    if offset != len(encoded):
        raise MalformedInput(f"{what}: bytes after the last field", field=what)
    return tuple(fields)


def decode_u64(field: bytes, what: str) -> int:
    """Inverse of `u64`. Raises: MalformedInput."""
    if len(field) != 8:
        raise MalformedInput(f"{what}: expected 8 bytes", field=what)
    return int.from_bytes(field, "big")


def decode_text(field: bytes, what: str) -> str:
    """UTF-8 text. Raises: MalformedInput."""
    try:
        return field.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedInput(f"{what}: not UTF-8", field=what) from error


def require_length(field: bytes, lengths: Sequence[int], what: str) -> bytes:
    """`field` itself if its length is one of `lengths`. Raises: MalformedInput."""
    if len(field) not in lengths:
        raise MalformedInput(f"{what}: expected {' or '.join(map(str, lengths))} bytes, got {len(field)}", field=what)
    return field


def _length(encoded: bytes, offset: int, what: str) -> tuple[int, int]:
    end = offset + _U32
    if end > len(encoded):
        raise MalformedInput(f"{what}: cut short", field=what)
    return int.from_bytes(encoded[offset:end], "big"), end


def _take(encoded: bytes, offset: int, what: str) -> tuple[bytes, int]:
    length, start = _length(encoded, offset, what)
    end = start + length
    if end > len(encoded):
        raise MalformedInput(f"{what}: cut short", field=what)
    return encoded[start:end], end
