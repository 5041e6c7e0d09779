"""The one place that touches gRPC: unary and streaming calls, deadlines, and errors turned into ours."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
from fabric_protos.gateway import gateway_pb2
from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from cloister.errors import MalformedInput, UsageError
from cloister.fabric.decoding import decode_message

from .errors import GatewayError, PeerError

MAX_MESSAGE_BYTES = 100 * 1024 * 1024
"""The peer's own limit (core.yaml peer.maxRecvMsgSize)."""
CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 120_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),  # gRPC's two minutes would outlast a restart by far
)
_DETAILS_KEY = "grpc-status-details-bin"
_LISTEN_AGAIN = "listen again, with the same checkpointer"


_Message = TypeVar("_Message", bound=Any)


async def call_unary(
    channel: Any,
    method: str,
    request: bytes,
    *,
    deadline_s: float,
    error: type[GatewayError],
    endpoint: str,
    transaction_id: str = "",
) -> bytes:
    """One request, one answer, both serialised. Raises: `error`, with code and the peers' details; UsageError."""
    with _translated(error, endpoint, deadline_s, transaction_id):
        answer: bytes = await channel.unary_unary(method)(request, timeout=deadline_s)
    return answer


async def call_stream(
    channel: Any, method: str, request: bytes, *, error: type[GatewayError], endpoint: str
) -> AsyncGenerator[bytes, None]:
    """One request, a stream of answers without end, until the caller stops. Raises: `error`, UsageError."""
    with _translated(error, endpoint):
        stream = channel.unary_stream(method)(request)
        try:
            async for answer in stream:
                yield answer
        finally:
            stream.cancel()
    raise _ended(error, endpoint)


async def call_deliver(
    channel: Any, method: str, request: bytes, *, error: type[GatewayError], endpoint: str
) -> AsyncGenerator[bytes, None]:
    """A Deliver call: a bidirectional stream on which one request is sent. Raises: `error`, UsageError."""
    with _translated(error, endpoint):
        stream = channel.stream_stream(method)()
        try:
            await stream.write(request)
            while (answer := await stream.read()) is not grpc.aio.EOF:
                yield answer
        finally:
            stream.cancel()
    raise _ended(error, endpoint)


def decode_answer(
    message: _Message, encoded: bytes, *, error: type[GatewayError], endpoint: str, transaction_id: str = ""
) -> _Message:
    """A peer's answer, decoded into `message`. Raises: `error` if it is none."""
    name = type(message).DESCRIPTOR.name
    try:
        return decode_message(message, encoded, name)
    except MalformedInput as failure:
        raise error(f"{endpoint} answered with something that is no {name}", transaction_id=transaction_id) from failure


@contextmanager
def _translated(
    error: type[GatewayError], endpoint: str, deadline_s: float | None = None, transaction_id: str = ""
) -> Iterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as failure:
        raise translate(failure, error, endpoint, deadline_s, transaction_id) from failure
    except grpc.aio.UsageError as failure:
        raise UsageError(f"the connection to {endpoint} is closed", hint="connect again") from failure


def _ended(error: type[GatewayError], endpoint: str) -> GatewayError:
    """A stream that a listener takes for endless must not end unnoticed."""
    return error(f"{endpoint} ended the stream", hint=_LISTEN_AGAIN)


def translate(
    failure: Any, error: type[GatewayError], endpoint: str, deadline_s: float | None, transaction_id: str
) -> GatewayError:
    """Our error for gRPC's."""
    code = failure.code()
    details = peer_errors(failure)
    message = (failure.details() or "").strip() or code.name
    hint = None
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        waited = f" of {deadline_s:g} s" if deadline_s is not None else ""
        message = f"deadline{waited} exceeded at {endpoint}"
        hint = "is the chaincode running at every endorsing organisation? raise the deadline if it needs longer"
    elif code is grpc.StatusCode.UNAVAILABLE and "connect" in message:
        message = f"{endpoint} is not reachable: {message}"
        hint = "is the peer running, is this its TLS CA certificate, does it ask for a client's TLS certificate?"
    elif endpoint not in message and not details:
        message = f"{endpoint}: {message}"
        if code is grpc.StatusCode.UNAVAILABLE and deadline_s is None:
            hint = _LISTEN_AGAIN
    return error(message, transaction_id=transaction_id, code=code.name, details=details, hint=hint)


def peer_errors(failure: Any) -> tuple[PeerError, ...]:
    """The `gateway.ErrorDetail`s attached to a gRPC error."""
    for key, value in failure.trailing_metadata() or ():
        if key == _DETAILS_KEY:
            return _parse_details(value)
    return ()


def _parse_details(encoded: bytes) -> tuple[PeerError, ...]:
    status = status_pb2.Status()
    found = []
    try:
        status.ParseFromString(encoded)
        for packed in status.details:
            detail = gateway_pb2.ErrorDetail()
            if packed.Unpack(detail):
                found.append(PeerError(detail.address, detail.msp_id, detail.message))
    except DecodeError:
        pass  # details are a courtesy; the error itself is told anyway
    return tuple(found)
