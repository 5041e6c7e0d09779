"""gRPC's headers over HTTP/2: what a call of the chaincode service must look like, and how calls are refused. No I/O.

Source: gRPC's PROTOCOL-HTTP2.md (Requests, Responses, Status) and statuscodes.md; Fabric 2.5.9 for the one path.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from urllib.parse import quote

CONNECT = b"/protos.Chaincode/Connect"
"""The one method that peers call, a stream in both directions."""
MAX_STATUS_CHARACTERS = 1000
"""Longest text of a status: clients limit the size of trailers."""

Headers = list[tuple[bytes, bytes]]

_MEDIA_TYPES = (b"application/grpc", b"application/grpc+proto")
_CONTENT_TYPE = (b"content-type", b"application/grpc")
_UNQUOTED = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")

RESPONSE: Headers = [(b":status", b"200"), _CONTENT_TYPE, (b"grpc-accept-encoding", b"identity")]
"""How the answer to an accepted call begins."""


class Status(IntEnum):
    """gRPC's status codes, those that are used here."""

    OK = 0
    INVALID_ARGUMENT = 3
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13


class Refused(Exception):
    """A stream cannot go on. It stays between the `grpc_` modules; the client gets status and text."""

    def __init__(self, status: Status, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def refusal(headers: Iterable[tuple[bytes, bytes]]) -> Headers | None:
    """The whole answer to a request that is no call of `Connect`; None if it is one.

    What is no gRPC gets an HTTP status. A `grpc-timeout` needs no attention: when it expires, the client resets the
    stream. A `grpc-encoding` matters only once a message is marked as compressed.
    """
    fields = dict(headers)
    media_type = fields.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if fields.get(b":method") != b"POST":
        return [(b":status", b"405"), (b"allow", b"POST")]
    if media_type not in _MEDIA_TYPES:
        return [(b":status", b"415"), (b"accept", b"application/grpc")]
    if fields.get(b"te") != b"trailers":
        return [(b":status", b"400")]
    if fields.get(b":path") != CONNECT:
        return [*RESPONSE, *trailers(Status.UNIMPLEMENTED, "unknown service or method")]
    return None


def trailers(status: Status, text: str = "") -> Headers:
    """How an answer ends. Text outside printable ASCII is percent-encoded UTF-8."""
    ended = [(b"grpc-status", str(int(status)).encode())]
    if text:
        shortened = text[:MAX_STATUS_CHARACTERS]
        ended.append((b"grpc-message", quote(shortened, safe=_UNQUOTED, errors="replace").encode()))
    return ended
