"""The canonical encoding of everything that is hashed, signed or bound: a tag and length-framed fields.

Trust level: pure, measured into enclaves.
Shape: u32 length + tag, u32 field count, then per field u32 length + bytes; all integers big endian. Exactly one
encoding exists per (tag, fields), so concatenations cannot be shifted into one another.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from cloister.errors import MalformedInput

_U32 = 4
_LENGTH = struct.Struct(">I")
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
    pack = _LENGTH.pack
    parts = [pack(len(tag)), tag, pack(len(fields))]
    append = parts.append
    for field in fields:
        append(pack(len(field)))
        append(field)
    return b"".join(parts)


def begin_frame(tag: bytes, count: int, fields: Sequence[bytes]) -> bytes:
    """What every frame of `count` fields begins with whose first ones are these; go on with `frame_field`s."""
    pack = _LENGTH.pack
    return b"".join((pack(len(tag)), tag, pack(count), *map(frame_field, fields)))


def frame_field(field: bytes) -> bytes:
    """One field as it stands in a frame."""
    return _LENGTH.pack(len(field)) + field


def decode_frame(
    tag: bytes, encoded: bytes, *, count: int | None = None, maximum: int = MAX_FIELDS
) -> tuple[bytes, ...]:
    """The exact inverse of `encode_frame` for one expected tag; `count` fixes, `maximum` bounds the fields' number.

    Raises: MalformedInput, and nothing else, for any bytes.
    """
    head = _LENGTH.pack(len(tag)) + tag
    offset = len(head)
    if encoded[:offset] != head:
        raise _malformed(tag, "another kind of record")
    unpack, fields = _LENGTH.unpack_from, []
    try:
        (number,) = unpack(encoded, offset)
        if number > maximum or (count is not None and number != count):
            raise _malformed(tag, "wrong number of fields")
        offset += _U32
        for _ in range(number):
            start = offset + _U32
            offset = start + unpack(encoded, offset)[0]
            fields.append(encoded[start:offset])
    except struct.error as error:  # no length where one should be: a field reaches beyond the end, or nothing is left
        raise _malformed(tag, "cut short") from error
    if offset > len(encoded):
        raise _malformed(tag, "cut short")
    if offset != len(encoded):
        raise _malformed(tag, "bytes after the last field")
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


def _malformed(tag: bytes, why: str) -> MalformedInput:
    what = tag.decode("ascii", "replace")
    return MalformedInput(f"{what}: {why}", field=what)
