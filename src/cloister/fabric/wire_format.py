"""Protobuf's wire format as Go reads it, for messages that are not plainly encoded.

Trust level: pure, measured into enclaves. Peers and orderers are Go programs; Python's library (upb) refuses tags of
more than five bytes, which Go takes, and takes integers of more than 64 bits, which Go refuses. Anybody may put such
things into a transaction: a committer's verdict on it is Go's.
Source: google.golang.org/protobuf 1.34.2 internal/impl/decode.go, encoding/protowire/wire.go.
"""

from __future__ import annotations

from typing import Any

from cloister.errors import MalformedInput

_VARINT, _FIXED64, _BYTES, _START, _END, _FIXED32 = 0, 1, 2, 3, 4, 5
_MAX_NUMBER, _MAX_GROUPED_NUMBER = 2**29 - 1, 2**31 - 1
_MAX_DEPTH, _MAX_GROUPS = 100, 10_000
"""Messages and groups within one another: as upb takes the ones, and Go the others."""
_MESSAGE = 11
_WIRE_TYPES = {
    **dict.fromkeys((3, 4, 5, 8, 13, 14, 17, 18), _VARINT),
    **dict.fromkeys((1, 6, 16), _FIXED64),
    **dict.fromkeys((2, 7, 15), _FIXED32),
    **dict.fromkeys((9, _MESSAGE, 12), _BYTES),
}
"""FieldDescriptor.TYPE_… → wire type. Packed numbers are passed on as they are."""


def normalized(encoded: bytes, descriptor: Any, depth: int = _MAX_DEPTH) -> bytes:
    """The same message with the shortest tags, lengths and integers, and without unknown fields.

    Raises: MalformedInput where Go refuses.
    """
    if depth < 0:
        raise _malformed()
    found = bytearray()
    position = 0
    fields = descriptor.fields_by_number
    while position < len(encoded):
        number, wire_type, start = _tag(encoded, position, _MAX_NUMBER)
        content, position = _value(encoded, start, number, wire_type)
        field = fields.get(number)
        expected = _WIRE_TYPES.get(field.type) if field is not None else None
        if field is None or (wire_type != expected and wire_type != _BYTES):
            continue
        if field.type == _MESSAGE:
            value = normalized(encoded[content:position], field.message_type, depth - 1)
        elif wire_type == _VARINT:
            value = encode_varint(_varint(encoded, start)[0])
        else:
            value = encoded[content:position]
        found += encode_varint(number << 3 | wire_type)
        found += encode_varint(len(value)) if wire_type == _BYTES else b""
        found += value
    return bytes(found)


def remarshalled(encoded: bytes, known: int) -> bytes:
    """What Go makes of a message of byte fields 1 … `known` that it reads and writes again: they come first, in order,
    then all unknown fields as they stood, with shortest tags. Raises: MalformedInput where Go refuses.
    """
    values: dict[int, bytes] = {}
    unknown = bytearray()
    position = 0
    while position < len(encoded):
        number, wire_type, start = _tag(encoded, position, _MAX_NUMBER)
        content, position = _value(encoded, start, number, wire_type)
        if wire_type == _BYTES and number <= known:
            values[number] = encoded[content:position]
        else:
            unknown += encode_varint(number << 3 | wire_type) + encoded[start:position]
    fields = (
        encode_varint(number << 3 | _BYTES) + encode_varint(len(values[number])) + values[number]
        for number in sorted(values)
        if values[number]
    )
    return b"".join(fields) + bytes(unknown)


def _tag(encoded: bytes, position: int, largest: int) -> tuple[int, int, int]:
    """(field number, wire type, where the value begins)."""
    tag, start = _varint(encoded, position)
    number = tag >> 3
    if not 1 <= number <= largest:
        raise _malformed()
    return number, tag & 7, start


def _value(encoded: bytes, start: int, number: int, wire_type: int) -> tuple[int, int]:
    """(where the content of a value begins, where the value ends)."""
    if wire_type == _START:
        return start, _end_of_group(encoded, start, number)
    content, end = start, start
    if wire_type == _VARINT:
        end = _varint(encoded, start)[1]
    elif wire_type == _BYTES:
        length, content = _varint(encoded, start)
        end = content + length
    elif wire_type in (_FIXED32, _FIXED64):
        end = start + (4 if wire_type == _FIXED32 else 8)
    else:
        raise _malformed()
    if end > len(encoded):
        raise _malformed()
    return content, end


def _end_of_group(encoded: bytes, position: int, number: int) -> int:
    open_groups = [number]
    while open_groups:
        inner, wire_type, position = _tag(encoded, position, _MAX_GROUPED_NUMBER)
        if wire_type == _END:
            if inner != open_groups.pop():
                raise _malformed()
        elif wire_type == _START:
            if len(open_groups) > _MAX_GROUPS:
                raise _malformed()
            open_groups.append(inner)
        else:
            position = _value(encoded, position, inner, wire_type)[1]
    return position


def _varint(encoded: bytes, position: int) -> tuple[int, int]:
    """(value, where it ends): at most ten bytes and 64 bits."""
    value = shift = 0
    for offset in range(10):
        if position + offset >= len(encoded):
            raise _malformed()
        byte = encoded[position + offset]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return value, position + offset + 1
        shift += 7
    raise _malformed()


def encode_varint(value: int) -> bytes:
    """The shortest base 128 encoding of an integer of 0 or more: little endian, 7 bits a byte."""
    if value < 0x80:
        return bytes((value,))
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _malformed() -> MalformedInput:
    return MalformedInput("not a protobuf message", field="message")
