"""From a transaction function's result to the payload of its response.

Text and bytes are the payload as they are, None is empty; other results are JSON as Python's `json` writes it by
default, in the order of their fields. Times are RFC 3339 in UTC with microseconds.

Trust level: pure, measured into enclaves.
Source: `fabric-chaincode-python` 2.5.4, corrected where it wrote Python's own notation instead of JSON.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
from collections.abc import Mapping
from typing import Any

from .errors import InvalidResult


def encode_result(value: Any) -> bytes:
    """Encode one result. Raises: InvalidResult if it has no JSON form."""
    match value:
        case None:
            return b""
        case bytes() | bytearray() | memoryview():
            return bytes(value)
        case enum.Enum():
            return encode_result(value.value)
        case str():
            return _utf8(value)
        case dt.datetime():
            return _format_time(value).encode()
        case dt.date():
            return value.isoformat().encode()
    try:
        return json.dumps(_to_json(value), allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidResult(f"result refused: {type(value).__name__} has no JSON form") from error


def _to_json(value: Any) -> Any:
    """Reduce to what `json` knows. Raises: TypeError or ValueError for anything without JSON form."""
    match value:
        case enum.Enum():
            return _to_json(value.value)
        case None | bool() | int() | float() | str():
            return value
        case dt.datetime():
            return _format_time(value)
        case dt.date():
            return value.isoformat()
        case bytes() | bytearray():
            return bytes(value).decode()
        case list() | tuple():
            return [_to_json(item) for item in value]
        case Mapping():
            return {_checked_name(name): _to_json(item) for name, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return {name: _to_json(item) for name, item in _attributes(value).items()}


def _attributes(value: Any) -> dict[str, Any]:
    """Public attributes of an object of a user's own class; sets and the like have none and no order either."""
    if isinstance(value, type) or callable(value) or not hasattr(value, "__dict__"):
        raise TypeError(f"{type(value).__name__} has no JSON form")
    return {name: item for name, item in vars(value).items() if not name.startswith("_") and not callable(item)}


def _checked_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError("keys of a JSON object are text")
    return name


def _format_time(value: dt.datetime) -> str:
    if value.tzinfo is not None:
        value = value.astimezone(dt.UTC)
    return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidResult("result refused: text with a lone surrogate, which UTF-8 cannot encode") from error
