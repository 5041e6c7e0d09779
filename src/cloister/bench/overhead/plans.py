"""The runs: the whole one, and the quick one that gives the main ratios."""

from __future__ import annotations

from collections.abc import Sequence

from .drive import COMMIT, REVEAL
from .run import Cell, Plan, until_of
from .work import BID, BIDS, MIX, VALUE_BYTES, evaluation, getting, putting

CLIENTS = (1, 2, 4, 8, 16, 32, 64, 128)
QUICK_CLIENTS = (1, 16, 64)
BATCH_TIMEOUTS = ("100ms", "2s")
"""The short one first: two seconds are Fabric's default, and hide any overhead."""
_FEW, _MANY = 1, 32


def whole(
    servers: Sequence[str], *, clients: Sequence[int], rounds: int, seconds: float, timeouts: Sequence[str]
) -> Plan:
    """Bids and the mix over all client counts; evaluations and single reads and writes of several sizes with few."""
    cells = [Cell(BID, count, COMMIT) for count in clients]
    cells += [Cell(BID, count, REVEAL) for count in clients]
    cells += [Cell(MIX, count, COMMIT) for count in clients]
    works = [evaluation(bids) for bids in BIDS] + [kind(size) for kind in (getting, putting) for size in VALUE_BYTES]
    cells += [Cell(work, count, until_of(work)) for work in works for count in (_FEW, _MANY)]
    return Plan(tuple(servers), tuple(cells), rounds, seconds, tuple(timeouts))


def quick(servers: Sequence[str]) -> Plan:
    """The main ratios: within 50 seconds on two cores for plain and confidential."""
    cells = [Cell(BID, count, COMMIT) for count in QUICK_CLIENTS]
    cells += [Cell(BID, QUICK_CLIENTS[1], REVEAL), Cell(evaluation(100), 1, REVEAL)]
    return Plan(tuple(servers), tuple(cells), 2, 1.5, BATCH_TIMEOUTS[:1])
