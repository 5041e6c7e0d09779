from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from cloister.contract import Response, success
from cloister.contract.server import ChaincodeServer, PeerStub, ServerTls, listener, server
from support.http2_client import SocketClient
from support.memory_ledger import MemoryLedger
from support.simulated_peer import SimulatedPeer
from support.tls import make_certificate

KEY, CERTIFICATE = make_certificate("server")
PEER_KEY, PEER_CERTIFICATE = make_certificate("peer")


async def _nothing(_peer: PeerStub) -> Response:
    return success()


@pytest.fixture
async def secured() -> AsyncIterator[ChaincodeServer]:
    """Wants PEER_CERTIFICATE from its clients."""
    server = ChaincodeServer(_nothing, "label:hash", tls=ServerTls(KEY, CERTIFICATE, PEER_CERTIFICATE))
    await server.start()
    yield server
    await server.stop(0)


async def served(server: ChaincodeServer, key: bytes = PEER_KEY, certificate: bytes = PEER_CERTIFICATE) -> bool:
    """Whether a peer that shows this certificate can run a call."""
    credentials = grpc.ssl_channel_credentials(CERTIFICATE, key, certificate)
    try:
        async with SimulatedPeer(server.address, MemoryLedger(), credentials) as peer:
            return bool((await peer.run("1", ["f"]))[0].status == 200)
    except (grpc.RpcError, ConnectionError):
        return False


async def test_a_certificate_of_another_ca_is_refused_even_under_the_same_name(
    secured: ChaincodeServer, caplog: pytest.LogCaptureFixture
) -> None:
    assert not await served(secured, *make_certificate("peer"))
    assert "connection refused: TLS handshake failed" in caplog.text
    assert await served(secured)


async def test_what_is_no_tls_is_refused_and_the_server_goes_on(
    secured: ChaincodeServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with await SocketClient.dial(secured.address) as client:
        await client.ended()
    assert "connection refused: TLS handshake failed" in caplog.text
    assert await served(secured)


@pytest.mark.parametrize("protocols", [[], ["http/1.1"]])
async def test_a_client_that_does_not_offer_http2_is_refused(
    caplog: pytest.LogCaptureFixture, protocols: list[str]
) -> None:
    server = ChaincodeServer(_nothing, "label:hash", tls=ServerTls(KEY, CERTIFICATE))
    await server.start()
    context = ssl.create_default_context(cadata=CERTIFICATE.decode())
    if protocols:
        context.set_alpn_protocols(protocols)
    async with await SocketClient.dial(server.address, context) as client:
        await client.ended()
    context.set_alpn_protocols(["h2"])
    async with await SocketClient.dial(server.address, context) as client:
        client.call()
        assert await client.reader.read(1)
    await server.stop(0)
    assert "does not offer HTTP/2" in caplog.text


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")  # it is what the test is about
async def test_old_tls_is_refused(secured: ChaincodeServer) -> None:
    context = ssl.create_default_context(cadata=CERTIFICATE.decode())
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await SocketClient.dial(secured.address, context)


async def test_a_handshake_that_never_ends_is_cut_off(
    secured: ChaincodeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "HANDSHAKE_S", 0.1)
    reader, writer = await asyncio.open_connection(*secured.address.split(":"))
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()


async def test_a_stop_does_not_wait_for_handshakes(secured: ChaincodeServer) -> None:
    reader, writer = await asyncio.open_connection(*secured.address.split(":"))
    assert await served(secured)  # so that the first is accepted too
    async with asyncio.timeout(listener.HANDSHAKE_S / 2):
        await secured.stop(0)
        assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize("tls", [None, ServerTls(KEY, CERTIFICATE)], ids=["plain", "tls"])
@pytest.mark.parametrize("turns", range(6))
async def test_a_stop_at_any_moment_of_a_dial_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch, tls: ServerTls | None, turns: int
) -> None:
    accepted: list[socket.socket] = []  # kept, so that it is not the garbage collector that closes them
    accept = socket.socket.accept

    def kept(listening: socket.socket) -> tuple[socket.socket, Any]:
        taken = accept(listening)
        accepted.append(taken[0])
        return taken

    monkeypatch.setattr(socket.socket, "accept", kept)
    monkeypatch.setattr(server, "STREAM_END_S", 0.05)
    stopped = ChaincodeServer(_nothing, "label:hash", tls=tls)
    await stopped.start()
    host, _, port = stopped.address.rpartition(":")
    with socket.socket() as client:
        await asyncio.sleep(0)
        client.connect((host, int(port)))
        for _ in range(turns):
            await asyncio.sleep(0)
        await stopped.stop(0)
        async with asyncio.timeout(10):
            while any(item.fileno() != -1 for item in accepted):
                await asyncio.sleep(0)


async def test_connections_are_bounded_and_there_is_room_again_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listener, "MAX_CONNECTIONS", 1)
    server = ChaincodeServer(_nothing, "label:hash")
    await server.start()
    async with await SocketClient.dial(server.address) as first:
        first.call()
        await first.reader.read(1)
        async with await SocketClient.dial(server.address) as second:
            await second.ended()
        first.writer.write_eof()
        await first.ended()
    while True:  # until the server has seen the end of the first
        async with asyncio.timeout(10), await SocketClient.dial(server.address) as third:
            third.call()
            if await third.reader.read(1):
                break
    await server.stop(0)
    assert "connection refused: there are 1 already" in caplog.text


async def test_an_address_with_several_families_is_served_on_all(caplog: pytest.LogCaptureFixture) -> None:
    server = ChaincodeServer(_nothing, "label:hash", "localhost:0")
    with caplog.at_level(logging.INFO):
        await server.start()
    async with SimulatedPeer(server.address, MemoryLedger()) as peer:
        assert (await peer.run("1", ["f"]))[0].status == 200
    await server.stop(0)
    assert f"listens on {server.address}" in caplog.text
