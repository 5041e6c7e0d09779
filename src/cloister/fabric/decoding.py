"""Decoding Fabric's protobuf messages: one error for everything that is not one.

Trust level: pure, measured into enclaves.
"""

from __future__ import annotations

from typing import Any, TypeVar

from google.protobuf.message import DecodeError

from cloister.errors import MalformedInput

_Message = TypeVar("_Message", bound=Any)


def decode_message(message: _Message, encoded: bytes, what: str) -> _Message:
    """Fill a fresh message of the generated code from bytes. Raises: MalformedInput naming `what`."""
    try:
        message.ParseFromString(encoded)
    except DecodeError as error:
        raise MalformedInput(f"not a {what}", field=what) from error
    return message
