"""How long a real peer takes to commit a ledger: a fresh one joins the channel and catches up from the orderer.

Times are those of the peer's own log, which says when each block was committed (Fabric 2.5.9 and 3.1.5
core/ledger/kvledger/kv_ledger.go, `Committed block [N] with M transaction(s)`).
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from cloister.errors import RemoteFailed
from cloister.network import Network, Organisation
from cloister.network.client_files import peer_environment
from cloister.network.processes import run_program

from .recorded import FIRST_BLOCK, RecordedLedger

_COMMITTED = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) .*Committed block \[(\d+)\] with (\d+) transaction")
_TIME = "%Y-%m-%d %H:%M:%S.%f"
_PATIENCE_S = 60.0
"""How long a peer may commit nothing before it counts as stuck."""
_POLL_S = 0.2
Commit = tuple[datetime, int, int]
"""(when, block number, transactions)."""


def catch_up(ledger: RecordedLedger) -> float:
    """Seconds from the commit of the block before FIRST_BLOCK to that of the last one. The peer is stopped afterwards.

    Raises: RemoteFailed if the peer gets stuck.
    """
    organisation = ledger.network.organisations[0]
    log = _peer_folder(organisation) / "peer.log"
    _forget(organisation)
    try:
        ledger.network.start_peer(organisation.name)
        _join(ledger.network, organisation)
        commits = _await_transactions(lambda: _commits(log), ledger.transactions)
    finally:
        ledger.network.stop_peer(organisation.name)
    begun = next(when for when, number, _ in commits if number == FIRST_BLOCK - 1)
    return (commits[-1][0] - begun).total_seconds()


def ledger_folder(network: Network) -> Path:
    """Where the peer that caught up last keeps its blocks."""
    return _peer_folder(network.organisations[0]) / "data" / "ledgersData" / "chains" / "chains" / network.channel


def _peer_folder(organisation: Organisation) -> Path:
    return organisation.folder / "peer"


def _forget(organisation: Organisation) -> None:
    """Make the stopped peer one that knows nothing."""
    folder = _peer_folder(organisation)
    shutil.rmtree(folder / "data", ignore_errors=True)
    (folder / "peer.log").unlink(missing_ok=True)


def _join(network: Network, organisation: Organisation) -> None:
    command = [network.binaries.path("peer"), "channel", "join", "-b", str(network.genesis_block_path)]
    run_program(command, environment=peer_environment(network.layout, organisation, organisation.admin))


def _commits(log: Path) -> list[Commit]:
    found = _COMMITTED.findall(log.read_text("utf-8", "replace"))
    return [(datetime.strptime(when, _TIME), int(number), int(count)) for when, number, count in found]


def _await_transactions(commits: Callable[[], list[Commit]], wanted: int) -> list[Commit]:
    """All commits, as soon as there are so many transactions from FIRST_BLOCK on."""
    seen, deadline = 0, time.monotonic() + _PATIENCE_S
    while True:
        found = commits()
        if sum(count for _, number, count in found if number >= FIRST_BLOCK) >= wanted:
            return found
        if len(found) > seen:
            seen, deadline = len(found), time.monotonic() + _PATIENCE_S
        if time.monotonic() > deadline:
            raise RemoteFailed(f"the peer committed {seen} blocks and no more for {_PATIENCE_S:.0f} s")
        time.sleep(_POLL_S)
