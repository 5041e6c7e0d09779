"""Event listeners whose connection breaks, which are cancelled or killed: nothing lost, twice, or left over."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from cloister.errors import UsageError
from cloister.gateway import (
    Contract,
    EventsError,
    FileCheckpointer,
    Gateway,
    InMemoryCheckpointer,
    connect,
    endpoint_from_profile,
    load_identity,
    load_signer,
)
from cloister.gateway import Network as Channel
from cloister.network import Network

pytestmark = pytest.mark.fabric
BOUND_S = 20


class Wire:
    """A loopback port in front of a peer that can be cut."""

    def __init__(self, address: str) -> None:
        self._host, _, self._port = address.rpartition(":")
        self._writers: set[asyncio.StreamWriter] = set()
        self.address = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Wire]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            self.cut()
            await server.wait_closed()

    def cut(self) -> None:
        """Reset all connections."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer_reader, peer_writer = await asyncio.open_connection(self._host, int(self._port))
        self._writers |= {writer, peer_writer}
        try:
            await asyncio.gather(_copy(reader, peer_writer), _copy(peer_reader, writer))
        finally:
            self._writers -= {writer, peer_writer}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


@pytest.fixture
async def wire(conformance_network: Network) -> AsyncIterator[Wire]:
    endpoint = endpoint_from_profile(conformance_network.organisations[0].folder / "connection.json")
    async with Wire(endpoint.address).listening() as wire:
        yield wire


@pytest.fixture
async def through_wire(conformance_network: Network, wire: Wire) -> AsyncIterator[Gateway]:
    organisation = conformance_network.organisations[0]
    user = organisation.user("User1")
    endpoint = replace(endpoint_from_profile(organisation.folder / "connection.json"), address=wire.address)
    identity, signer = load_identity(user.msp_id, user.cert_path), load_signer(user.key_path)
    async with connect(endpoint, identity, signer) as gateway:
        yield gateway


async def emit(contract: Contract, count: int) -> tuple[list[str], int]:
    """Emit events; their names in the ledger's order, and the first one's block."""
    names = [os.urandom(8).hex() for _ in range(count)]
    first = 0
    for name in names:
        submitted = await contract.submit_async("emit", arguments=[name, "x"])
        first = first or (await submitted.status()).block_number
    return names, first


async def test_a_listener_goes_on_after_every_cut_without_loss_and_repetition(
    through_wire: Gateway, wire: Wire, contract: Contract, conformance_network: Network
) -> None:
    """The loop that docs/gateway.md shows, cut after every event."""
    names, first = await emit(contract, 4)
    channel = through_wire.network(conformance_network.channel)
    checkpointer = InMemoryCheckpointer()
    seen: list[str] = []
    errors: list[EventsError] = []
    async with asyncio.timeout(BOUND_S):
        while len(seen) < len(names):
            try:
                async with aclosing(
                    channel.chaincode_events("conformance", start_block=first, checkpoint=checkpointer)
                ) as events:
                    async for event in events:
                        seen.append(event.event_name)
                        checkpointer.checkpoint_event(event)
                        wire.cut()
                        if len(seen) == len(names):
                            break
            except EventsError as error:
                errors.append(error)
    assert seen == names
    assert errors
    assert {error.code for error in errors} == {"UNAVAILABLE"}
    assert all(wire.address in str(error) for error in errors)


async def test_a_cut_block_stream_says_where_it_broke(
    through_wire: Gateway, wire: Wire, conformance_network: Network
) -> None:
    channel = through_wire.network(conformance_network.channel)
    async with asyncio.timeout(BOUND_S), aclosing(channel.block_events(start_block=0)) as events:
        assert (await anext(events)).block_number == 0
        wire.cut()
        with pytest.raises(EventsError, match=wire.address) as caught:
            async for _ in events:
                pass
    assert "listen again" in (caught.value.hint or "")


@pytest.mark.parametrize("kind", ["chaincode", "block", "filtered_block", "block_and_private_data"])
async def test_a_cancelled_listener_leaves_no_task(channel: Channel, contract: Contract, kind: str) -> None:
    _, first = await emit(contract, 1)
    arguments = ["conformance"] if kind == "chaincode" else []
    got = asyncio.Event()

    async def listen() -> None:
        async with aclosing(getattr(channel, f"{kind}_events")(*arguments, start_block=first)) as events:
            async for _ in events:
                got.set()

    before = asyncio.all_tasks()
    listening = asyncio.create_task(listen())
    async with asyncio.timeout(BOUND_S):
        await got.wait()
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening
        while asyncio.all_tasks() - before:
            await asyncio.wait(asyncio.all_tasks() - before)


async def test_an_event_in_a_block_can_be_named_as_the_last_one_dealt_with(
    channel: Channel, contract: Contract
) -> None:
    names, first = await emit(contract, 2)
    async with asyncio.timeout(BOUND_S), aclosing(channel.chaincode_events("conformance", start_block=first)) as events:
        seen = [await anext(events), await anext(events)]
    assert [event.event_name for event in seen] == names
    last = seen[0]
    rest = channel.chaincode_events(
        "conformance", start_block=last.block_number, after_transaction_id=last.transaction_id
    )
    async with asyncio.timeout(BOUND_S), aclosing(rest) as events:
        assert await anext(events) == seen[1]
    with pytest.raises(UsageError, match="after_transaction_id"):
        channel.chaincode_events("conformance", after_transaction_id=last.transaction_id)


def test_a_killed_listeners_checkpoint_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    program = (
        "import itertools, sys\n"
        "from cloister.gateway.checkpoint import FileCheckpointer\n"
        "checkpointer = FileCheckpointer(sys.argv[1])\n"
        "for number in itertools.count():\n"
        "    checkpointer.checkpoint_transaction(number, 'ab' * 32)\n"
        "    print(number, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        dealt = [int(process.stdout.readline()) for _ in range(50)]
        process.kill()
        dealt += [int(line) for line in process.stdout.read().splitlines() if line]
    position = FileCheckpointer(path).position
    assert position.transaction_id == "ab" * 32
    assert position.block_number in {dealt[-1], dealt[-1] + 1}
