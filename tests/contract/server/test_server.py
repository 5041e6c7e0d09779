from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import pytest
from fabric_protos.peer import chaincode_shim_pb2 as shim
from h2 import events as http2
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cloister.contract import (
    Contract,
    ContractChaincode,
    PeerLost,
    PeerRefused,
    Response,
    TransactionContext,
    success,
)
from cloister.contract.server import (
    ChaincodeServer,
    Handler,
    PeerStub,
    ServerNotStarted,
    ServerTls,
    contract_handler,
    session,
)
from cloister.errors import UsageError
from support.http2_client import SocketClient
from support.memory_ledger import PAGE, MemoryLedger
from support.simulated_peer import Message, SimulatedPeer
from support.tls import make_certificate

SECRET = "the-secret-value"


class Store(Contract):
    async def put(self, ctx: TransactionContext, key: str, value: str) -> str:
        stub = ctx.get_stub()
        await stub.put_state(key, value)
        stub.set_event("put", key)
        return "OK"

    async def get(self, ctx: TransactionContext, key: str) -> bytes:
        return await ctx.get_stub().get_state(key)

    async def names(self, ctx: TransactionContext) -> list[str]:
        return [item.key async for item in await ctx.get_stub().get_state_by_range("", "")]

    async def together(self, ctx: TransactionContext, keys: int) -> int:
        values = await asyncio.gather(*(ctx.get_stub().get_state(f"k{number:04}") for number in range(keys)))
        return sum(map(len, values))

    async def rich(self, ctx: TransactionContext) -> None:
        await ctx.get_stub().get_query_result("{}")

    async def call(self, ctx: TransactionContext, name: str, text: str) -> Response:
        return await ctx.get_stub().invoke_chaincode(name, [text])

    async def policy(self, ctx: TransactionContext, key: str, value: str) -> bytes:
        await ctx.get_stub().set_state_validation_parameter(key, value.encode())
        return await ctx.get_stub().get_state_validation_parameter(key)

    async def private(self, ctx: TransactionContext, key: str, value: str) -> bytes:
        stub = ctx.get_stub()
        await stub.put_private_data("collection", key, value)
        await stub.purge_private_data("collection", "old")
        return await stub.get_private_data_hash("collection", key)

    async def history(self, ctx: TransactionContext, key: str) -> list[str]:
        return [item.tx_id async for item in await ctx.get_stub().get_history_for_key(key)]


