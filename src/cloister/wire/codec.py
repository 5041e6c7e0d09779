"""One codec for all of Cloister's own messages: a frozen dataclass is a frame with its name as tag.

Trust level: pure, measured into enclaves.
Fields, in order: bytes as they are, str as UTF-8, int as u64, `bytes | None` as presence byte + bytes, tuples as nested
frames. Exactly one encoding exists per value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Generic, TypeVar

from cloister.errors import MalformedInput

from .framing import decode_frame, decode_text, decode_u64, encode_frame, u64

MAX_ROWS: Final = 1_000_000
"""Bound on the entries of one tuple."""
_T = TypeVar("_T")


class Codec(Generic[_T]):
    """Encodes and decodes a closed set of message types; whatever else arrives is refused."""

    def __init__(self, types: Sequence[type[_T]]) -> None:
        self._shapes: dict[type[Any], _Shape] = {kind: _shape(kind) for kind in types}
        self._by_tag: dict[bytes, type[_T]] = {kind.__name__.encode(): kind for kind in types}

    def encode(self, message: _T, *before: bytes) -> bytes:
        """The message's frame; `before` are fields in front of its own."""
        shape = self._shapes[type(message)]
        parts = list(before)
        for name, encode in shape.encoders:
            value = getattr(message, name)
            parts.append(value if encode is None else encode(value))
        return encode_frame(shape.tag, parts)

    def decode(self, encoded: bytes, *, before: int = 0) -> tuple[tuple[bytes, ...], _T]:
        """(fields in front, message). Raises: MalformedInput, and nothing else, for any bytes."""
        length = int.from_bytes(encoded[:4], "big")
        tag = encoded[4 : 4 + length]
        kind = self._by_tag.get(tag)
        if kind is None:
            raise MalformedInput("message: unknown kind", field="message")
        decoders = self._shapes[kind].decoders
        found = decode_frame(tag, encoded, count=before + len(decoders))
        fields = found[before:] if before else found
        values = [item if decode is None else decode(item) for decode, item in zip(decoders, fields, strict=True)]
        return found[:before], kind(*values)


@dataclass(frozen=True, slots=True)
class _Shape:
    """How one kind of message is written and read. None: bytes, as they are."""

    tag: bytes
    encoders: tuple[tuple[str, Callable[[Any], bytes] | None], ...]
    decoders: tuple[Callable[[bytes], Any] | None, ...]


def _shape(kind: type[Any]) -> _Shape:
    """Found by the annotations' text: annotations are not evaluated."""
    entries = [(entry.name, str(entry.type)) for entry in fields(kind)]
    return _Shape(
        kind.__name__.encode(),
        tuple((name, _ENCODERS[text]) for name, text in entries),
        tuple(_DECODERS[text] for _, text in entries),
    )


def _encode_optional(value: bytes | None) -> bytes:
    return b"\0" if value is None else b"\1" + value


def _decode_optional(encoded: bytes) -> bytes | None:
    if encoded == b"\0":
        return None
    if encoded[:1] != b"\1":
        raise MalformedInput("message: presence expected", field="message")
    return encoded[1:]


def _encode_rows(rows: tuple[tuple[str, bytes], ...]) -> bytes:
    return encode_frame(b"", [part for key, value in rows for part in (key.encode(), value)])


def _decode_rows(encoded: bytes) -> tuple[tuple[str, bytes], ...]:
    return tuple((decode_text(key, "key"), value) for key, value in _pairs(encoded))


def _encode_segments(segments: tuple[tuple[int, bytes], ...]) -> bytes:
    return encode_frame(b"", [part for number, value in segments for part in (u64(number), value)])


def _decode_segments(encoded: bytes) -> tuple[tuple[int, bytes], ...]:
    return tuple((decode_u64(number, "number"), value) for number, value in _pairs(encoded))


def _pairs(encoded: bytes) -> list[tuple[bytes, bytes]]:
    flat = decode_frame(b"", encoded, maximum=2 * MAX_ROWS)
    if len(flat) % 2:
        raise MalformedInput("message: pairs expected", field="message")
    return list(zip(flat[::2], flat[1::2], strict=True))


def _encode_texts(values: tuple[str, ...]) -> bytes:
    return encode_frame(b"", [value.encode() for value in values])


def _decode_texts(encoded: bytes) -> tuple[str, ...]:
    return tuple(decode_text(item, "text") for item in decode_frame(b"", encoded, maximum=MAX_ROWS))


def _encode_list(values: tuple[bytes, ...]) -> bytes:
    return encode_frame(b"", values)


def _decode_list(encoded: bytes) -> tuple[bytes, ...]:
    return decode_frame(b"", encoded, maximum=MAX_ROWS)


def _text(value: bytes) -> str:
    return decode_text(value, "text")


def _number(value: bytes) -> int:
    return decode_u64(value, "number")


_ENCODERS: dict[str, Callable[[Any], bytes] | None] = {
    "bytes": None,
    "str": str.encode,
    "int": u64,
    "bytes | None": _encode_optional,
    "tuple[tuple[str, bytes], ...]": _encode_rows,
    "tuple[tuple[int, bytes], ...]": _encode_segments,
    "tuple[str, ...]": _encode_texts,
    "tuple[bytes, ...]": _encode_list,
}
_DECODERS: dict[str, Callable[[bytes], Any] | None] = {
    "bytes": None,
    "str": _text,
    "int": _number,
    "bytes | None": _decode_optional,
    "tuple[tuple[str, bytes], ...]": _decode_rows,
    "tuple[tuple[int, bytes], ...]": _decode_segments,
    "tuple[str, ...]": _decode_texts,
    "tuple[bytes, ...]": _decode_list,
}
