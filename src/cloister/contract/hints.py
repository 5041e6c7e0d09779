"""Type hints of transaction functions: which ones are allowed, and what they are made of.

Allowed: str, int, float, bool, bytes, datetime, date, Any; list, tuple, dict with text keys; dataclasses, TypedDicts
and plain classes with an annotated constructor; Enum, Literal; Optional and other unions of these.

Trust level: pure, measured into enclaves.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import inspect
import types
import typing
from typing import Any

from .errors import ContractInvalid

SCALARS: tuple[type, ...] = (str, bool, int, float, bytes, bytearray, dt.datetime, dt.date)


@dataclasses.dataclass(frozen=True, slots=True)
class StructField:
    """A field of a structure; one that is not `required` may be absent in JSON."""

    name: str
    hint: Any
    required: bool


def union_members(hint: Any) -> tuple[Any, ...]:
    """Members of a union, None among them left out; of anything else, the hint itself."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(member for member in typing.get_args(hint) if member is not type(None))
    return (hint,)


def is_optional(hint: Any) -> bool:
    """Whether None is a value of this hint."""
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return hint is None or hint is type(None) or (is_union and type(None) in typing.get_args(hint))


def container_of(hint: Any) -> type | None:
    """list, tuple or dict for a (parametrised) container hint, else None."""
    origin = typing.get_origin(hint) or hint
    return origin if origin in (list, tuple, dict) else None


def is_any(hint: Any) -> bool:
    """Any, object, or no hint at all."""
    return hint is Any or hint is object or hint is inspect.Parameter.empty


def is_struct(hint: Any) -> bool:
    """Whether values are JSON objects with the fields of a class."""
    if not isinstance(hint, type) or hint in SCALARS or hint.__module__ == "builtins":
        return False
    return not (issubclass(hint, enum.Enum) or container_of(hint) is not None)


def struct_fields(hint: type) -> tuple[StructField, ...]:
    """Fields of a dataclass, TypedDict or plain class (its constructor's parameters), in order.

    Raises: ContractInvalid if a field's type cannot be resolved.
    """
    try:
        if dataclasses.is_dataclass(hint):
            hints = typing.get_type_hints(hint)
            return tuple(
                StructField(field.name, hints[field.name], not _has_default(field))
                for field in dataclasses.fields(hint)
                if field.init
            )
        if typing.is_typeddict(hint):
            return _typed_dict_fields(hint)
        hints = typing.get_type_hints(hint.__init__)  # type: ignore[misc]
        parameters = list(inspect.signature(hint).parameters.values())
    except (NameError, TypeError, ValueError) as error:
        raise ContractInvalid(f"type {hint.__name__}: its fields cannot be determined: {error}") from error
    empty = inspect.Parameter.empty
    return tuple(StructField(item.name, hints.get(item.name, Any), item.default is empty) for item in parameters)


def describe(hint: Any) -> str:
    """A short name for messages: `int`, `list[int]`, `Bid`."""
    if is_any(hint):
        return "anything"
    if isinstance(hint, type) and not typing.get_args(hint):
        return hint.__name__
    members = union_members(hint)
    if members != (hint,):
        return " or ".join(map(describe, members)) + (" or null" if is_optional(hint) else "")
    return str(hint).replace("typing.", "")


def check_hint(hint: Any, seen: tuple[Any, ...] = ()) -> None:
    """Refuse types that have no JSON form.

    Raises: ContractInvalid.
    """
    if is_any(hint) or hint in SCALARS or hint in seen or hint in (None, type(None)):
        return
    if typing.get_origin(hint) is typing.Literal or (isinstance(hint, type) and issubclass(hint, enum.Enum)):
        return
    seen = (*seen, hint)
    members = union_members(hint)
    if members != (hint,):
        for member in members:
            check_hint(member, seen)
    elif (container := container_of(hint)) is not None:
        _check_container(hint, container, seen)
    elif is_struct(hint):
        for field in struct_fields(hint):
            check_hint(field.hint, seen)
    else:
        raise ContractInvalid(f"type {describe(hint)} is not supported: expected one with a JSON form")


def _check_container(hint: Any, container: type, seen: tuple[Any, ...]) -> None:
    arguments = typing.get_args(hint)
    if container is dict and arguments and arguments[0] is not str:
        raise ContractInvalid(f"type {describe(hint)} is not supported: keys of a dict must be str")
    for argument in arguments:
        if argument is not Ellipsis:
            check_hint(argument, seen)


def _typed_dict_fields(hint: Any) -> tuple[StructField, ...]:
    """The class's own list of required keys overlooks marks in annotations that are kept as text."""
    marked = typing.get_type_hints(hint, include_extras=True)
    required = {name for name in hint.__required_keys__ if typing.get_origin(marked[name]) is not typing.NotRequired}
    required |= {name for name in marked if typing.get_origin(marked[name]) is typing.Required}
    return tuple(StructField(name, field, name in required) for name, field in typing.get_type_hints(hint).items())


def _has_default(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing
