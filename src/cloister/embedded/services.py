"""Fabric's gRPC services, as an orderer and as a peer of an embedded network offer them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2
from fabric_protos.orderer import ab_pb2
from fabric_protos.peer import proposal_pb2
from google.protobuf import any_pb2
from google.rpc import status_pb2

from cloister.errors import EnvironmentFailed

from .deliver import Delivery, orderer_delivery, peer_deliveries
from .discovery import Discovery
from .endorser import Endorser
from .errors import BroadcastRefused, ProposalRefused
from .gateway_service import GatewayRefused, GatewayService
from .ledger import Ledger
from .ordering import Orderer

_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 100 << 20),
    ("grpc.max_send_message_length", 100 << 20),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_ping_strikes", 0),
)


async def serve_orderer(endpoint: str, tls: Path, ledger: Ledger, orderer: Orderer) -> Any:
    """Start the orderer's server. Raises: EnvironmentFailed if its port is taken."""

    async def broadcast(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        del context
        async for request in requests:
            try:
                await orderer.broadcast(request)
            except BroadcastRefused as refused:
                yield _encode(ab_pb2.BroadcastResponse(status=refused.status, info=refused.message))
                return
            yield _encode(ab_pb2.BroadcastResponse(status=common_pb2.SUCCESS))

    methods = {
        "Broadcast": grpc.stream_stream_rpc_method_handler(broadcast),
        "Deliver": grpc.stream_stream_rpc_method_handler(_deliver(orderer_delivery(ledger))),
    }
    return await _start(endpoint, tls, {"orderer.AtomicBroadcast": methods})


async def serve_peer(
    endpoint: str, tls: Path, endorser: Endorser, gateway: GatewayService, discovery: Discovery
) -> Any:
    """Start a peer's server. Raises: EnvironmentFailed if its port is taken."""
    peer = endorser.peer

    async def process(request: bytes, context: Any) -> bytes:
        try:
            return _encode(await endorser.process(proposal_pb2.SignedProposal.FromString(request)))
        except ProposalRefused as refused:
            await context.abort(grpc.StatusCode.UNKNOWN, refused.message)
            raise

    deliveries = peer_deliveries(peer.ledger, peer.msp_id)
    services = {
        "protos.Endorser": {"ProcessProposal": grpc.unary_unary_rpc_method_handler(process)},
        "protos.Deliver": {
            method: grpc.stream_stream_rpc_method_handler(_deliver(delivery)) for method, delivery in deliveries.items()
        },
        "gateway.Gateway": {
            "Evaluate": _unary(gateway_pb2.EvaluateRequest, gateway.evaluate),
            "Endorse": _unary(gateway_pb2.EndorseRequest, gateway.endorse),
            "Submit": _unary(gateway_pb2.SubmitRequest, gateway.submit),
            "CommitStatus": _unary(gateway_pb2.SignedCommitStatusRequest, gateway.commit_status),
            "ChaincodeEvents": _streaming(gateway_pb2.SignedChaincodeEventsRequest, gateway.chaincode_events),
        },
        "discovery.Discovery": {"Discover": grpc.unary_unary_rpc_method_handler(discovery.discover)},
    }
    return await _start(endpoint, tls, services)


async def _start(endpoint: str, tls: Path, services: dict[str, dict[str, Any]]) -> Any:
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers(
        tuple(grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items())
    )
    pair = ((tls / "server.key").read_bytes(), (tls / "server.crt").read_bytes())
    try:
        server.add_secure_port(endpoint, grpc.ssl_server_credentials([pair]))
    except RuntimeError as error:
        raise EnvironmentFailed(
            f"cannot listen on {endpoint}", hint="is the network running already, or another program on its port?"
        ) from error
    await server.start()
    return server


def _deliver(delivery: Delivery) -> Callable[[AsyncIterator[bytes], Any], AsyncIterator[bytes]]:
    async def deliver(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        del context

        async def envelopes() -> AsyncIterator[Any]:
            async for request in requests:
                yield common_pb2.Envelope.FromString(request)

        async for answer in delivery.serve(envelopes()):
            yield _encode(answer)

    return deliver


def _unary(kind: Any, handle: Callable[[Any], Awaitable[Any]]) -> Any:
    async def serve(request: bytes, context: Any) -> bytes:
        try:
            return _encode(await handle(kind.FromString(request)))
        except GatewayRefused as refused:
            await _abort(context, refused)
            raise

    return grpc.unary_unary_rpc_method_handler(serve)


def _streaming(kind: Any, handle: Callable[[Any], AsyncIterator[Any]]) -> Any:
    async def serve(request: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            async for answer in handle(kind.FromString(request)):
                yield _encode(answer)
        except GatewayRefused as refused:
            await _abort(context, refused)

    return grpc.unary_stream_rpc_method_handler(serve)


async def _abort(context: Any, refused: GatewayRefused) -> None:
    status = status_pb2.Status(code=refused.code.value[0], message=refused.message)
    for detail in refused.details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    trailing = (("grpc-status-details-bin", status.SerializeToString()),) if refused.details else ()
    await context.abort(refused.code, refused.message, trailing)


def _encode(message: Any) -> bytes:
    encoded: bytes = message.SerializeToString()
    return encoded
