"""The runs: the whole one, and the quick one that gives the main ratios."""

from __future__ import annotations

from collections.abc import Sequence

from cloister.bench.others import NODE, OFFICIAL

from .drive import COMMIT, REVEAL
from .run import Cell, Plan, until_of
from .servers import OWN
from .work import BID, BIDS, MIX, VALUE_BYTES, evaluation, getting, putting

QUICK_CLIENTS = (1, 16, 64)
BATCH_TIMEOUTS = ("100ms", "2s")
"""The short one first: two seconds are Fabric's default, and hide any overhead."""
_FEW, _MANY = 1, 16


def whole(
    servers: Sequence[str], *, clients: Sequence[int], rounds: int, seconds: float, timeouts: Sequence[str]
) -> Plan:
    """Bids over all client counts on all servers. On our own also bids to the opened outcome, the mix, and evaluations,
    reads and writes of several sizes; of these the smallest on Node too: one read or one write, and little else."""
    cells = [Cell(BID, count, COMMIT) for count in clients]
    some = [count for count in clients if count in QUICK_CLIENTS] or clients
    cells += [Cell(BID, count, REVEAL, OWN) for count in some]
    cells += [Cell(MIX, count, COMMIT, OWN) for count in some]
    works = [evaluation(bids) for bids in BIDS] + [kind(size) for kind in (getting, putting) for size in VALUE_BYTES]
    simplest = (getting(VALUE_BYTES[0]), putting(VALUE_BYTES[0]))
    cells += [
        Cell(work, count, until_of(work), (*OWN, NODE) if work in simplest else OWN)
        for work in works
        for count in (_FEW, _MANY)
    ]
    return Plan(tuple(servers), tuple(cells), rounds, seconds, tuple(timeouts))


def quick(servers: Sequence[str]) -> Plan:
    """The main ratios: within 50 seconds on two cores that nothing else uses.

    `fabric-chaincode-python` with one client only: it loses calls that come together, and then all wait.
    """
    without = tuple(server for server in servers if server != OFFICIAL)
    cells = [Cell(BID, count, COMMIT, without if count > 1 else ()) for count in QUICK_CLIENTS]
    cells.append(Cell(BID, QUICK_CLIENTS[1], REVEAL, OWN))
    return Plan(tuple(servers), tuple(cells), 2, 1.0, BATCH_TIMEOUTS[:1])
