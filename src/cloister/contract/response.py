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
    """`protos.Response`: status (0 to 2^31 - 1), a message (errors), a payload (results).

    Raises: TypeError, ValueError for anything that could not be sent.
    """

    status: int = ResponseCode.OK
    message: str = ""
    payload: bytes = b""

    def __post_init__(self) -> None:
        self._check(self.status, self.message, self.payload)

    @staticmethod
    def _check(status: object, message: object, payload: object) -> None:
        if not isinstance(status, int) or not isinstance(message, str) or not isinstance(payload, bytes):
            raise TypeError("response refused: expected an integer, text and bytes")
        if not 0 <= status < 2**31:
            raise ValueError(f"response refused: status {status} is not from 0 to 2147483647")

    def encode(self) -> bytes:
        """Canonical protobuf bytes."""
        text = self.message.encode(errors="replace").decode()  # a lone surrogate must not keep an error back
        message = proposal_response_pb2.Response(status=self.status, message=text, payload=self.payload)
        encoded: bytes = message.SerializeToString(deterministic=True)
        return encoded


def decode_response(encoded: bytes) -> Response:
    """Parse a `protos.Response`. Raises: MalformedInput."""
    message = proposal_response_pb2.Response()
    try:
        message.ParseFromString(encoded)
        return Response(message.status, message.message, message.payload)
    except (DecodeError, ValueError) as error:
        raise MalformedInput("not a chaincode response", field="response") from error


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
