"""Connections to a running server that do what peers do not, and what peers do seldom."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator, Callable

import grpc
import pytest
from fabric_protos.peer import chaincode_pb2
from h2 import events as http2

from cloister.contract import PeerLost, Response, success
from cloister.contract.server import ChaincodeServer, PeerStub, transport
from support.http2_client import SocketClient, frame
from support.memory_ledger import MemoryLedger
from support.simulated_peer import Message, SimulatedPeer

LARGE = bytes(range(256)) * (32 << 10)


@pytest.fixture
async def lost() -> asyncio.Queue[str]:
    """Ids of the transactions whose peer was lost."""
    return asyncio.Queue()


@pytest.fixture
async def server(lost: asyncio.Queue[str]) -> AsyncIterator[ChaincodeServer]:
    """Answers "large" with LARGE, and "read" with that key's value."""

    async def handler(peer: PeerStub) -> Response:
        if peer.arguments == (b"large",):
            return success(LARGE)
        try:
            return success(await peer.get_state("read"))
        except PeerLost:
            lost.put_nowait(peer.transaction_id)
            raise

    server = ChaincodeServer(handler, "label:hash")
    await server.start()
    yield server
    await server.stop(0)


async def lives(server: ChaincodeServer) -> bool:
    async with SimulatedPeer(server.address, MemoryLedger({("", "read"): b"v"})) as peer:
        return bool((await peer.run("1", ["read"]))[0].payload == b"v")


def call_of(argument: bytes, transaction_id: str = "1") -> bytes:
    payload = chaincode_pb2.ChaincodeInput(args=[argument]).SerializeToString()
    encoded: bytes = Message(type=Message.TRANSACTION, txid=transaction_id, payload=payload).SerializeToString()
    return encoded


async def test_several_peers_are_served_at_once(server: ChaincodeServer) -> None:
    async def one(number: int) -> bytes:
        async with SimulatedPeer(server.address, MemoryLedger({("", "read"): str(number).encode()})) as peer:
            return bytes((await peer.run("1", ["read"]))[0].payload)

    assert await asyncio.gather(*(one(number) for number in range(10))) == [str(n).encode() for n in range(10)]


async def test_a_peer_that_pings_without_end_is_answered_and_stays(server: ChaincodeServer) -> None:
    async with await SocketClient.dial(server.address) as client:
        for number in range(100):
            client.http2.ping(number.to_bytes(8))
        client.write()
        for number in range(100):
            assert (await client.next(http2.PingAckReceived)).ping_data == number.to_bytes(8)
        await client.register()


async def test_a_peer_that_does_not_read_holds_up_nobody_and_gets_everything_later(server: ChaincodeServer) -> None:
    async with await SocketClient.dial(server.address) as slow:
        slow.http2.increment_flow_control_window(1 << 30)
        stream_id = await slow.register()
        slow.http2.increment_flow_control_window(1 << 30, stream_id)
        slow.send(stream_id, call_of(b"large"))
        assert await lives(server)
        assert LARGE in await slow.message()


async def test_a_peer_without_credit_gets_the_rest_once_it_gives_some(server: ChaincodeServer) -> None:
    async with await SocketClient.dial(server.address) as client:
        stream_id = await client.register()
        client.send(stream_id, call_of(b"large"))
        assert LARGE in await client.message()


async def test_nothing_more_is_read_from_a_client_that_does_not_read_until_it_does(server: ChaincodeServer) -> None:
    ping = frame(6, 0, 0, b"12345678")
    async with await SocketClient.dial(server.address) as client:
        await client.register()
        assert server._listener is not None
        (connection,) = server._listener.connections
        assert connection._transport is not None
        connection._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        sent = 0
        while connection._transport.is_reading():
            client.writer.write(ping * 1000)
            sent += 1000
            assert sent < 1_000_000
            await asyncio.sleep(0)
        assert connection._transport.get_write_buffer_size() < 1 << 20
        assert await lives(server)
        answers = b""
        async with asyncio.timeout(10):
            while answers.count(frame(6, 1, 0, b"12345678")) < sent:
                answers += await client.reader.read(1 << 20)


