"""The process of an embedded network: everything started on one event loop, stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloister.network.layout import ORDERER_MSP, Layout
from cloister.testing.signers import signer_of

from .discovery import Discovery
from .endorser import Endorser
from .gateway_service import GatewayService
from .ledger import Ledger
from .ordering import Orderer
from .peer import Peer
from .services import serve_orderer, serve_peer
from .store import Store

LOG = logging.getLogger("cloister.embedded")
BANNER = (
    "EMBEDDED NETWORK: for development and tests, NOT FOR PRODUCTION. "
    "All keys lie in its folder, one process is everybody."
)
GRACE_S = 0.5


@dataclass(frozen=True)
class Running:
    """The parts of a running network. `ordering` ends only if it fails."""

    ledger: Ledger
    orderer: Orderer
    peers: tuple[Peer, ...]
    ordering: asyncio.Task[None]


@contextlib.asynccontextmanager
async def running(layout: Layout, folder: Path | None) -> AsyncIterator[Running]:
    """Serve a network whose material and genesis block exist. `folder` None: everything is kept in memory."""
    async with contextlib.AsyncExitStack() as stack:
        store = Store(folder, layout.options.channel)
        stack.callback(store.close)
        signers = [signer_of(item.msp_id, item.peer_crypto / "msp") for item in layout.organisations]
        identities = {signer.msp_id: signer.creator for signer in signers}
        ledger = Ledger.open(store, layout.genesis_block.read_bytes(), identities)
        orderer = Orderer(ledger, signer_of(ORDERER_MSP, layout.orderer.node_crypto / "msp"))
        peers = tuple(
            Peer(ledger, store, signer, item.peer_endpoint, item.peer_host)
            for signer, item in zip(signers, layout.organisations, strict=True)
        )
        for peer in peers:
            stack.push_async_callback(peer.close)
        work = asyncio.get_running_loop().create_task(orderer.run())
        stack.push_async_callback(_cancelled, work)
        servers = await _start_servers(layout, ledger, orderer, peers)
        stack.push_async_callback(_stopped, servers)
        yield Running(ledger, orderer, peers, work)


async def _start_servers(layout: Layout, ledger: Ledger, orderer: Orderer, peers: tuple[Peer, ...]) -> list[Any]:
    endorsers = [Endorser(peer) for peer in peers]
    host, _, port = layout.orderer.endpoint.rpartition(":")
    servers = [await serve_orderer(layout.orderer.endpoint, layout.orderer.node_crypto / "tls", ledger, orderer)]
    for organisation, endorser in zip(layout.organisations, endorsers, strict=True):
        gateway = GatewayService(endorser, endorsers, orderer, layout.orderer.endpoint)
        discovery = Discovery(endorser.peer, peers, (host, int(port)), ORDERER_MSP)
        tls = organisation.peer_crypto / "tls"
        servers.append(await serve_peer(organisation.peer_endpoint, tls, endorser, gateway, discovery))
    return servers


async def serve(layout: Layout, folder: Path | None) -> None:
    """Serve until SIGINT or SIGTERM."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    LOG.warning(BANNER)
    async with running(layout, folder) as network:
        LOG.info(
            "channel %s at height %d, orderer %s",
            layout.options.channel,
            network.ledger.height,
            layout.orderer.endpoint,
        )
        for peer in network.peers:
            LOG.info("peer of %s on %s", peer.msp_id, peer.endpoint)
        stop = loop.create_task(stopped.wait())
        await asyncio.wait({stop, network.ordering}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if network.ordering.done():  # nothing would be committed any more: better no network than such a one
            network.ordering.result()
    LOG.info("stopped")


async def _stopped(servers: list[Any]) -> None:
    """All at once: whoever listens to one often listens to another."""
    await asyncio.gather(*(server.stop(GRACE_S) for server in servers))


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
