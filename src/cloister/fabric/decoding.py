"""Decoding Fabric's protobuf messages: one error for everything that is not one, and for that alone.

Trust level: pure, measured into enclaves. What is plainly encoded, as all programs do it, reads the same everywhere; of
anything else it is Go that decides (wire_format.py).
"""

from __future__ import annotations

from typing import Any, TypeVar

from google.protobuf.message import DecodeError

from cloister.errors import MalformedInput

from .wire_format import normalized

_Message = TypeVar("_Message", bound=Any)


def decode_message(message: _Message, encoded: bytes, what: str) -> _Message:
    """Fill a fresh message of the generated code from bytes, without unknown fields.

    Raises: MalformedInput naming `what`.
    """
    try:
        message.ParseFromString(encoded)
    except DecodeError:
        return _decode_odd(message, encoded, what)
    message.DiscardUnknownFields()
    if message.SerializeToString() != encoded:  # maps in another order count as odd, and are read all the same
        return _decode_odd(message, encoded, what)
    return message


def _decode_odd(message: _Message, encoded: bytes, what: str) -> _Message:
    try:
        message.ParseFromString(normalized(encoded, message.DESCRIPTOR))
    except (DecodeError, MalformedInput) as error:
        raise MalformedInput(f"not a {what}", field=what) from error
    return message