@pytest.mark.parametrize(
    "sent",
    [frame(0, 0, 0, b"data on no stream"), frame(6, 0, 0, b"short"), frame(0, 0, 1, bytes(16385)), b"\xff" * 64],
    ids=["data", "ping", "long", "nonsense"],
)
async def test_malformed_frames_end_their_connection_with_a_line_in_the_log(
    server: ChaincodeServer, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    with caplog.at_level(logging.WARNING):
        async with await SocketClient.dial(server.address) as client:
            client.writer.write(sent)
            with pytest.raises(ConnectionError):
                await client.next(http2.PingAckReceived)
    (line,) = caplog.messages
    assert line.startswith("connection ended: client ")
    assert await lives(server)


async def test_a_peer_that_dials_with_tls_is_told_of_in_the_log(
    server: ChaincodeServer, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises((grpc.RpcError, ConnectionError)):
        async with SimulatedPeer(server.address, MemoryLedger(), grpc.ssl_channel_credentials()):
            pass
    assert "uses TLS and this server does not" in caplog.text
    assert await lives(server)


HangUp = Callable[[SocketClient, int], object]


def _resets_the_stream(client: SocketClient, stream_id: int) -> None:
    client.http2.reset_stream(stream_id)
    client.write()


def _says_goaway(client: SocketClient, _stream_id: int) -> None:
    client.http2.close_connection()
    client.write()


def _ends_its_half(client: SocketClient, _stream_id: int) -> None:
    client.writer.write_eof()


def _resets_the_connection(client: SocketClient, _stream_id: int) -> None:
    reset_at_close = struct.pack("ii", 1, 0)
    client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_at_close)
    client.writer.transport.abort()


@pytest.mark.parametrize("hang_up", [_resets_the_stream, _says_goaway, _ends_its_half, _resets_the_connection])
async def test_however_a_peer_hangs_up_its_calls_fail_as_lost(
    server: ChaincodeServer, lost: asyncio.Queue[str], hang_up: HangUp
) -> None:
    async with await SocketClient.dial(server.address) as client:
        stream_id = await client.register()
        client.send(stream_id, call_of(b"read", "tx"))
        await client.message()
        hang_up(client, stream_id)
        async with asyncio.timeout(10):
            assert await lost.get() == "tx"
    assert await lives(server)


async def test_a_connection_goes_on_when_one_of_its_streams_is_reset(server: ChaincodeServer) -> None:
    async with await SocketClient.dial(server.address) as client:
        _resets_the_stream(client, await client.register())
        client.send(await client.register(), call_of(b"read"))
        assert Message.FromString(await client.message()).type == Message.GET_STATE


async def test_a_connection_without_calls_is_ended_and_one_with_a_call_is_not(
    server: ChaincodeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await SocketClient.dial(server.address) as busy:
        stream_id = await busy.register()
        monkeypatch.setattr(transport, "IDLE_S", 0.1)
        idle = await SocketClient.dial(server.address)
        assert (await idle.next(http2.ConnectionTerminated)).error_code == 0
        await idle.ended()
        idle.writer.close()
        busy.send(stream_id, call_of(b"read"))
        await busy.next(http2.DataReceived)
        busy.http2.reset_stream(stream_id)
        busy.write()
        await busy.ended()  # idle too from here on


async def test_a_stop_tells_the_client_and_closes(server: ChaincodeServer) -> None:
    async with await SocketClient.dial(server.address) as client:
        stream_id = await client.register()
        stopping = asyncio.create_task(server.stop(10))
        assert (await client.next(http2.ConnectionTerminated)).last_stream_id == stream_id
        await client.ended()
        async with asyncio.timeout(10):
            await stopping


async def test_a_stop_does_not_wait_for_a_client_that_does_not_read(server: ChaincodeServer) -> None:
    async with await SocketClient.dial(server.address) as client:
        stream_id = await client.register()
        client.send(stream_id, call_of(b"large"))
        await client.next(http2.DataReceived)  # and no credit for it
        async with asyncio.timeout(10):
            await server.stop(0)


@pytest.mark.parametrize("method", ["/protos.Chaincode/Other", "/grpc.health.v1.Health/Check"])
async def test_unknown_methods_are_unimplemented(server: ChaincodeServer, method: str) -> None:
    async with grpc.aio.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            await channel.unary_unary(method)(b"")
    assert isinstance(refused.value, grpc.aio.AioRpcError)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert refused.value.details() == "unknown service or method"


async def test_compressed_messages_are_unimplemented(server: ChaincodeServer) -> None:
    async with grpc.aio.insecure_channel(server.address, compression=grpc.Compression.Gzip) as channel:
        call = channel.stream_stream("/protos.Chaincode/Connect")()
        await call.write(Message(type=Message.REGISTERED, payload=bytes(1000)).SerializeToString())
        await call.read()  # the registration
        with pytest.raises(grpc.RpcError):
            await call.read()
        assert await call.code() is grpc.StatusCode.UNIMPLEMENTED
        assert await call.details() == "compressed messages are not supported"


async def test_what_violates_the_chaincode_protocol_ends_its_stream_with_status_and_text(
    server: ChaincodeServer,
) -> None:
    async with SimulatedPeer(server.address, MemoryLedger()) as peer:
        await peer.send(type=Message.REGISTERED)
        with pytest.raises(grpc.RpcError):
            await peer.receive()
        assert await peer.call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "peer sent REGISTERED in state ready" in await peer.call.details()
