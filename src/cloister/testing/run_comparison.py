"""The whole comparison of judge and real peer: catalogue, random mixtures, changing configurations and orderers."""

from __future__ import annotations

import time
from pathlib import Path

from cloister.network import Network, NetworkOptions
from cloister.network.options import BFT, MIN_BFT_ORDERERS, RAFT

from .comparison import Comparison, Progress, define_chaincode, open_bench, play_catalogue, play_mixtures
from .config_story import play_configurations
from .orderer_story import play_orderers


async def compare(
    folder: Path, *, seed: int, transactions: int, progress: Progress, consensus: str = RAFT
) -> Comparison:
    """Start a network in an empty folder, play everything, compare, stop it. Raises: CloisterError of many kinds.

    Orderers come last: at their end nobody of the first ordering organisation may sign any more.
    """
    progress("starting a Fabric network")
    orderers = MIN_BFT_ORDERERS if consensus == BFT else 1
    options = NetworkOptions(batch_timeout="100ms", orderers=orderers, consensus=consensus)
    network = Network.up(folder, options)
    try:
        started = time.monotonic()
        async with open_bench(network) as bench:
            await define_chaincode(bench)
            await play_catalogue(bench, progress)
            await play_mixtures(bench, seed, transactions, progress)
            await play_configurations(bench, progress)
            await play_orderers(bench, progress)
            progress("comparing with the peer's blocks and state")
            found = await bench.finish()
        found.seconds = time.monotonic() - started
        return found
    finally:
        network.down()
