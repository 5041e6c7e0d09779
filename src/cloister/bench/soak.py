"""Load for minutes while processes are killed and peers stop; then: nothing lost, nothing doubled, memory flat.

Each client counts up a counter of its own, one transaction after the other, opens each outcome and reads now and then.
In the first half something is killed every few seconds and comes back: an organisation's chaincode enclave, its ledger
enclave, its whole host, its peer. In the second half nothing is, and memory is looked at. In the end every counter must
be exactly the number of its transactions that are valid on the channel; of those whose end a client did not learn, the
peer is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fabric_protos.peer import transaction_pb2

from cloister.client.confidential import ConfidentialContract, open_confidential
from cloister.client.results import PendingOutcome
from cloister.deploy.deploy import Plan, connected, deploy
from cloister.deploy.servers import NAME, start_again
from cloister.deploy.workspace import Workspace
from cloister.errors import CloisterError, CommitRefused, RemoteFailed
from cloister.gateway import EvaluateError, Gateway
from cloister.network import Network, NetworkOptions, Organisation
from cloister.network.processes import running_pid

from .processes import children, memory_bytes

CHAINCODE = "counters"
CONTRACT = str(Path(__file__).parent / "counters_contract.py")
FLAT_SHARE, FLAT_BYTES = 0.2, 16 * 1024 * 1024
"""Memory is flat if it has grown by no more than this share, or by no more than so many bytes."""
READ_EVERY = 5
_PAUSE_S = 0.2
_SETTLED_S = 60.0
Progress = Callable[[str], None]


@dataclass
class SoakReport:
    """How it went. `failures`: calls that ended in an error, by its kind; each one may be retried, none may count
    wrongly. `wrong`: counters that differ from their transactions. `memory`: process → (bytes at the middle, at the
    end)."""

    seconds: float = 0.0
    transactions: int = 0
    reads: int = 0
    unknown: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    memory: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def growing(self) -> list[str]:
        """Processes whose memory was not flat in the second half."""
        return [
            name
            for name, (before, after) in self.memory.items()
            if after - before > max(FLAT_BYTES, FLAT_SHARE * before)
        ]

    @property
    def clean(self) -> bool:
        """Nothing lost, nothing doubled, memory flat, and something was done."""
        return bool(self.transactions) and not self.wrong and not self.growing


@dataclass
class _Client:
    """One client and its counter. `unknown`: transactions whose end it did not learn."""

    name: str
    contract: ConfidentialContract
    valid: int = 0
    unknown: list[str] = field(default_factory=list)


def bench_soak(folder: Path, *, seconds: float, clients: int, kill_every_s: float, progress: Progress) -> SoakReport:
    """Run it on a network of its own in an empty folder. Raises: CloisterError of many kinds."""
    progress("starting a Fabric network")
    network = Network.up(folder, NetworkOptions(batch_timeout="100ms"))
    try:
        return asyncio.run(_run(network, seconds, clients, kill_every_s, progress))
    finally:
        network.down()


async def _run(network: Network, seconds: float, clients: int, kill_every_s: float, progress: Progress) -> SoakReport:
    report = SoakReport()
    await deploy(network, Plan(CHAINCODE, CONTRACT), progress=progress)
    trust = Workspace(network).trust(CHAINCODE)
    async with contextlib.AsyncExitStack() as stack:
        gateways = [await stack.enter_async_context(connected(item, "User1")) for item in network.organisations]
        workers = []
        for number in range(clients):
            channel = gateways[number % len(gateways)].network(network.channel)
            workers.append(_Client(f"counter{number}", await open_confidential(channel, CHAINCODE, trust)))
        begun, stop = time.monotonic(), asyncio.Event()
        tasks = [asyncio.create_task(_work(worker, report, stop)) for worker in workers]
        try:
            await _kill_now_and_then(network, seconds / 2, kill_every_s, report, progress)
            middle = _memory(network)
            progress("second half: load and nothing else")
            await asyncio.sleep(max(0.0, begun + seconds - time.monotonic()))
        finally:
            stop.set()
            await asyncio.gather(*tasks)
        report.seconds = time.monotonic() - begun
        report.memory = {name: (middle[name], size) for name, size in _memory(network).items() if name in middle}
        progress("counting")
        for worker in workers:
            await _count(worker, network, gateways[0], report)
    return report


# --- load -------------------------------------------------------------------------------------------------------------


async def _work(client: _Client, report: SoakReport, stop: asyncio.Event) -> None:
    number = 0
    while not stop.is_set():
        number += 1
        try:
            if number % READ_EVERY == 0:
                await client.contract.evaluate("read", client.name)
                report.reads += 1
            else:
                await _add(client)
                report.transactions += 1
        except CloisterError as error:
            report.failures[type(error).__name__] += 1
            await asyncio.sleep(_PAUSE_S)


async def _add(client: _Client) -> None:
    """One transaction, to its opened outcome. Raises: CloisterError; if it may have been committed, it is noted."""
    sent: list[str] = []

    def note(pending: PendingOutcome) -> None:
        sent.append(pending.transaction_id)

    try:
        call = await client.contract.commit("add", client.name, on_pending=note)
    except CommitRefused:
        raise  # known: not valid
    except CloisterError:
        client.unknown += sent
        raise
    client.valid += 1
    await client.contract.open(call.pending)


async def _count(client: _Client, network: Network, gateway: Gateway, report: SoakReport) -> None:
    """Compare the counter with the channel."""
    report.unknown += len(client.unknown)
    expected = client.valid
    for transaction_id in client.unknown:
        expected += await _is_valid(network, gateway, transaction_id)
    deadline = time.monotonic() + _SETTLED_S
    while True:
        try:
            found = int((await client.contract.evaluate("read", client.name)).payload)
            break
        except (EvaluateError, RemoteFailed):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_PAUSE_S)
    if found != expected:
        report.wrong.append(f"{client.name}: {found}, but {expected} of its transactions are valid")


async def _is_valid(network: Network, gateway: Gateway, transaction_id: str) -> bool:
    qscc = gateway.network(network.channel).contract("qscc")
    try:
        answer = await qscc.evaluate_transaction("GetTransactionByID", network.channel, transaction_id)
    except EvaluateError:
        return False  # never ordered
    processed = transaction_pb2.ProcessedTransaction.FromString(answer)
    return bool(processed.validationCode == transaction_pb2.VALID)


# --- trouble ----------------------------------------------------------------------------------------------------------


async def _kill_now_and_then(
    network: Network, seconds: float, every_s: float, report: SoakReport, progress: Progress
) -> None:
    deadline, number = time.monotonic() + seconds, 0
    kinds = (_kill_chaincode_enclave, _kill_ledger_enclave, _kill_host, _restart_peer)
    while time.monotonic() + every_s < deadline or number < len(kinds):
        await asyncio.sleep(every_s)
        kind = kinds[number % len(kinds)]
        organisation = network.organisations[number // len(kinds) % len(network.organisations)]
        what = await asyncio.to_thread(kind, network, organisation)
        report.kills[what] += 1
        progress(f"first half: {what} of {organisation.name}; {report.transactions} transactions so far")
        number += 1
    await asyncio.sleep(every_s)


def _kill_chaincode_enclave(_network: Network, organisation: Organisation) -> str:
    _kill_children(_host(organisation))
    return "chaincode enclave killed"


def _kill_ledger_enclave(_network: Network, organisation: Organisation) -> str:
    _kill_children(organisation.folder / "ledger")
    return "ledger enclave killed"


def _kill_host(network: Network, organisation: Organisation) -> str:
    pid = running_pid(_host(organisation), NAME)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
    while pid is not None and running_pid(_host(organisation), NAME) == pid:
        time.sleep(0.01)
    start_again(network)
    return "host killed and started again"


def _restart_peer(network: Network, organisation: Organisation) -> str:
    network.stop_peer(organisation.name)
    network.start_peer(organisation.name)
    return "peer stopped and started again"


def _kill_children(folder: Path) -> None:
    pid = running_pid(folder, NAME)
    for child in children(pid) if pid is not None else ():
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def _host(organisation: Organisation) -> Path:
    return organisation.folder / "chaincode" / CHAINCODE


def _memory(network: Network) -> dict[str, int]:
    """Resident bytes by process; the same name and pid only if it is still the same process."""
    found = {}
    for organisation in network.organisations:
        for role, folder in (("host", _host(organisation)), ("ledger service", organisation.folder / "ledger")):
            pid = running_pid(folder, NAME)
            if pid is None:
                continue
            found[f"{organisation.name} {role} {pid}"] = memory_bytes(pid)
            for child in children(pid):
                found[f"{organisation.name} {role}'s enclave {child}"] = memory_bytes(child)
    return found
