"""From an argument's bytes to a value of the declared type.

Text is taken as it is; bytes are the raw bytes; numbers, booleans, times and dates are read from their text (an empty
argument is 0, 0.0, False, or None if that is allowed); everything else is JSON, checked down to the last field.

Trust level: pure, measured into enclaves. No message quotes a value.
Source: conversions of `fabric-chaincode-python` 2.5.4 and fabric-contract-api-go.
"""

from __future__ import annotations

import datetime as dt
import enum
import json
import math
import re
import typing
from typing import Any, NoReturn

from .errors import InvalidArgument
from .hints import container_of, describe, is_any, is_optional, is_struct, struct_fields, union_members

_INTEGER = re.compile(r"[+-]?[0-9]{1,1000}")
_TRUE = frozenset({"true", "t", "1", "yes", "y"})
_FALSE = frozenset({"false", "f", "0", "no", "n", ""})


def parse_argument(argument: bytes, hint: Any) -> Any:
    """Read one argument.

    Raises: InvalidArgument, whose `field` is the path inside the argument ("" for the whole) and whose message begins
    with "expected".
    """
    if hint in (bytes, bytearray):
        return hint(argument)
    try:
        text = argument.decode()
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"expected {describe(hint)}, got bytes that are not UTF-8") from error
    if hint is str or hint is int:  # nearly all are; the rest would say the same of them, later
        return _parse_text(text, hint)
    members = union_members(hint)
    if is_optional(hint) and text in ("", "null") and str not in members:
        return None
    if len(members) == 1:
        return _parse_text(text, members[0])
    return from_json(text if str in members and not _is_json(text) else _load_json(text, hint), hint)


def from_json(value: Any, hint: Any, path: str = "") -> Any:
    """Check a decoded JSON value against a hint and build the value of that type.

    Raises: InvalidArgument with the path of the offending part in `field`.
    """
    if is_any(hint) or (value is None and is_optional(hint)):
        return value
    members = union_members(hint)
    if len(members) > 1:
        return _from_union(value, hint, members, path)
    (hint,) = members
    if typing.get_origin(hint) is typing.Literal or (isinstance(hint, type) and issubclass(hint, enum.Enum)):
        return _from_choices(value, hint, path)
    if (container := container_of(hint)) is not None:
        return _from_container(value, hint, container, path)
    if is_struct(hint):
        return _from_struct(value, hint, path)
    return _from_scalar(value, hint, path)


def _parse_text(text: str, hint: Any) -> Any:
    if hint is str or is_any(hint):
        return text
    if hint in _SCALAR_PARSERS:
        try:
            return _SCALAR_PARSERS[hint](text)
        except (ValueError, OverflowError) as error:
            raise InvalidArgument(f"expected {describe(hint)}, got other text") from error
    if typing.get_origin(hint) is typing.Literal or (isinstance(hint, type) and issubclass(hint, enum.Enum)):
        choices = _choices(hint)
        return choices[text] if text in choices else from_json(_load_json(text, hint), hint)
    return from_json(_load_json(text, hint), hint)


def _parse_bool(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError
    return word in _TRUE


def _parse_int(text: str) -> int:
    if not text:
        return 0
    if not _INTEGER.fullmatch(text):
        raise ValueError
    return int(text)


def _parse_float(text: str) -> float:
    number = float(text or 0)
    if not math.isfinite(number):
        raise ValueError
    return number


_SCALAR_PARSERS: dict[Any, Any] = {
    bool: _parse_bool,
    int: _parse_int,
    float: _parse_float,
    dt.datetime: dt.datetime.fromisoformat,
    dt.date: dt.date.fromisoformat,
}


def _load_json(text: str, hint: Any) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"expected {describe(hint)} as JSON, got text that is not JSON") from error


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse_constant(_name: str) -> NoReturn:
    """NaN and the infinities are no JSON (RFC 8259), though Python reads them."""
    raise ValueError("not a JSON number")


def _from_union(value: Any, hint: Any, members: tuple[Any, ...], path: str) -> Any:
    for member in members:
        try:
            return from_json(value, member, path)
        except InvalidArgument:
            continue
    return _refuse(value, hint, path)


def _from_choices(value: Any, hint: Any, path: str) -> Any:
    for choice, result in _choices(hint).items():
        if choice == value and type(choice) is type(value):
            return result
    raise InvalidArgument(f"expected one of the values of {describe(hint)}, got another", field=path)


def _choices(hint: Any) -> dict[Any, Any]:
    if typing.get_origin(hint) is typing.Literal:
        return {choice: choice for choice in typing.get_args(hint)}
    return {member.value: member for member in hint}


def _from_container(value: Any, hint: Any, container: type, path: str) -> Any:
    arguments = typing.get_args(hint)
    if container is dict:
        if not isinstance(value, dict):
            _refuse(value, hint, path)
        item_hint = arguments[1] if arguments else Any
        # Keys are the caller's, perhaps secret, and may hold anything: a path does not name them.
        return {key: from_json(item, item_hint, path + "{}") for key, item in value.items()}
    if not isinstance(value, list):
        _refuse(value, hint, path)
    if container is tuple and arguments and Ellipsis not in arguments:
        if len(value) != len(arguments):
            raise InvalidArgument(f"expected {len(arguments)} items, got {len(value)}", field=path)
        hints = arguments
    else:
        hints = (arguments[0] if arguments else Any,) * len(value)
    pairs = enumerate(zip(value, hints, strict=True))
    return container(from_json(item, item_hint, f"{path}[{index}]") for index, (item, item_hint) in pairs)


def _from_struct(value: Any, hint: Any, path: str) -> Any:
    if not isinstance(value, dict):
        _refuse(value, hint, path)
    fields = {field.name: field for field in struct_fields(hint)}
    if value.keys() - fields.keys():
        raise InvalidArgument(f"expected the fields of {describe(hint)}, got an unknown one", field=path)
    for field in fields.values():
        if field.required and field.name not in value:
            raise InvalidArgument(f"expected {describe(field.hint)}, got nothing", field=_join(path, field.name))
    values = {name: from_json(item, fields[name].hint, _join(path, name)) for name, item in value.items()}
    try:
        return hint(**values)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"expected a valid {describe(hint)}, got one that it refuses", field=path) from error


def _from_scalar(value: Any, hint: Any, path: str) -> Any:
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and hint in (bytes, bytearray):
        return hint(value.encode())
    if isinstance(value, str) and hint in (dt.datetime, dt.date):
        try:
            return hint.fromisoformat(value)
        except ValueError:
            _refuse(value, hint, path)
    if type(value) is hint:
        return value
    return _refuse(value, hint, path)


_JSON_KINDS = {
    str: "text",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def _refuse(value: Any, hint: Any, path: str) -> NoReturn:
    raise InvalidArgument(f"expected {describe(hint)}, got {_JSON_KINDS[type(value)]}", field=path)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
