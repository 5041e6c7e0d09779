"""What came of a run, as a document: medians, ratios taken round by round, what each transaction cost.

`throughput_ratio_A_to_B` and `latency_ratio_A_to_B` map client counts to ratios of bids in the auction, at the first
batch timeout, to the commit status; above 1 A has more calls per second, or takes longer. `…_spread` beside them has
the lowest and highest round.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cloister.bench.figures import Figure, figure, ratio
from cloister.bench.others import NODE, OFFICIAL

from .drive import COMMIT, REVEAL, Times
from .plans import BUSY_CLIENTS, PROCESSORS_BATCH_TIMEOUT, SIMPLEST_QUERY
from .run import MAX_MESSAGES, CellResult, Measured, Plan, RunResult
from .servers import CONFIDENTIAL, PLAIN
from .work import BID, BIDS, evaluation

FORMAT = "cloister/bench/overhead/1"
PAIRS = ((CONFIDENTIAL, PLAIN), (PLAIN, NODE), (PLAIN, OFFICIAL))
STAGES = ("endorsed", "committed", "revealed")
"""To the verified endorsement, to the commit status, to the opened outcome."""
_QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
_Of = Callable[[Measured], float]


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be reached, what was seen, and whether that is enough. None: not measured in this run."""

    name: str
    wanted: str
    seen: str
    reached: bool | None


def document(result: RunResult, plan: Plan, not_compared: dict[str, str]) -> dict[str, Any]:
    """Everything, for JSON. `not_compared`: server → why it took no part."""
    found: dict[str, Any] = {
        "format": FORMAT,
        "fabric_version": result.fabric_version,
        "machine": {
            "cores": result.cores,
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
        },
        "settings": {
            "rounds": plan.rounds,
            "seconds_per_turn": plan.seconds,
            "batch_timeouts": list(plan.batch_timeouts),
            "max_messages": MAX_MESSAGES,
            "organisations": 2,
        },
        "servers": list(plan.servers),
        "not_compared": {**not_compared, **result.given_up},
        "seconds": round(result.seconds, 1),
        "cells": [_cell(item) for item in result.cells],
    }
    for above, below in PAIRS:
        if above in plan.servers and below in plan.servers:  # as far as they have been measured
            found |= _main_ratios(result, plan, above, below)
    found["goals"] = [asdict(goal) for goal in goals(result, plan)]
    return found


def goals(result: RunResult, plan: Plan) -> list[Goal]:
    """The aims, each against this run's medians."""
    bids = [item for item in result.cells if item.cell.work == BID and item.cell.until == COMMIT]
    found = [
        _goal("confidential to plain, throughput to commit, every client count", 0.90, bids, rate_ratio, least=True),
        _goal("confidential to plain, p50 to commit, every client count", 1.10, bids, latency_ratio, least=False),
    ]
    evals = [item for item in result.cells if item.cell.work == evaluation(BIDS[-1]) and item.cell.until == REVEAL]
    found.append(_goal(f"confidential to plain, eval of {BIDS[-1]} bids, p50 to commit", 1.5, evals, latency_ratio))
    for server, wanted in ((NODE, 1.5), (OFFICIAL, 2.0)):
        pair = (PLAIN, server)
        for what, cells in _busy(result, plan, server):
            found.append(_goal(f"plain to {server}, {what}, throughput", wanted, cells, rate_ratio, pair, least=True))
            found.append(_goal(f"plain to {server}, {what}, p50", 1.0, cells, latency_ratio, pair))
    return found


def _busy(result: RunResult, plan: Plan, server: str) -> list[tuple[str, list[CellResult]]]:
    """Where our plain server is compared with another one: bids at the first batch timeout; with Node also queries, and
    bids where nobody waits for the batch timeout."""
    first, counts = plan.batch_timeouts[0], " and ".join(map(str, BUSY_CLIENTS))
    kinds = [("bids", BID, first)]
    if server == NODE:
        kinds += [("bids", BID, PROCESSORS_BATCH_TIMEOUT), ("queries", SIMPLEST_QUERY, first)]
    return [
        (
            f"{what} of {counts} clients at {timeout}",
            [
                item
                for item in result.cells
                if (item.cell.work, item.cell.until, item.batch_timeout) == (work, COMMIT, timeout)
                and item.cell.clients in BUSY_CLIENTS
            ],
        )
        for what, work, timeout in kinds
    ]


def rate_ratio(item: CellResult, above: str, below: str) -> Figure:
    """Calls per second, round by round."""
    return _ratio(item, above, below, lambda measured: measured.turn.per_second)


