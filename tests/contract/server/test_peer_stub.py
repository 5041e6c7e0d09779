from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from cloister.contract import PeerRefused, Response, success
from cloister.contract.server import ChaincodeServer, Handler, PeerStub
from support.memory_ledger import MemoryLedger
from support.simulated_peer import Message, SimulatedPeer

BATCHES_OF_THREE = bytes.fromhex("08011003")
"""`protos.ChaincodeAdditionalParams` as peers send it since Fabric 3.1."""

Start = Callable[[Handler], Awaitable[ChaincodeServer]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    servers = []

    async def starter(handler: Handler) -> ChaincodeServer:
        server = ChaincodeServer(handler, "label:hash")
        await server.start()
        servers.append(server)
        return server

    yield starter
    for server in servers:
        await server.stop(0)


async def _writes(peer: PeerStub) -> Response:
    """Seven writes of every kind, the last one of a key written before."""
    peer.start_write_batch()
    for number in range(3):
        await peer.put_state(f"k{number}", b"v")
    await peer.delete_state("gone")
    await peer.purge_private_data("collection", "purged")
    await peer.put_state_metadata("k0", "VALIDATION_PARAMETER", b"policy")
    await peer.put_state("k0", b"last")
    await peer.finish_write_batch()
    return success()


@pytest.mark.parametrize(
    ("parameters", "kinds"),
    [
        (b"", ["PUT_STATE"] * 3 + ["DEL_STATE", "PURGE_PRIVATE_DATA", "PUT_STATE_METADATA", "PUT_STATE"]),
        (BATCHES_OF_THREE, ["WRITE_BATCH_STATE"] * 3),
    ],
    ids=["2.5", "3.1"],
)
async def test_writes_go_in_batches_to_peers_that_take_them_and_one_by_one_to_others(
    start: Start, parameters: bytes, kinds: list[str]
) -> None:
    ledger = MemoryLedger({("", "gone"): b"v", ("collection", "purged"): b"v"})
    async with SimulatedPeer((await start(_writes)).address, ledger, parameters=parameters) as peer:
        assert (await peer.run("1", []))[0].status == 200
    assert [Message.Type.Name(request.type) for request in peer.requests] == kinds
    assert ledger.state == {("", "k0"): b"last", ("", "k1"): b"v", ("", "k2"): b"v"}
    assert ledger.metadata == {("", "k0"): {"VALIDATION_PARAMETER": b"policy"}}


async def test_what_the_peer_says_against_a_batch_is_raised_where_it_ends(start: Start) -> None:
    caught: list[PeerRefused] = []

    async def handler(peer: PeerStub) -> Response:
        peer.start_write_batch()
        await peer.put_state("k", b"v")
        try:
            await peer.finish_write_batch()
        except PeerRefused as refusal:
            caught.append(refusal)
        return success()

    async with SimulatedPeer((await start(handler)).address, MemoryLedger(), parameters=BATCHES_OF_THREE) as peer:
        await peer.start_call("1", [])
        await peer.receive()
        await peer.send(type=Message.ERROR, channel_id="channel", txid="1", payload=b"no writes here")
        assert (await peer.receive()).type == Message.COMPLETED
    assert caught[0].message == "no writes here"