Start = Callable[..., Awaitable[ChaincodeServer]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts servers and stops them after the test."""
    servers = []

    async def starter(handler: Handler | None = None, tls: ServerTls | None = None) -> ChaincodeServer:
        server = ChaincodeServer(handler or contract_handler(ContractChaincode(Store())), "label:hash", tls=tls)
        await server.start()
        servers.append(server)
        return server

    yield starter
    for server in servers:
        await server.stop(0)


async def test_a_contract_is_served_over_the_stream(start: Start) -> None:
    ledger = MemoryLedger()
    async with SimulatedPeer((await start()).address, ledger) as peer:
        assert peer.chaincode_id == "label:hash"
        response, event = await peer.run("1", ["put", "k", "v"])
        assert (response.status, response.payload) == (200, b"OK")
        assert (event.event_name, event.payload) == ("put", b"k")
        response, event = await peer.run("2", ["get", "k"])
        assert (response.payload, event) == (b"v", None)


async def test_every_kind_of_request_is_understood_by_a_peer(start: Start) -> None:
    ledger = MemoryLedger(chaincodes={"other": lambda arguments: Response(201, "m", b"".join(arguments))})
    async with SimulatedPeer((await start()).address, ledger) as peer:
        assert (await peer.run("1", ["policy", "k", "p"]))[0].payload == b"p"
        assert (await peer.run("2", ["private", "k", "v"]))[0].status == 200
        assert ledger.state["collection", "k"] == b"v"
        assert (await peer.run("3", ["call", "other", "x"]))[0].payload == b"x"
        assert (await peer.run("4", ["call", "missing", "x"]))[0].message == "no chaincode missing"
        await peer.run("5", ["put", "h", "1"])
        await peer.run("6", ["put", "h", "2"])
        assert (await peer.run("7", ["history", "h"]))[0].payload == b'["6", "5"]'
        refused = (await peer.run("8", ["rich"]))[0]
        assert (refused.status, refused.message) == (500, "ExecuteQuery not supported for leveldb")


@pytest.mark.parametrize("count", [PAGE, 2 * PAGE + 1])
async def test_more_results_than_a_page_come_completely_and_the_query_is_closed(start: Start, count: int) -> None:
    ledger = MemoryLedger({("", f"k{number:04}"): b"v" for number in range(count)})
    async with SimulatedPeer((await start()).address, ledger) as peer:
        response, _ = await peer.run("1", ["names"])
        assert response.payload.count(b"k") == count
        assert peer.requests[-1].type == Message.QUERY_STATE_CLOSE


async def test_concurrent_requests_of_a_call_go_out_one_by_one(start: Start) -> None:
    ledger = MemoryLedger({("", f"k{number:04}"): b"v" for number in range(50)})
    async with SimulatedPeer((await start()).address, ledger) as peer:
        assert (await peer.run("1", ["together", "50"]))[0].payload == b"50"


async def test_large_values_pass(start: Start) -> None:
    async with SimulatedPeer((await start()).address, MemoryLedger()) as peer:
        value = "v" * (20 << 20)
        assert (await peer.run("1", ["put", "k", value]))[0].payload == b"OK"
        assert (await peer.run("2", ["get", "k"]))[0].payload == value.encode()


async def test_calls_run_side_by_side(start: Start) -> None:
    """Two calls that each wait for the other's turn can only end if both run."""
    met = asyncio.Barrier(2)

    async def handler(_peer: PeerStub) -> Response:
        async with asyncio.timeout(10):
            await met.wait()
        return success()

    async with SimulatedPeer((await start(handler)).address, MemoryLedger()) as peer:
        await peer.start_call("1", [])
        await peer.start_call("2", [])
        assert {(await peer.receive()).txid for _ in range(2)} == {"1", "2"}


async def test_the_handler_gets_the_proposal_and_the_call_as_they_are(start: Start) -> None:
    seen: list[PeerStub] = []

    async def handler(peer: PeerStub) -> Response:
        seen.append(peer)
        return success()

    async with SimulatedPeer((await start(handler)).address, MemoryLedger()) as peer:
        proposal = b"\x0a\x01p\x12\x01s"
        await peer.run("tx", [b"f", b"\xff"], proposal=proposal, init=True)
    (stub,) = seen
    assert (stub.channel, stub.transaction_id, stub.arguments) == ("channel", "tx", (b"f", b"\xff"))
    assert (stub.signed_proposal, stub.is_init) == (proposal, True)


async def test_failures_of_the_handler_say_nothing_about_what_it_held(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(_peer: PeerStub) -> Response:
        raise RuntimeError(SECRET)

    with caplog.at_level(logging.DEBUG):
        async with SimulatedPeer((await start(handler)).address, MemoryLedger()) as peer:
            response, _ = await peer.run("1", ["f"])
    assert (response.status, response.message) == (500, "chaincode failed")
    assert SECRET not in caplog.text


async def test_nothing_of_a_transaction_is_logged(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="cloister"):
        async with SimulatedPeer((await start()).address, MemoryLedger()) as peer:
            await peer.run("1", ["put", SECRET, SECRET])
            await peer.run("2", ["get", SECRET])
            await peer.run("3", [SECRET])
            await peer.run("4", ["rich", SECRET])
    assert SECRET not in caplog.text


async def test_a_broken_stream_fails_the_calls_in_flight_and_the_peer_can_dial_again(start: Start) -> None:
    outcome: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    async def handler(peer: PeerStub) -> Response:
        try:
            return success(await peer.get_state("k"))
        except PeerLost as lost:
            outcome.set_result(lost)
            raise

    server = await start(handler)
    async with SimulatedPeer(server.address, MemoryLedger()) as peer:
        await peer.start_call("1", [])
        assert (await peer.receive()).type == Message.GET_STATE
    async with asyncio.timeout(10):
        assert isinstance(await outcome, PeerLost)
    async with SimulatedPeer(server.address, MemoryLedger({("", "k"): b"v"})) as peer:
        assert (await peer.run("1", []))[0].payload == b"v"


async def test_a_stub_is_dead_after_its_call(start: Start) -> None:
    stubs: list[PeerStub] = []

    async def handler(peer: PeerStub) -> Response:
        stubs.append(peer)
        return success()

    async with SimulatedPeer((await start(handler)).address, MemoryLedger()) as peer:
        await peer.run("1", [])
        with pytest.raises(PeerLost):
            await stubs[0].get_state("k")


async def test_a_request_given_up_does_not_mix_its_answer_into_the_next(start: Start) -> None:
    async def handler(peer: PeerStub) -> Response:
        asked = asyncio.ensure_future(peer.get_state("slow"))
        await asyncio.wait([asked], timeout=0.05)
        asked.cancel()
        try:
            return success(await peer.get_state("next"))
        except PeerLost:
            return success("refused")

    async with SimulatedPeer((await start(handler)).address, MemoryLedger()) as peer:
        await peer.start_call("1", [])
        first = await peer.receive()
        completed = await peer.receive()
        assert (first.type, completed.type) == (Message.GET_STATE, Message.COMPLETED)
        assert b"refused" in completed.payload


async def test_a_graceful_stop_finishes_calls_in_flight_and_refuses_new_ones(start: Start) -> None:
    async def handler(peer: PeerStub) -> Response:
        return success(await peer.get_state("k"))

    server = await start(handler)
    async with SimulatedPeer(server.address, MemoryLedger({("", "k"): b"v"})) as peer:
        await peer.start_call("1", [])
        request = await peer.receive()
        stopping = asyncio.create_task(server.stop(10))
        await asyncio.sleep(0)
        await peer.start_call("2", [])
        refused = await peer.receive()
        assert (refused.txid, b"stopping" in refused.payload) == ("2", True)
        await peer.answer(request)
        completed = await peer.receive()
        assert (completed.txid, b"v" in completed.payload) == ("1", True)
        await stopping
    with pytest.raises((grpc.RpcError, ConnectionError)):
        async with SimulatedPeer(server.address, MemoryLedger()):
            pass


async def test_a_stop_cuts_off_calls_that_outlast_the_grace(start: Start) -> None:
    started, cut = asyncio.Event(), asyncio.Event()

    async def handler(_peer: PeerStub) -> Response:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cut.set()
        return success()

    server = await start(handler)
    async with SimulatedPeer(server.address, MemoryLedger()) as peer:
        await peer.start_call("1", [])
        await started.wait()
        await server.stop(0)
    assert cut.is_set()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frame=st.binary(min_size=1))
@example(frame=Message(type=Message.TRANSACTION).SerializeToString())
@example(frame=Message(type=Message.KEEPALIVE).SerializeToString())
async def test_malformed_frames_end_their_stream_and_nothing_else(start: Start, frame: bytes) -> None:
    server = await start()
    good = SimulatedPeer(server.address, MemoryLedger())
    async with good as peer, await SocketClient.dial(server.address) as bad:
        not_allowed_any_more = Message(type=Message.REGISTERED).SerializeToString()  # whatever came before
        bad.send(await bad.register(), frame, not_allowed_any_more)
        trailers = await bad.next(http2.TrailersReceived)
        assert ("grpc-status", "3") in (trailers.headers or ())
        assert (await peer.run("1", ["put", "k", "v"]))[0].status == 200


async def test_a_nonsense_answer_fails_its_call_alone(start: Start) -> None:
    async with SimulatedPeer((await start()).address, MemoryLedger()) as peer:
        await peer.start_call("1", ["names"])
        await peer.receive()
        await peer.send(type=Message.RESPONSE, channel_id="channel", txid="1", payload=b"\xff")
        completed = await peer.receive()
        assert b"peer sent no valid query response" in completed.payload
        results = shim.QueryResponse(results=[shim.QueryResultBytes(resultBytes=b"\xff")])
        await peer.start_call("2", ["names"])
        await peer.receive()
        await peer.send(type=Message.RESPONSE, channel_id="channel", txid="2", payload=results.SerializeToString())
        assert b"peer sent no valid query result" in (await peer.receive()).payload
        assert (await peer.run("3", ["put", "k", "v"]))[0].status == 200


async def test_a_peer_s_refusal_reaches_the_contract_with_its_text(start: Start) -> None:
    caught: list[PeerRefused] = []

    async def handler(peer: PeerStub) -> Response:
        try:
            await peer.get_query_result("{}")
        except PeerRefused as refusal:
            caught.append(refusal)
        return success()

    async with SimulatedPeer((await start(handler)).address, MemoryLedger()) as peer:
        await peer.run("1", [])
    assert caught[0].message == "ExecuteQuery not supported for leveldb"


async def test_a_port_in_use_is_refused(start: Start) -> None:
    server = await start()
    second = ChaincodeServer(contract_handler(ContractChaincode(Store())), "label:hash", server.address)
    with pytest.raises(ServerNotStarted):
        await second.start()


@pytest.mark.parametrize("address", ["", "localhost", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000"])
def test_bad_addresses_and_ids_are_refused(address: str) -> None:
    handler = contract_handler(ContractChaincode(Store()))
    with pytest.raises(UsageError):
        ChaincodeServer(handler, "id", address)
    with pytest.raises(UsageError):
        ChaincodeServer(handler, "", "127.0.0.1:0")


@pytest.mark.parametrize("mutual", [False, True])
async def test_tls_and_mutual_tls(start: Start, mutual: bool) -> None:
    key, certificate = make_certificate("server")
    peer_key, peer_certificate = make_certificate("peer")
    server = await start(tls=ServerTls(key, certificate, peer_certificate if mutual else None))
    credentials = grpc.ssl_channel_credentials(certificate, peer_key, peer_certificate)
    async with SimulatedPeer(server.address, MemoryLedger(), credentials) as peer:
        assert (await peer.run("1", ["put", "k", "v"]))[0].status == 200
    stranger = grpc.ssl_channel_credentials(certificate) if mutual else None
    with pytest.raises((grpc.RpcError, ConnectionError)):
        async with SimulatedPeer(server.address, MemoryLedger(), stranger):
            pass


async def test_a_key_that_does_not_fit_is_refused(start: Start) -> None:
    with pytest.raises(ServerNotStarted):
        await start(tls=ServerTls(b"no key", b"no certificate"))


class _Warned(logging.Handler):
    """Sets an event when a message is logged that has this text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.event = asyncio.Event()
        self._text = text

    def emit(self, record: logging.LogRecord) -> None:
        if self._text in record.getMessage():
            self.event.set()


async def test_a_peer_that_does_not_accept_the_chaincode_id_is_logged(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "REGISTRATION_WARNING_S", 0.0)
    warned = _Warned("must be the package id")
    monkeypatch.setattr(session.log, "handlers", [warned])
    server = await start()
    async with grpc.aio.insecure_channel(server.address) as channel, asyncio.timeout(10):
        call = channel.stream_stream("/protos.Chaincode/Connect")()
        await call.read()
        await warned.event.wait()
        call.cancel()


async def test_a_handler_without_a_response_ends_its_call(start: Start) -> None:
    async def handler(_peer: PeerStub) -> Response:
        return None  # type: ignore[return-value]

    async with SimulatedPeer((await start(handler)).address, MemoryLedger()) as peer:
        assert (await peer.run("1", []))[0].message == "chaincode gave no response"


async def test_an_error_text_that_is_no_unicode_still_ends_its_call(start: Start) -> None:
    async def handler(_peer: PeerStub) -> Response:
        return Response(500, "bad \ud800 text")

    async with SimulatedPeer((await start(handler)).address, MemoryLedger()) as peer:
        assert (await peer.run("1", []))[0].message == "bad ? text"
