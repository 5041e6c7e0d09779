"""Key names as the ledger sees them: a PRF of the name, part by part, so that partial composite queries still work.

Trust level: trusted, pure.
Simple key k → hex(PRF("simple", k)). Composite key (type, a0 … an) → Fabric composite key of
hex(PRF("type", type)), hex(PRF("part", type, a0)), hex(PRF("part", type, a0, a1)) …: equal prefixes give equal stored
prefixes and nothing else is comparable. Keys in a space that the contract declares *clear* are stored as "=" + key.
PRF = HMAC-SHA256 under the name key over a length-framed input, its first 16 bytes; 32 lower-case hex characters, since
CouchDB refuses keys with a leading underscore. Half of the output is enough: without the name key nobody computes it,
so two names meet only by chance, and only among keys that the contract was really run with (an even chance takes 2^64);
and every name is carried by every read, write and row of the channel for ever.
Source of the composite key format: Fabric chaincode shim, createCompositeKey (U+0000 type U+0000 part U+0000 …).
"""

from __future__ import annotations

from collections.abc import Sequence

from cloister.errors import MalformedInput
from cloister.trusted.protocol.prf import Prf
from cloister.wire.framing import encode_frame

_TAG_SIMPLE = b"cloister/name/simple/2"
_TAG_TYPE = b"cloister/name/type/2"
_TAG_PART = b"cloister/name/part/2"
_PRF_BYTES = 16
_SEPARATOR = "\0"
_MAXIMUM = "\U0010ffff"
CLEAR_PREFIX = "="


class KeyNames:
    """Maps plain key names to stored ones under one name key (32 bytes) and a contract's clear key spaces."""

    __slots__ = ("_clear", "_prf")

    def __init__(self, name_key: bytes, clear_key_spaces: Sequence[str] = ()) -> None:
        self._prf = Prf(name_key, _PRF_BYTES)
        self._clear = tuple(clear_key_spaces)

    def stored(self, key: str) -> str:
        """The stored name of a plain key, simple or composite. Raises: MalformedInput on an empty or broken key."""
        if not key:
            raise MalformedInput("key: must not be empty", field="key")
        if key.startswith(_SEPARATOR):
            return self._stored_composite(split_composite_key(key))
        if self.is_clear(key):
            return CLEAR_PREFIX + key
        return self._name(_TAG_SIMPLE, (key.encode(),))

    def is_clear(self, key: str) -> bool:
        """True if the contract declared a key space that holds this key."""
        return key.startswith(self._clear) if self._clear else False

    def stored_prefix(self, object_type: str, parts: Sequence[str]) -> tuple[str, str]:
        """Bounds (start inclusive, end exclusive) that hold all keys with this partial composite key."""
        prefix = self._stored_composite((object_type, *parts))
        return prefix, prefix + _MAXIMUM

    def stored_range(self, start: str, end: str) -> tuple[str, str]:
        """Bounds of a plain range, both of which must lie in one clear key space.

        `end` may also be the first key after the space (space + U+10FFFF), for "to the end of the space".
        Raises: MalformedInput if the range is not inside one clear space.
        """
        encoded_key(start + end)
        for space in self._clear:
            if start.startswith(space) and end.startswith(space):
                return CLEAR_PREFIX + start, CLEAR_PREFIX + end
        raise MalformedInput(
            "range: plain ranges need a key space that the contract declares clear (clear_key_spaces); "
            "use a partial composite key instead",
            field="range",
        )

    def _stored_composite(self, key: Sequence[str]) -> str:
        parts = [part.encode() for part in key]
        names = [self._name(_TAG_TYPE, parts[:1])]
        names += [self._name(_TAG_PART, parts[:length]) for length in range(2, len(parts) + 1)]
        return _SEPARATOR.join(["", *names, ""])

    def _name(self, tag: bytes, parts: Sequence[bytes]) -> str:
        return self._prf(encode_frame(tag, parts)).hex()


def encoded_key(key: str) -> bytes:
    """UTF-8. Raises: MalformedInput on half a surrogate pair, which has no encoding."""
    try:
        return key.encode()
    except UnicodeEncodeError as error:
        raise MalformedInput("key: not valid Unicode", field="key") from error


def split_composite_key(key: str) -> tuple[str, ...]:
    """(object type, part, …) of a Fabric composite key. Raises: MalformedInput."""
    pieces = key.split(_SEPARATOR)
    if len(pieces) < 3 or pieces[0] or pieces[-1]:
        raise MalformedInput("composite key: malformed", field="key")
    return tuple(pieces[1:-1])
