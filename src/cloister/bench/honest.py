"""Honest transactions of many concurrent clients: what goes wrong though nobody lies, and whether what is read fits.

Each client moves money between two accounts of its own, sometimes to another client's, and reads balances and totals
while the channel goes on. Fabric's own are counted apart: conflicts (MVCC_READ_CONFLICT, PHANTOM_READ_CONFLICT), and
endorsers that differ for want of one height, as they do for whoever reads what everybody writes. Any other error, and
any total that cannot be, is one too many.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cloister.client.confidential import ConfidentialContract, ConfidentialResult, open_confidential
from cloister.client.errors import ConfidentialCallFailed, NotOpened
from cloister.deploy.deploy import Plan, connected, deploy
from cloister.deploy.workspace import Workspace
from cloister.errors import CloisterError, CommitRefused
from cloister.network import Network, NetworkOptions

from .accounts_contract import OPENING

Progress = Callable[[str], None]
CHAINCODE = "accounts"
CONTRACT = str(Path(__file__).parent / "accounts_contract.py")
CONFLICTS = frozenset({"MVCC_READ_CONFLICT", "PHANTOM_READ_CONFLICT"})
FABRICS_OWN = {
    "ProposalResponsePayloads do not match": "endorsers-differ",
    "no combination of peers can be derived": "no-endorsers",
}
"""Fabric 2.5.9 internal/pkg/gateway/endorsement.go: peers at different heights to the end of the client's patience; a
peer that the others have lost sight of for a moment, on a machine with too much to do."""
_KEPT_MESSAGES = 20
_TRIES = 50


class Caller(Protocol):
    """A client of the contract."""

    async def submit(self, function: str, *arguments: str) -> ConfidentialResult:
        """Run and commit."""
        ...

    async def evaluate(self, function: str, *arguments: str) -> ConfidentialResult:
        """Ask."""
        ...


@dataclass
class HonestReport:
    """How it went. `transactions` were committed, `queries` answered; `errors` by kind, without Fabric's own.

    `impossible`: totals and balances that no height of the channel had.
    """

    clients: int
    transactions: int = 0
    queries: int = 0
    conflicts: int = 0
    impossible: int = 0
    seconds: float = 0.0
    fabric: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    messages: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """No error that an honest channel must not show."""
        return not self.errors and not self.impossible

    def document(self) -> dict[str, object]:
        """For machines."""
        return {
            "clients": self.clients,
            "transactions": self.transactions,
            "queries": self.queries,
            "conflicts": self.conflicts,
            "impossible": self.impossible,
            "fabric": dict(self.fabric),
            "errors": dict(self.errors),
            "messages": self.messages,
            "seconds": round(self.seconds, 3),
            "transactions_per_second": round(self.transactions / self.seconds, 1) if self.seconds else 0.0,
            "clean": self.clean,
        }


async def run_honest(
    callers: Sequence[Caller], *, transactions: int, seed: int = 0, progress: Progress | None = None
) -> HonestReport:
    """Have all callers work until `transactions` are committed. The accounts must be new."""
    report = HonestReport(len(callers))
    names = [f"{number}/{side}" for number in range(len(callers)) for side in "ab"]
    await callers[0].submit("open", _json(names))
    began = time.monotonic()
    tasks = [
        asyncio.create_task(
            _Worker(number, caller, names, transactions, random.Random(seed + number), report).run()  # noqa: S311
        )
        for number, caller in enumerate(callers)
    ]
    try:
        while (waiting := [task for task in tasks if not task.done()]) and progress is not None:
            await asyncio.wait(waiting, timeout=0.5)
            progress(f"{report.transactions} of {transactions} transactions, {sum(report.errors.values())} errors")
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    report.seconds = time.monotonic() - began
    await _check_end(callers, names, report)
    return report


async def _check_end(callers: Sequence[Caller], names: list[str], report: HonestReport) -> None:
    """Whoever asks, all money is there: nothing was lost and nothing doubled."""
    for caller in callers[:2]:
        found = int((await caller.evaluate("total")).payload)
        report.impossible += found != OPENING * len(names)


@dataclass
class _Worker:
    number: int
    caller: Caller
    names: list[str]
    goal: int
    choice: random.Random
    report: HonestReport

    async def run(self) -> None:
        """Alternate between moves and reads until enough was committed."""
        failures = 0
        while self.report.transactions < self.goal and failures < _TRIES:
            draw = self.choice.random()
            if draw < 0.1:
                done = await self._guarded(self._total())
            elif draw < 0.2:
                done = await self._guarded(self._balance())
            elif draw < 0.22:
                done = await self._guarded(self._move(self.choice.choice(self.names)))
            elif draw < 0.23:
                done = await self._guarded(self._audit())
            else:
                done = await self._guarded(self._move(f"{self.number}/b"))
            failures = 0 if done else failures + 1

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> bool:
        try:
            await work
        except CommitRefused as refused:
            if refused.validation_code not in CONFLICTS:
                self._note(refused.validation_code, refused)
                return False
            self.report.conflicts += 1
        except ConfidentialCallFailed as failed:
            self._note("contract", failed)
            return False
        except NotOpened as failed:
            self.report.transactions += 1
            self._note("not-opened", failed)
            return False
        except CloisterError as error:
            self._note(getattr(error, "reason", type(error).__name__), error)
            return False
        return True

    def _note(self, kind: str, error: CloisterError) -> None:
        details = [detail.message for detail in getattr(error, "details", ())]
        told = "; ".join([f"{type(error).__name__}: {error.message}", *details])
        for text, own in FABRICS_OWN.items():
            if text in told:
                self.report.fabric[own] += 1
                return
        self.report.errors[kind] += 1
        if len(self.report.messages) < _KEPT_MESSAGES:
            self.report.messages.append(told)

    async def _move(self, target: str) -> None:
        source = f"{self.number}/a"
        if target == source:
            target = f"{self.number}/b"
        await self.caller.submit("move", source, target, str(self.choice.randrange(-5, 6)))
        self.report.transactions += 1

    async def _audit(self) -> None:
        self._require_total((await self.caller.submit("audit")).payload)
        self.report.transactions += 1

    async def _total(self) -> None:
        self._require_total((await self.caller.evaluate("total")).payload)
        self.report.queries += 1

    async def _balance(self) -> None:
        int((await self.caller.evaluate("balance", f"{self.number}/a")).payload)
        self.report.queries += 1

    def _require_total(self, payload: bytes) -> None:
        self.report.impossible += int(payload) != OPENING * len(self.names)


async def bench_honest(
    folder: Path, *, transactions: int, clients: int, idle_s: float, progress: Progress
) -> HonestReport:
    """On a real network of its own in `folder`, which is stopped at the end. Raises: CloisterError."""
    network = Network.up(folder, NetworkOptions(batch_timeout="100ms", max_messages=50), progress=progress)
    try:
        await deploy(network, Plan(CHAINCODE, CONTRACT), progress=progress)
        return await honest_on_fabric(
            network, transactions=transactions, clients=clients, idle_s=idle_s, progress=progress
        )
    finally:
        network.down()


async def honest_on_fabric(
    network: Network,
    *,
    transactions: int,
    clients: int,
    progress: Progress,
    idle_s: float = 0.0,
) -> HonestReport:
    """On a network where the contract is deployed: first `idle_s` seconds without a block, then the work."""
    async with AsyncExitStack() as stack:
        callers = [await _caller(stack, network, number) for number in range(clients)]
        if idle_s:
            progress(f"{idle_s:g} s without a block")
            await asyncio.sleep(idle_s)
        return await run_honest(callers, transactions=transactions, progress=progress)


async def _caller(stack: AsyncExitStack, network: Network, number: int) -> ConfidentialContract:
    """A client with a connection of its own, at one organisation after the other."""
    organisation = network.organisations[number % len(network.organisations)]
    gateway = await stack.enter_async_context(connected(organisation, "User1"))
    trust = Workspace(network).trust(CHAINCODE)
    own = [gateway.identity.msp_id]
    return await open_confidential(gateway.network(network.channel), CHAINCODE, trust, endorsing_organizations=own)


def _json(names: list[str]) -> str:
    return "[" + ",".join(f'"{name}"' for name in names) + "]"
