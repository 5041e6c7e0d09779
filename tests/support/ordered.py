"""An embedded network's ledger and ordering service in the test's own loop: no process, no port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cloister.embedded.ledger import Ledger
from cloister.embedded.ordering import Orderer
from cloister.embedded.prepare import prepare
from cloister.embedded.store import Store
from cloister.fabric.block import parse_block
from cloister.network import Network, NetworkOptions
from cloister.network.layout import make_layout, ports_needed
from cloister.testing.cases import Cast
from cloister.testing.signers import orderer_signer, peer_signer


@dataclass
class Ordered:
    """An ordering service in the test's own loop."""

    ledger: Ledger
    orderer: Orderer
    network: Network
    cast: Cast

    async def send(self, envelopes: Sequence[bytes]) -> None:
        for envelope in envelopes:
            await self.orderer.broadcast(envelope)

    async def blocks(self, height: int) -> list[int]:
        """How many transactions each block has, once there are so many blocks."""
        await asyncio.wait_for(self.ledger.wait_for_block(height - 1), 10)
        return [len(parse_block(self.ledger.block(number)).transactions) for number in range(1, height)]


@contextlib.asynccontextmanager
async def ordering(folder: Path, options: NetworkOptions) -> AsyncIterator[Ordered]:
    layout = make_layout(folder, options, "2.5.9", list(range(20000, 20000 + ports_needed(options))))
    prepare(layout)
    network = Network(layout)
    signers = [peer_signer(item) for item in network.organisations]
    store = Store(None, network.channel)
    ledger = Ledger.open(store, layout.genesis_block.read_bytes(), {item.msp_id: item.creator for item in signers})
    orderer = Orderer(ledger, orderer_signer(network))
    task = asyncio.get_running_loop().create_task(orderer.run())
    try:
        yield Ordered(ledger, orderer, network, Cast(network))
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait({task})
        store.close()