def latency_ratio(item: CellResult, above: str, below: str, stage: str = "committed") -> Figure:
    """Medians of the time to a stage, round by round."""
    return _ratio(item, above, below, lambda measured: quantile(measured.turn.times, stage, 0.5))


def quantile(times: Sequence[Times], stage: str, share: float) -> float:
    """Seconds from the call to a stage; 0 if nothing succeeded."""
    found = sorted(getattr(item, stage) - item.begun for item in times)
    return float(found[min(len(found) - 1, int(share * len(found)))]) if found else 0.0


def _ratio(item: CellResult, above: str, below: str, of: _Of) -> Figure:
    pairs = [
        (of(one), of(other))
        for one, other in zip(item.measured[above], item.measured[below], strict=True)
        if one.turn.times and other.turn.times
    ]
    if not pairs:
        return Figure(0.0, 0.0, 0.0)
    return ratio([one for one, _ in pairs], [other for _, other in pairs])


def _goal(
    name: str,
    wanted: float,
    cells: Sequence[CellResult],
    of: Callable[[CellResult, str, str], Figure],
    pair: tuple[str, str] = (CONFIDENTIAL, PLAIN),
    *,
    least: bool = False,
) -> Goal:
    """The worst cell decides."""
    sign = "at least" if least else "at most"
    seen = [of(item, *pair).median for item in cells if all(server in item.measured for server in pair)]
    if not seen:
        return Goal(name, f"{sign} {wanted:.2f}", "not measured", None)
    worst = min(seen) if least else max(seen)
    reached = worst >= wanted if least else worst <= wanted
    return Goal(name, f"{sign} {wanted:.2f}", f"{worst:.2f}", reached)


def _main_ratios(result: RunResult, plan: Plan, above: str, below: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    bids = [item for item in result.cells if item.cell.work == BID and item.batch_timeout == plan.batch_timeouts[0]]
    for name, of in (("throughput", rate_ratio), ("latency", latency_ratio)):
        figures = {
            str(item.cell.clients): of(item, above, below)
            for item in bids
            if item.cell.until == COMMIT and {above, below} <= item.measured.keys()
        }
        label = f"{name}_ratio_{above}_to_{below}"
        found[label] = {clients: round(item.median, 3) for clients, item in figures.items()}
        found[f"{label}_spread"] = {
            clients: [round(item.lowest, 3), round(item.highest, 3)] for clients, item in figures.items()
        }
    opened = {item.cell.clients: item for item in bids if item.cell.until == REVEAL}
    if opened and above == CONFIDENTIAL:
        found[f"throughput_ratio_{above}_revealed_to_{below}"] = {
            str(clients): round(rate_ratio(item, above, below).median, 3) for clients, item in opened.items()
        }
    return found


def _cell(item: CellResult) -> dict[str, Any]:
    servers = item.measured
    return {
        "work": item.cell.work.name,
        "clients": item.cell.clients,
        "until": item.cell.until,
        "batch_timeout": item.batch_timeout,
        "max_messages": MAX_MESSAGES,
        "servers": {name: _server(rounds) for name, rounds in servers.items()},
        "ratios": {
            f"{above}_to_{below}": {
                "throughput": _rounded(rate_ratio(item, above, below)),
                **{f"p50_{stage}": _rounded(latency_ratio(item, above, below, stage)) for stage in STAGES},
            }
            for above, below in PAIRS
            if above in servers and below in servers
        },
    }


def _server(rounds: Sequence[Measured]) -> dict[str, Any]:
    times = [one for measured in rounds for one in measured.turn.times]
    errors: dict[str, int] = {}
    for measured in rounds:
        for message, count in measured.turn.errors.items():
            errors[message] = errors.get(message, 0) + count
    calls = max(1, len(times))
    return {
        "calls": len(times),
        "errors": errors,
        "per_second": _rounded(figure([measured.turn.per_second for measured in rounds])),
        "milliseconds": {
            stage: {name: round(1000 * quantile(times, stage, share), 2) for name, share in _QUANTILES.items()}
            for stage in STAGES
        },
        "cpu_milliseconds_per_call": {
            role: round(1000 * sum(measured.cpu_s[role] for measured in rounds) / calls, 3) for role in rounds[0].cpu_s
        },
        "ledger_bytes_per_call": round(sum(measured.ledger_bytes for measured in rounds) / calls),
        "blocks_behind_at_end": max(measured.behind for measured in rounds),
        "load_before": [round(measured.load, 1) for measured in rounds],
    }


def _rounded(value: Figure) -> dict[str, float]:
    return {name: round(number, 3) for name, number in asdict(value).items()}
