"""Protobuf's wire format, as far as mutating nested messages needs it: fields apart, and together again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from cloister.fabric.wire_format import encode_varint

LENGTH_DELIMITED = 2
_SIZES = {1: 8, 5: 4}
Field = tuple[int, bytes]
"""(key: number and wire type, content)."""


def split(encoded: bytes) -> list[Field] | None:
    """The fields, None if these bytes are no message."""
    found, offset = [], 0
    try:
        while offset < len(encoded):
            key, offset = _varint(encoded, offset)
            kind = key & 7
            end = offset
            if kind == 0:
                _, end = _varint(encoded, offset)
            elif kind == LENGTH_DELIMITED:
                length, offset = _varint(encoded, offset)
                end = offset + length
            else:
                end = offset + _SIZES[kind]
            if end > len(encoded) or key < 8:
                return None
            found.append((key, encoded[offset:end]))
            offset = end
    except (IndexError, KeyError):
        return None
    return found


def join(fields: list[Field]) -> bytes:
    """The inverse of `split`."""
    parts = []
    for key, content in fields:
        parts.append(encode_varint(key))
        if key & 7 == LENGTH_DELIMITED:
            parts.append(encode_varint(len(content)))
        parts.append(content)
    return b"".join(parts)


def nested(encoded: bytes, *, least: int = 16, most: int = 40_000) -> Iterator[bytes]:
    """The bytes themselves and everything that may be a message or text of its own in them, however deep."""
    if least <= len(encoded) <= most:
        yield encoded
    for key, content in split(encoded) or []:
        if key & 7 == LENGTH_DELIMITED:
            yield from nested(content, least=least, most=most)


def mutate(encoded: bytes, change: Callable[[bytes], bytes], chooser: Random) -> bytes:
    """Change something somewhere inside and put the lengths around it right; now and then fields go, come, move."""
    fields = split(encoded)
    if not fields or chooser.random() < 0.2:
        return change(encoded)
    position = chooser.randrange(len(fields))
    key, content = fields[position]
    roll = chooser.random()
    if roll < 0.05:
        del fields[position]
    elif roll < 0.1:
        fields.insert(chooser.randrange(len(fields) + 1), fields[position])
    elif roll < 0.15:
        chooser.shuffle(fields)
    elif key & 7 == LENGTH_DELIMITED:
        fields[position] = (key, mutate(content, change, chooser))
    elif key & 7 == 0:
        fields[position] = (
            key,
            encode_varint(chooser.choice([0, 1, chooser.getrandbits(7), chooser.getrandbits(64)])),
        )
    return join(fields)


def _varint(encoded: bytes, offset: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = encoded[offset]
        offset += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, offset
        shift += 7
    raise IndexError("varint too long")
