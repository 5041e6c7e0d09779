"""The outcome of a transaction, as the peer gets it.

Trust level: pure, measured into enclaves.
Source: Fabric 2.5.9 `protos.Response`; fabric-chaincode-go shim/response.go (status codes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fabric_protos.peer import proposal_response_pb2
from google.protobuf.message import DecodeError

from cloister.errors import MalformedInput


class ResponseCode:
    """Status codes. Below ERRORTHRESHOLD a peer endorses; from ERROR on it returns the response unendorsed."""

    OK = 200
    ERRORTHRESHOLD = 400
    ERROR = 500


@dataclass(frozen=True, slots=True)
class Response:
    """`protos.Response`: status, a message (errors), a payload (results)."""

    status: int = ResponseCode.OK
    message: str = ""
    payload: bytes = b""

    def encode(self) -> bytes:
        """Canonical protobuf bytes."""
        message = proposal_response_pb2.Response(status=self.status, message=self.message, payload=self.payload)
        encoded: bytes = message.SerializeToString(deterministic=True)
        return encoded


def decode_response(encoded: bytes) -> Response:
    """Parse a `protos.Response`. Raises: MalformedInput."""
    message = proposal_response_pb2.Response()
    try:
        message.ParseFromString(encoded)
    except DecodeError as error:
        raise MalformedInput("not a chaincode response", field="response") from error
    return Response(message.status, message.message, message.payload)


def success(payload: bytes | bytearray | str | None = None) -> Response:
    """Status 200 with `payload`; text is encoded as UTF-8."""
    return Response(ResponseCode.OK, payload=payload.encode() if isinstance(payload, str) else bytes(payload or b""))


def error(message: str = "") -> Response:
    """Status 500 with `message`."""
    return Response(ResponseCode.ERROR, message=message)


def as_response(value: Any) -> Response | None:
    """`value` as a Response if it is one (ours or the generated protobuf class), else None."""
    if isinstance(value, Response):
        return value
    if isinstance(value, proposal_response_pb2.Response):
        return Response(value.status, value.message, value.payload)
    return None
