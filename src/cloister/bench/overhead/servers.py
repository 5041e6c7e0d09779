"""Where contracts run: the servers that are compared, each deployed at both organisations of one network."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cloister import samples
from cloister.bench.others import NODE, OFFICIAL, find_other
from cloister.bench.processes import Pids, children
from cloister.client.confidential import open_confidential
from cloister.deploy.deploy import PLAIN_VERSION, Plan, connected, deploy
from cloister.deploy.rollout import ForeignServer, Rollout
from cloister.deploy.servers import NAME
from cloister.deploy.workspace import Workspace
from cloister.gateway import Deadlines, Gateway
from cloister.ledger_service.client import open_ledger_service
from cloister.lifecycle import ChaincodeDefinition
from cloister.network import Network
from cloister.network.processes import running_pid

from .callers import confidential_caller, plain_caller
from .drive import Caller

CONFIDENTIAL, PLAIN = "confidential", "plain"
OWN = (PLAIN, CONFIDENTIAL)
LABELS = {
    NODE: "the contract ported to the official Node contract API, on its own server",
    OFFICIAL: "the contract ported to fabric-chaincode-python, on its own server",
    CONFIDENTIAL: "confidential: host, chaincode enclave, ledger enclave of each organisation",
    PLAIN: "the same contract as ordinary chaincode, on our server",
}
_SAMPLES = Path(samples.__file__).parent
_USER = "User1"
_DEADLINES = Deadlines(evaluate_s=8.0, endorse_s=8.0)
"""A server that loses calls shows by its failures; eight seconds each are enough for that."""
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Server:
    """One way to run contracts. `callers`: by contract. `background`: processes that work on after its turn, and that
    others' turns must not pay for."""

    name: str
    callers: dict[str, Caller]
    pids: Pids
    background: tuple[int, ...] = ()


@dataclass
class Field:
    """A network with everything deployed that takes part."""

    network: Network
    servers: list[Server] = field(default_factory=list)
    ledger_services: list[str] = field(default_factory=list)
    """Addresses of the organisations' ledger services."""
    gateways: list[Gateway] = field(default_factory=list)
    given_up: set[str] = field(default_factory=set)
    """Servers that failed: they have no more turns. While calls hang in one, peers commit nothing for anybody."""

    @property
    def shared(self) -> Pids:
        """Processes that every server's calls use."""
        found: dict[str, tuple[int, ...]] = {"peers": (), "orderer": ()}
        for process in self.network.status():
            role = "orderer" if process.name.startswith("orderer") else "peers"
            found[role] += (process.pid,) if process.pid else ()
        return found

    def block_bytes(self) -> int:
        """How long the first organisation's block files are."""
        chains = self.network.organisations[0].folder / "peer" / "data" / "ledgersData" / "chains" / "chains"
        return sum(path.stat().st_size for path in (chains / self.network.channel).glob("blockfile_*"))

    async def behind(self) -> int:
        """By how many blocks the ledger enclave that is furthest behind lies behind the orderer's chain."""
        if not self.ledger_services:
            return 0
        chain = await chain_height(self.network, self.gateways[0])
        heights = []
        for address in self.ledger_services:
            service = await open_ledger_service(address)
            heights.append(int((await service.status())["height"]))
            await service.close()
        return max(0, chain - min(heights))


@contextlib.asynccontextmanager
async def deployed(
    network: Network, contracts: Mapping[str, Sequence[str]], *, progress: Progress
) -> AsyncIterator[Field]:
    """Deploy contracts (server → names), and connect a client at every organisation."""
    found = Field(network)
    async with contextlib.AsyncExitStack() as stack:
        found.gateways = [
            await stack.enter_async_context(connected(item, _USER, deadlines=_DEADLINES))
            for item in network.organisations
        ]
        for name, wanted in contracts.items():
            progress(f"deploying on: {name}")
            for contract in wanted:
                await _deploy(network, name, contract)
            found.servers.append(await _server(found, name, wanted))
        yield found


async def _deploy(network: Network, name: str, contract: str) -> None:
    chaincode = f"{contract}-{name}"
    if name in (CONFIDENTIAL, PLAIN):
        await deploy(network, Plan(chaincode, str(_SAMPLES / f"{contract}.py"), confidential=name == CONFIDENTIAL))
        return
    other = find_other(name)
    foreign = ForeignServer(functools.partial(other.command, contract), other.probe)
    definition = ChaincodeDefinition(chaincode, PLAIN_VERSION, 1)
    async with contextlib.AsyncExitStack() as stack:
        admins = [await stack.enter_async_context(connected(item)) for item in network.organisations]
        await Rollout(network, definition, "", chaincode, confidential=False, foreign=foreign).run(admins, _silent)


def _silent(message: str) -> None:
    del message


async def _server(found: Field, name: str, contracts: Iterable[str]) -> Server:
    callers, folders = {}, []
    for contract in contracts:
        chaincode = f"{contract}-{name}"
        callers[contract] = await _caller(found, chaincode, confidential=name == CONFIDENTIAL)
        folders += [item.folder / "chaincode" / chaincode for item in found.network.organisations]
    servers = _running(folders)
    if name != CONFIDENTIAL:
        return Server(name, callers, {"chaincode servers": servers})
    ledgers = [item.folder / "ledger" for item in found.network.organisations]
    found.ledger_services = [_address(folder) for folder in ledgers]
    services = _running(ledgers)
    pids = {
        "hosts": servers,
        "chaincode enclaves": _children(servers),
        "ledger services": services,
        "ledger enclaves": _children(services),
    }
    return Server(name, callers, pids, (*pids["ledger services"], *pids["ledger enclaves"]))


async def _caller(found: Field, chaincode: str, *, confidential: bool) -> Caller:
    channels = [gateway.network(found.network.channel) for gateway in found.gateways]
    if not confidential:
        return plain_caller([channel.contract(chaincode) for channel in channels])
    trust = Workspace(found.network).trust(chaincode)
    return confidential_caller([await open_confidential(channel, chaincode, trust) for channel in channels])


async def chain_height(network: Network, gateway: Gateway) -> int:
    """How many blocks the first organisation's peer has."""
    from fabric_protos.common import ledger_pb2

    contract = gateway.network(network.channel).contract("qscc")
    answer = await contract.evaluate_transaction("GetChainInfo", network.channel)
    return int(ledger_pb2.BlockchainInfo.FromString(answer).height)


def _address(folder: Path) -> str:
    return f"127.0.0.1:{json.loads((folder / 'server.json').read_text('utf-8'))['port']}"


def _running(folders: Iterable[Path]) -> tuple[int, ...]:
    return tuple(pid for folder in folders if (pid := running_pid(folder, NAME)) is not None)


def _children(pids: Iterable[int]) -> tuple[int, ...]:
    return tuple(child for pid in pids for child in children(pid))
