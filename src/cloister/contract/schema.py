"""JSON schemas of type hints, for a chaincode's metadata.

Trust level: pure, measured into enclaves.
Source: fabric-contract-api-go metadata/schema.go for the form.
"""

from __future__ import annotations

import datetime as dt
import enum
import typing
from typing import Any

from .hints import container_of, is_any, is_optional, is_struct, struct_fields, union_members

_SCALAR_SCHEMAS: dict[Any, dict[str, str]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer", "format": "int64"},
    float: {"type": "number", "format": "double"},
    bytes: {"type": "string", "format": "byte"},
    bytearray: {"type": "string", "format": "byte"},
    dt.datetime: {"type": "string", "format": "date-time"},
    dt.date: {"type": "string", "format": "date"},
}


def schema_of(hint: Any, components: dict[str, Any]) -> dict[str, Any]:
    """The schema of a hint; a structure becomes a reference, and its own schema an entry of `components`."""
    if hint in _SCALAR_SCHEMAS:
        return dict(_SCALAR_SCHEMAS[hint])
    members = union_members(hint)
    if members != (hint,):
        schemas = [schema_of(member, components) for member in members]
        schemas += [{"type": "null"}] if is_optional(hint) and len(members) > 1 else []
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    if typing.get_origin(hint) is typing.Literal:
        return {"enum": list(typing.get_args(hint))}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"enum": [member.value for member in hint]}
    if (container := container_of(hint)) is not None:
        return _container_schema(hint, container, components)
    if is_any(hint) or not is_struct(hint):
        return {}
    return _struct_reference(hint, components)


def _container_schema(hint: Any, container: type, components: dict[str, Any]) -> dict[str, Any]:
    arguments = [argument for argument in typing.get_args(hint) if argument is not Ellipsis]
    if container is dict:
        values = schema_of(arguments[1], components) if arguments else {}
        return {"type": "object", "additionalProperties": values}
    if container is tuple and len(arguments) > 1:
        return {"type": "array", "items": [schema_of(argument, components) for argument in arguments]}
    return {"type": "array", "items": schema_of(arguments[0], components) if arguments else {}}


def _struct_reference(hint: Any, components: dict[str, Any]) -> dict[str, Any]:
    name = hint.__name__
    if name not in components:
        components[name] = {}  # the structure may mention itself
        fields = struct_fields(hint)
        components[name] = {
            "$id": name,
            "type": "object",
            "properties": {field.name: schema_of(field.hint, components) for field in fields},
            "required": [field.name for field in fields if field.required],
            "additionalProperties": False,
        }
    return {"$ref": f"#/components/schemas/{name}"}
