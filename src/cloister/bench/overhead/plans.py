"""The runs: the whole one, and the quick one that gives the main ratios."""

from __future__ import annotations

from collections.abc import Sequence

from cloister.bench.others import NODE, OFFICIAL

from .drive import COMMIT, REVEAL
from .run import Cell, Plan, until_of
from .servers import OWN, PLAIN
from .work import BID, BIDS, MIX, VALUE_BYTES, evaluation, getting, putting

QUICK_CLIENTS = (1, 16, 64)
BATCH_TIMEOUTS = ("100ms", "2s")
"""The short one first: two seconds are Fabric's default, and hide any overhead."""
PROCESSORS_BATCH_TIMEOUT = "10ms"
"""So short that 16 clients keep two cores busy: above it the orderer is what they wait for, whatever the server."""
BUSY_CLIENTS = (16, 64)
SIMPLEST_QUERY = getting(VALUE_BYTES[0])
"""One read, and little else."""
_FEW, _MANY = 1, 16
_WARM_UP, _QUICK_WARM_UP = 8000, 1000
"""Calls, half of them at each organisation. A query costs Node 2.8 ms of CPU time at first, 1.0 and 0.5 after them."""
_QUICK_S, _QUICK_QUERY_S = 0.7, 0.5


def whole(
    servers: Sequence[str], *, clients: Sequence[int], rounds: int, seconds: float, timeouts: Sequence[str] = ()
) -> Plan:
    """Bids over all client counts on all servers. On our own also bids to the opened outcome, the mix, and evaluations,
    reads and writes of several sizes; of these the smallest on Node too: one read or one write, and little else.

    `timeouts` empty: BATCH_TIMEOUTS and, to compare with Node where nothing but the processors is the limit, a third.
    """
    cells = [Cell(BID, count, COMMIT) for count in clients]
    some = [count for count in clients if count in QUICK_CLIENTS] or clients
    cells += [Cell(BID, count, REVEAL, OWN) for count in some]
    cells += [Cell(MIX, count, COMMIT, OWN) for count in some]
    works = [evaluation(bids) for bids in BIDS] + [kind(size) for kind in (getting, putting) for size in VALUE_BYTES]
    simplest = (SIMPLEST_QUERY, putting(VALUE_BYTES[0]))
    cells += [
        Cell(work, count, until_of(work), (*OWN, NODE) if work in simplest else OWN)
        for work in works
        for count in (_FEW, _MANY)
    ]
    cells.append(Cell(SIMPLEST_QUERY, BUSY_CLIENTS[-1], COMMIT, (*OWN, NODE)))
    chosen = tuple(timeouts) or BATCH_TIMEOUTS
    busy = [count for count in BUSY_CLIENTS if count in clients]
    if not timeouts and busy and NODE in servers:
        chosen += (PROCESSORS_BATCH_TIMEOUT,)
        cells += [Cell(BID, count, COMMIT, (PLAIN, NODE), batch_timeout=PROCESSORS_BATCH_TIMEOUT) for count in busy]
    return Plan(tuple(servers), tuple(cells), rounds, seconds, chosen, _WARM_UP)


def quick(servers: Sequence[str]) -> Plan:
    """The main ratios: within 50 seconds on two cores that nothing else uses.

    `fabric-chaincode-python` with one client only: it loses calls that come together, and then all wait.
    """
    without = tuple(server for server in servers if server != OFFICIAL)
    cells = [Cell(BID, count, COMMIT, without if count > 1 else ()) for count in QUICK_CLIENTS]
    cells.append(Cell(BID, QUICK_CLIENTS[1], REVEAL, OWN))
    if NODE in servers:
        cells.append(Cell(SIMPLEST_QUERY, BUSY_CLIENTS[-1], COMMIT, (PLAIN, NODE), seconds=_QUICK_QUERY_S))
    return Plan(tuple(servers), tuple(cells), 2, _QUICK_S, BATCH_TIMEOUTS[:1], _QUICK_WARM_UP)
