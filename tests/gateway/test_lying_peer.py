"""A peer that answers wrongly: a real gRPC server on the loopback, since Fabric's own cannot be made to lie."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest
from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2
from fabric_protos.peer import events_pb2, proposal_response_pb2
from google.rpc import status_pb2

from cloister.errors import CloisterError, MalformedInput, RemoteFailed, UsageError
from cloister.gateway import (
    Commit,
    EndorseError,
    Endpoint,
    EvaluateError,
    EventsError,
    Gateway,
    Identity,
    connect,
)
from cloister.lifecycle import Lifecycle

IDENTITY = Identity("Org1MSP", b"certificate")
GARBAGE = b"\xff\xff\xff"


class Peer(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc is Any to mypy
    """Gives the same bytes as the answer to every call, `count` times on streams."""

    def __init__(self, answer: bytes, count: int = 1) -> None:
        self.answer = answer
        self.count = count

    def service(self, call: Any) -> Any:
        name = call.method.rpartition("/")[2]
        if name == "ChaincodeEvents":
            return grpc.unary_stream_rpc_method_handler(self._stream)
        if name.startswith("Deliver"):
            return grpc.stream_stream_rpc_method_handler(self._exchange)
        return grpc.unary_unary_rpc_method_handler(self._once)

    async def _once(self, _request: bytes, _context: Any) -> bytes:
        return self.answer

    async def _exchange(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        await anext(aiter(requests))  # a stream that ends before the request has arrived breaks with another error
        async for answer in self._stream(b"", context):
            yield answer

    async def _stream(self, _request: Any, _context: Any) -> AsyncIterator[bytes]:
        for _ in range(self.count):
            yield self.answer


@asynccontextmanager
async def at(peer: Peer) -> AsyncIterator[Gateway]:
    async def sign(_digest: bytes) -> bytes:
        return b"signature"

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((peer,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with connect(Endpoint(f"127.0.0.1:{port}", None), IDENTITY, sign, allow_plaintext=True) as gateway:
            yield gateway
    finally:
        await server.stop(None)


async def evaluate(gateway: Gateway) -> object:
    return await gateway.network("c").contract("cc").evaluate_transaction("f")


async def endorse(gateway: Gateway) -> object:
    return await gateway.network("c").contract("cc").new_proposal("f").endorse()


async def commit_status(gateway: Gateway) -> object:
    return await commit(gateway).status()


async def chaincode_event(gateway: Gateway) -> object:
    return await anext(gateway.network("c").chaincode_events("cc"))


async def block_event(gateway: Gateway) -> object:
    return await anext(gateway.network("c").block_events())


async def filtered_event(gateway: Gateway) -> object:
    return await anext(gateway.network("c").filtered_block_events())


async def private_event(gateway: Gateway) -> object:
    return await anext(gateway.network("c").block_and_private_data_events())


async def query_installed(gateway: Gateway) -> object:
    return await Lifecycle(gateway, "c").query_installed()


Call = Callable[[Gateway], Awaitable[object]]
CALLS: tuple[Call, ...] = (
    evaluate,
    endorse,
    commit_status,
    chaincode_event,
    block_event,
    filtered_event,
    private_event,
    query_installed,
)


def commit(gateway: Gateway) -> Commit:
    return gateway.new_signed_commit(gateway_pb2.CommitStatusRequest(transaction_id="t").SerializeToString(), b"s")


@pytest.mark.parametrize("call", CALLS)
async def test_an_answer_that_is_none_is_the_peers_fault(call: Call) -> None:
    async with at(Peer(GARBAGE)) as gateway:
        with pytest.raises(RemoteFailed, match=r"127\.0\.0\.1:\d+ answered with something that is no "):
            await call(gateway)


def well_formed_answers() -> list[bytes]:
    """Well-formed answers of every kind, to be damaged."""
    block = common_pb2.Block(header=common_pb2.BlockHeader(number=7, previous_hash=b"p" * 32, data_hash=b"d" * 32))
    block.data.data.append(b"transaction")
    block.metadata.metadata.extend([b"", b"", b"\0"])
    both = events_pb2.BlockAndPrivateData(block=block)
    filtered = events_pb2.FilteredBlock(channel_id="c", number=7)
    filtered.filtered_transactions.add(txid="t")
    event = gateway_pb2.ChaincodeEventsResponse(block_number=7)
    event.events.add(chaincode_id="cc", tx_id="t", event_name="e", payload=b"x")
    response = proposal_response_pb2.ProposalResponse()
    response.response.status = 200
    messages = [
        events_pb2.DeliverResponse(block=block),
        events_pb2.DeliverResponse(filtered_block=filtered),
        events_pb2.DeliverResponse(block_and_private_data=both),
        events_pb2.DeliverResponse(status=404),
        event,
        response,
        gateway_pb2.CommitStatusResponse(result=11, block_number=7),
        gateway_pb2.EndorseResponse(prepared_transaction=common_pb2.Envelope(payload=b"payload", signature=b"s")),
    ]
    return [message.SerializeToString() for message in messages]


async def test_any_answer_ends_in_a_value_or_in_an_error_of_ours() -> None:
    """Errors of protobuf and of gRPC do not leave the client."""
    peer = Peer(b"")
    chance = random.Random(1)
    async with at(peer) as gateway:
        for answer in well_formed_answers() * 8:
            damaged = bytearray(answer)
            for _ in range(chance.randrange(3)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            peer.answer = bytes(damaged[: chance.randrange(len(damaged) + 1)])
            for call in CALLS:
                with suppress(CloisterError):
                    await call(gateway)


async def test_an_answer_without_an_endorsed_transaction_is_refused() -> None:
    async with at(Peer(b"")) as gateway:
        with pytest.raises(EndorseError, match="no endorsed transaction") as caught:
            await endorse(gateway)
    assert len(caught.value.transaction_id) == 64


@pytest.mark.parametrize("call", [chaincode_event, block_event, filtered_event, private_event])
async def test_a_stream_that_the_peer_ends_does_not_end_unnoticed(call: Call) -> None:
    async with at(Peer(b"", count=0)) as gateway:
        with pytest.raises(EventsError, match="ended the stream"):
            await call(gateway)


async def test_an_unknown_status_and_an_unknown_validation_code_are_told() -> None:
    async with at(Peer(events_pb2.DeliverResponse(status=599).SerializeToString())) as gateway:
        with pytest.raises(EventsError, match="599"):
            await block_event(gateway)
    async with at(Peer(gateway_pb2.CommitStatusResponse(result=77).SerializeToString())) as gateway:
        status = await commit(gateway).status()
    assert (status.code_name, status.successful) == ("CODE_77", False)


async def test_a_refusing_peer_cannot_write_several_lines_into_an_error() -> None:
    words = "no\n\x1b[2Jcloister: all is well\r\nreally"

    class Refusing(Peer):
        async def _once(self, _request: bytes, context: Any) -> bytes:
            status = status_pb2.Status(code=10, message="see details")
            detail = gateway_pb2.ErrorDetail(address="a:1", msp_id="Org1MSP", message=words)
            status.details.add().Pack(detail)
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            await context.abort(grpc.StatusCode.ABORTED, "see details")
            return b""

    async with at(Refusing(b"")) as gateway:
        with pytest.raises(EvaluateError) as caught:
            await evaluate(gateway)
    assert str(caught.value) == "evaluate failed: see details: a:1 (Org1MSP): no [2Jcloister: all is well really"
    assert caught.value.details[0].message == words


async def test_garbled_details_do_not_hide_the_error() -> None:
    class Refusing(Peer):
        async def _once(self, _request: bytes, context: Any) -> bytes:
            context.set_trailing_metadata((("grpc-status-details-bin", GARBAGE),))
            await context.abort(grpc.StatusCode.ABORTED, "the reason")
            return b""

    async with at(Refusing(b"")) as gateway:
        with pytest.raises(EvaluateError, match="the reason") as caught:
            await evaluate(gateway)
    assert caught.value.details == ()


async def test_a_peer_refusing_to_install_says_so() -> None:
    refused = proposal_response_pb2.ProposalResponse()
    refused.response.status, refused.response.message = 500, "no space"
    async with at(Peer(refused.SerializeToString())) as gateway:
        with pytest.raises(RemoteFailed, match="no space"):
            await query_installed(gateway)


# --- the caller's own mistakes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [evaluate, endorse, commit_status, chaincode_event, block_event])
async def test_a_closed_connection_is_told(call: Call) -> None:
    async with at(Peer(b"")) as gateway:
        await gateway.close()
        with pytest.raises(UsageError, match=r"the connection to 127\.0\.0\.1:\d+ is closed"):
            await call(gateway)


@pytest.mark.parametrize("start", [-1, 2**64])
async def test_a_block_number_that_is_none_is_refused(start: int) -> None:
    async with at(Peer(b"")) as gateway:
        with pytest.raises(UsageError, match="start_block"):
            await anext(gateway.network("c").block_events(start_block=start))
        with pytest.raises(UsageError, match="start_block"):
            await anext(gateway.network("c").chaincode_events("cc", start_block=start))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"endorsing_organizations": "Org1MSP"}, "endorsing_organizations: expected a list"),
        ({"arguments": "abc"}, "arguments: expected a list"),
        ({"arguments": [3]}, "arguments: expected text or bytes, got int"),
        ({"arguments": ["\ud800"]}, "no valid text"),
        ({"nonce": b"short"}, "nonce: expected 24 bytes, got 5"),
        ({"nonce": b""}, "nonce: expected 24 bytes, got 0"),
    ],
)
async def test_what_cannot_be_proposed_is_refused_before_anything_is_sent(
    options: dict[str, Any], message: str
) -> None:
    async with at(Peer(b"")) as gateway:
        with pytest.raises(UsageError, match=message):
            gateway.network("c").contract("cc").new_proposal("f", **options)


async def test_garbled_offline_messages_are_malformed_input() -> None:
    async with at(Peer(b"")) as gateway:
        for make in (gateway.new_signed_proposal, gateway.new_signed_transaction, gateway.new_signed_commit):
            with pytest.raises(MalformedInput):
                make(GARBAGE, b"signature")


async def test_without_a_signer_nothing_is_sent() -> None:
    async with connect(Endpoint("127.0.0.1:1", None), IDENTITY, allow_plaintext=True) as gateway:
        with pytest.raises(UsageError, match="no signer"):
            await evaluate(gateway)
