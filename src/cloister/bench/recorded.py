"""A long ledger of honest transactions, ordered by a network's real orderer. Any peer may then catch up with it.

Nobody runs chaincode: envelopes are made and signed here with the network's own keys, as clients and peers would.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cloister.errors import RemoteFailed, UsageError
from cloister.network import Network, NetworkOptions
from cloister.network.processes import wait_until
from cloister.testing.cases import MAIN, Cast
from cloister.testing.definitions import ForgedDefinition
from cloister.testing.forge import broadcast, rwset

BLOCK_TRANSACTIONS = 100
"""Transactions that fill a block."""
FIRST_BLOCK = 2
"""Before it stand the channel's configuration and the chaincode's definition."""
_DESCRIPTION = "recorded-ledger.json"
_CHUNK = 1000
"""Envelopes that are made before they are sent."""
_VALUE = b"v" * 64
_TIMEOUT_S = 30.0
_DEFINED = b"Writing block [1]"
"""What the orderer logs once the definition has its block: in one block with it nothing else would be valid."""
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RecordedLedger:
    """A running network whose orderer has a ledger with so many transactions from FIRST_BLOCK on. No peer runs."""

    network: Network
    transactions: int


@contextlib.contextmanager
def recorded_ledger(folder: Path, transactions: int, progress: Progress) -> Iterator[RecordedLedger]:
    """Make the ledger in an empty folder, or use the one that was made there before; stop its network afterwards.

    Raises: UsageError if there is another network, or a ledger of another length, in the folder.
    """
    description = folder / _DESCRIPTION
    known = _read(description) if folder.exists() and any(folder.iterdir()) else None
    if known not in (None, transactions):
        raise UsageError(
            f"{folder} holds a ledger of {known} transactions, not of {transactions}",
            hint=f"use --transactions {known}, or another --dir",
        )
    progress("starting a Fabric network")
    network = Network.up(folder, NetworkOptions(batch_timeout="1s", max_messages=BLOCK_TRANSACTIONS))
    try:
        for organisation in network.organisations:
            network.stop_peer(organisation.name)
        if known is None:
            asyncio.run(_record(network, transactions, progress))
            description.write_text(json.dumps({"transactions": transactions}), "utf-8")
        yield RecordedLedger(network, transactions)
    finally:
        network.down()


def _read(description: Path) -> int:
    """How many transactions the ledger has that was recorded in a folder."""
    try:
        return int(json.loads(description.read_text("utf-8"))["transactions"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{description.parent} holds no recorded ledger", hint="choose another --dir") from error


async def _record(network: Network, transactions: int, progress: Progress) -> None:
    cast = Cast(network)
    await _order(network, [cast.draft(ForgedDefinition(MAIN).write(), chaincode="_lifecycle").build()])
    log = network.folder / "orderer" / "orderer.log"
    wait_until(lambda: _DEFINED in log.read_bytes(), what="definition ordered", timeout_s=_TIMEOUT_S, log=log)
    for first in range(0, transactions, _CHUNK):
        progress(f"recording transactions: {first} of {transactions}")
        numbers = range(first, min(first + _CHUNK, transactions))
        await _order(network, [_transaction(cast, f"key{number:09}") for number in numbers])


def _transaction(cast: Cast, key: str) -> bytes:
    """Reads a key, which is not there yet, and writes it; endorsed by both organisations."""
    return cast.draft((MAIN, rwset(reads=[(key, None)], writes=[(key, _VALUE)]))).build()


async def _order(network: Network, envelopes: list[bytes]) -> None:
    statuses = set(await broadcast(network, envelopes))
    if statuses != {200}:
        raise RemoteFailed(f"the orderer refused transactions: status {sorted(statuses)}")
