"""Who takes turns when. All servers stand on the same peers; within a round each has one turn, in alternating order."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cloister.bench.others import NODE, OFFICIAL
from cloister.bench.processes import cpu_seconds, load, paused
from cloister.errors import RemoteFailed
from cloister.network import Network, NetworkOptions

from .drive import COMMIT, REVEAL, Caller, Done, Turn, Until, call_all, take_turn
from .servers import OWN, Field, Server, deployed
from .work import BID, Call, Work, preparation

MAX_MESSAGES = 100
"""Transactions that fill a block."""
_PREPARING_CLIENTS = 32
_CATCH_UP_S = 120.0
_POLL_S = 0.05
_WARM_UP_S = 0.3
_WARM_UP_CLIENTS = 64
_MOST_FAILURES = 0.05
"""For one call that succeeds; a server of others that fails more often is given up."""
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing to measure: a work, so many clients, how far they go, on which servers (empty: on all).

    `seconds`: of each turn, if other than the plan's. `batch_timeout`: where alone it is measured; empty: as the plan
    says.
    """

    work: Work
    clients: int
    until: Until
    servers: tuple[str, ...] = ()
    seconds: float = 0.0
    batch_timeout: str = ""

    def on(self, server: str) -> bool:
        """Whether this server takes part."""
        return not self.servers or server in self.servers


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole run. `seconds`: of each turn; `batch_timeouts`: Go durations, one network each.

    Where cells name a batch timeout, these are measured there. Else all others are at the first one, and at the rest
    only bids to the commit status, in turns twice as long: to show how much of a latency is the batch timeout.
    `warm_up`: calls of each kind that Node gets before, since its compiler learns from what runs.
    """

    servers: tuple[str, ...]
    cells: tuple[Cell, ...]
    rounds: int
    seconds: float
    batch_timeouts: tuple[str, ...]
    warm_up: int = 0

    def cells_at(self, batch_timeout: str) -> tuple[Cell, ...]:
        """What is measured there."""
        named = tuple(cell for cell in self.cells if cell.batch_timeout == batch_timeout)
        others = tuple(cell for cell in self.cells if not cell.batch_timeout)
        if named or batch_timeout == self.batch_timeouts[0]:
            return named or others
        return tuple(cell for cell in others if cell.work == BID and cell.until == COMMIT)

    def seconds_at(self, batch_timeout: str) -> float:
        """How long a turn is there."""
        return self.seconds if batch_timeout == self.batch_timeouts[0] else 2 * self.seconds


@dataclass(frozen=True, slots=True)
class Measured:
    """One turn of one server. CPU seconds by role; `behind`: blocks that its ledger enclaves had yet to judge at the
    end, and `catch_up_s` how long they took; `load`: of the machine, when it began."""

    turn: Turn
    cpu_s: dict[str, float]
    ledger_bytes: int
    behind: int
    catch_up_s: float
    load: float


@dataclass(frozen=True, slots=True)
class CellResult:
    """All rounds of a cell: server → one entry per round."""

    batch_timeout: str
    cell: Cell
    measured: dict[str, list[Measured]]


@dataclass
class RunResult:
    """Everything that was measured, and on what."""

    fabric_version: str = ""
    cores: int = field(default_factory=lambda: os.cpu_count() or 1)
    cells: list[CellResult] = field(default_factory=list)
    given_up: dict[str, str] = field(default_factory=dict)
    """Server → where and why it has had no more turns."""
    seconds: float = 0.0


def run(folder: Path, plan: Plan, *, progress: Progress) -> RunResult:
    """Start a network for each batch timeout, deploy everything, let the servers take turns, stop it.

    Raises: CloisterError of many kinds.
    """
    result = RunResult()
    begun = time.monotonic()
    for timeout in plan.batch_timeouts:
        progress(f"starting a Fabric network, batch timeout {timeout}")
        options = NetworkOptions(batch_timeout=timeout, max_messages=MAX_MESSAGES)
        network = Network.up(folder / timeout, options)
        try:
            result.fabric_version = network.layout.fabric_version
            asyncio.run(_measure_all(network, plan, timeout, result, progress))
        finally:
            network.down()
    result.seconds = time.monotonic() - begun
    return result


async def _measure_all(network: Network, plan: Plan, batch_timeout: str, result: RunResult, progress: Progress) -> None:
    cells, seconds = plan.cells_at(batch_timeout), plan.seconds_at(batch_timeout)
    taking_part = [name for name in plan.servers if any(cell.on(name) for cell in cells)]
    works = {name: [cell.work for cell in cells if cell.on(name)] for name in taking_part}
    contracts = {name: sorted({work.contract for work in found}) for name, found in works.items()}
    async with deployed(network, contracts, progress=progress) as found:
        for server in found.servers:
            progress(f"preparing: {server.name}")
            await _prepare(server, works[server.name])
            if server.name == NODE:
                await _warm_up(server, works[server.name], plan.warm_up)
        for number, cell in enumerate(cells, start=1):
            where = f"{batch_timeout}, {number} of {len(cells)}: {cell.work.name}, {cell.clients} clients"
            measured = await _measure(found, cell, plan.rounds, cell.seconds or seconds, _at(where, progress))
            for name in found.given_up & measured.keys():
                errors = max((item.turn.errors for item in measured.pop(name)), key=lambda item: sum(item.values()))
                why = f"given up: of {cell.clients} clients' calls {sum(errors.values())} failed: {next(iter(errors))}"
                result.given_up.setdefault(name, why)
            result.cells.append(CellResult(batch_timeout, cell, measured))


async def _prepare(server: Server, works: Sequence[Work]) -> None:
    clients = 1 if server.name == OFFICIAL else _PREPARING_CLIENTS  # it loses calls that come together
    for contract, steps in preparation(works):
        for calls in steps:
            await call_all(server.callers[contract], calls, clients=clients)


async def _warm_up(server: Server, works: Sequence[Work], calls: int) -> None:
    """Calls are evaluated at both organisations, so that nothing is committed."""
    for work in dict.fromkeys(works):
        caller = server.callers[work.contract]

        async def evaluated(call: Call, until: Until, client: int, caller: Caller = caller) -> Done:
            return await caller(replace(call, query=True), until, client)

        each = calls // _WARM_UP_CLIENTS
        await take_turn(evaluated, work, clients=_WARM_UP_CLIENTS, seconds=0.0, until=COMMIT, seed=-1, least=each)


def _at(where: str, progress: Progress) -> Progress:
    return lambda text: progress(f"{where}, {text}")


async def _measure(
    found: Field, cell: Cell, rounds: int, seconds: float, progress: Progress
) -> dict[str, list[Measured]]:
    servers = [server for server in found.servers if cell.on(server.name) and server.name not in found.given_up]
    measured: dict[str, list[Measured]] = {server.name: [] for server in servers}
    for number in range(rounds):
        order = servers if number % 2 == 0 else list(reversed(servers))
        for server in [item for item in order if item.name not in found.given_up]:
            progress(f"round {number + 1} of {rounds}: {server.name}")
            one = await _one_turn(found, server, cell, seconds, seed=number)
            measured[server.name].append(one)
            if server.name not in OWN and sum(one.turn.errors.values()) > _MOST_FAILURES * len(one.turn.times):
                found.given_up.add(server.name)
    return measured


async def _one_turn(found: Field, server: Server, cell: Cell, seconds: float, *, seed: int) -> Measured:
    """Those that work in the background for another server are paused meanwhile, and catch up afterwards, unmeasured:
    on a channel of its own they would not have had this server's transactions to follow."""
    others = [pid for item in found.servers if item is not server for pid in item.background]
    caller, roles = server.callers[cell.work.contract], {**found.shared, **server.pids, "client": (os.getpid(),)}
    with paused(others):
        await take_turn(caller, cell.work, clients=cell.clients, seconds=_WARM_UP_S, until=cell.until, seed=-1 - seed)
        load_before, bytes_before = load(), found.block_bytes()
        before = {role: cpu_seconds(pids) for role, pids in roles.items()}
        turn = await take_turn(caller, cell.work, clients=cell.clients, seconds=seconds, until=cell.until, seed=seed)
        cpu_s = {role: cpu_seconds(pids) - before[role] for role, pids in roles.items()}
        ledger_bytes = found.block_bytes() - bytes_before
        behind = await found.behind() if server.background else 0
    ended = time.monotonic()
    await _caught_up(found)
    return Measured(turn, cpu_s, ledger_bytes, behind, time.monotonic() - ended, load_before)


async def _caught_up(found: Field) -> None:
    deadline = time.monotonic() + _CATCH_UP_S
    while await found.behind():
        if time.monotonic() > deadline:
            raise RemoteFailed(f"the ledger enclaves did not catch up within {_CATCH_UP_S:.0f} s")
        await asyncio.sleep(_POLL_S)


def until_of(work: Work) -> Until:
    """How far clients go: an evaluation's answer is what it is for, all else counts once it is committed."""
    return REVEAL if work.kind == "eval" else COMMIT
