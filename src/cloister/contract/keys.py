"""Composite keys and the rules of Fabric's shims for keys.

Trust level: pure, measured into enclaves.
Source: fabric-chaincode-go shim/stub.go. A composite key is U+0000, then the object type and each attribute, every one
followed by U+0000; simple keys must not begin with U+0000. Peers order keys by their UTF-8 bytes.
"""

from __future__ import annotations

from collections.abc import Iterable

from .errors import InvalidKey

COMPOSITE_KEY_NAMESPACE = "\x00"
EMPTY_KEY_SUBSTITUTE = "\x01"
"""Where an open range starts, so that it leaves out the composite keys."""
MAX_UNICODE_RUNE = "\U0010ffff"


def create_composite_key(object_type: str, attributes: Iterable[str]) -> str:
    """Join object type and attributes.

    Raises: InvalidKey if a part is not a non-empty string, or contains U+0000, U+10FFFF or a lone surrogate.
    """
    parts = (object_type, *attributes) if not isinstance(attributes, str) else (object_type, None)
    return COMPOSITE_KEY_NAMESPACE + "".join(_checked_part(part) + "\x00" for part in parts)


def split_composite_key(composite_key: str) -> tuple[str | None, list[str]]:
    """Object type and attributes; `(None, [])` for a key that is not composite."""
    if len(composite_key) < 2 or not composite_key.startswith(COMPOSITE_KEY_NAMESPACE):
        return None, []
    parts = composite_key[1:].split("\x00")
    return parts[0], parts[1:-1]


def partial_composite_range(object_type: str, attributes: Iterable[str]) -> tuple[str, str]:
    """The range (start inclusive, end exclusive) of all composite keys that begin with these parts."""
    prefix = create_composite_key(object_type, attributes)
    return prefix, prefix + MAX_UNICODE_RUNE


def simple_range(start_key: str, end_key: str) -> tuple[str, str]:
    """The range to ask the peer for; an empty start begins after the composite keys, an empty end is open.

    Raises: InvalidKey if one of the bounds is a composite key.
    """
    for key in (start_key, end_key):
        if key.startswith(COMPOSITE_KEY_NAMESPACE):
            raise InvalidKey(
                "range refused: a bound begins with U+0000",
                hint="use get_state_by_partial_composite_key for composite keys",
            )
    return start_key or EMPTY_KEY_SUBSTITUTE, end_key


def checked_key(key: object) -> str:
    """`key`, if it can be written. Raises: InvalidKey for an empty one and for text that is not valid Unicode."""
    if not isinstance(key, str) or not key:
        raise InvalidKey("key refused: expected a non-empty string")
    _check_encodable(key)
    return key


def _checked_part(part: object) -> str:
    if not isinstance(part, str) or not part:
        raise InvalidKey("composite key refused: object type and attributes must be non-empty strings, in a list")
    if "\x00" in part or MAX_UNICODE_RUNE in part:
        raise InvalidKey("composite key refused: a part contains U+0000 or U+10FFFF")
    _check_encodable(part)
    return part


def _check_encodable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidKey("key refused: it contains a lone surrogate, which UTF-8 cannot encode") from error
