"""A channel for the tests of contracts: deploy a contract under a fresh name, call it as several people.

    async with embedded_channel.deploy(Vault) as vault:
        ann, bob = await vault.as_user("org1/User1"), await vault.as_user("org2/User1")
        await ann.submit("store", "4711")
        assert await ann.evaluate("read") == b"4711"

Ordinary chaincode is served in the test's own process, so a deployment takes a fraction of a second. Confidential
chaincode gets hosts and enclaves of its own, which are processes and take seconds; `cloister.testing` runs a contract
confidentially in one process.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from cloister.client.confidential import ConfidentialContract, open_confidential
from cloister.contract import Contract, ContractChaincode
from cloister.contract.server import ChaincodeServer, contract_handler
from cloister.deploy.deploy import Plan, connected, deploy
from cloister.deploy.servers import stop_server
from cloister.deploy.workspace import Workspace
from cloister.errors import UsageError
from cloister.gateway import Contract as RemoteContract
from cloister.gateway import Gateway
from cloister.lifecycle import ChaincodeDefinition, Lifecycle, compute_package_id, package_chaincode, wait_until_usable
from cloister.network import Network
from cloister.network.processes import free_ports

_STOP_S = 1.0
_NUMBERS = itertools.count(1)
"""Of this process: names are fresh on any network that outlives it, with its pid before them."""
Argument = str | bytes


@dataclass(frozen=True)
class Caller:
    """A deployed contract, as one user calls it. Raises: what the Gateway client or the confidential client raises."""

    user: str
    gateway: Gateway
    remote: RemoteContract
    confidential: ConfidentialContract | None = None

    async def submit(self, function: str, *arguments: Argument) -> bytes:
        """Call, wait until it is committed and valid; the answer."""
        if self.confidential is not None:
            return (await self.confidential.submit(function, *arguments)).payload
        return await self.remote.submit_transaction(function, *arguments)

    async def evaluate(self, function: str, *arguments: Argument) -> bytes:
        """Ask one peer; nothing is committed."""
        if self.confidential is not None:
            return (await self.confidential.evaluate(function, *arguments)).payload
        return await self.remote.evaluate_transaction(function, *arguments)


class Deployed:
    """A contract on the channel, until the test is over."""

    def __init__(self, network: Network, name: str, stack: contextlib.AsyncExitStack, *, confidential: bool) -> None:
        self.name = name
        self._network = network
        self._stack = stack
        self._confidential = confidential
        self._callers: dict[str, Caller] = {}

    async def as_user(self, user: str = "org1/User1") -> Caller:
        """ORG/USER: org1, org2; Admin, User1, User2, User3. Raises: NetworkNotThere if there is none of that name."""
        if user not in self._callers:
            organisation, _, name = user.partition("/")
            opened = connected(self._network.organisation(organisation), name or "User1")
            gateway = await self._stack.enter_async_context(opened)
            channel = gateway.network(self._network.channel)
            confidential = None
            if self._confidential:
                confidential = await open_confidential(channel, self.name, Workspace(self._network).trust(self.name))
            self._callers[user] = Caller(user, gateway, channel.contract(self.name), confidential)
        return self._callers[user]


class EmbeddedChannel:
    """The channel of a running network, for tests of contracts."""

    def __init__(self, network: Network) -> None:
        self.network = network

    @contextlib.asynccontextmanager
    async def deploy(
        self,
        contract: type[Contract],
        *,
        confidential: bool = False,
        signature_policy: str = "",
        collections: bytes = b"",
    ) -> AsyncIterator[Deployed]:
        """Deploy under a fresh name; gone from its servers at the end, though its state stays on the channel.

        `signature_policy` in the peer CLI's notation, `collections` a serialised `protos.CollectionConfigPackage`, for
        ordinary chaincode. Raises: UsageError, ContractInvalid.
        """
        name = f"{contract.__name__.lower()}-{os.getpid()}-{next(_NUMBERS)}"
        async with contextlib.AsyncExitStack() as stack:
            if confidential:
                await self._deploy_confidential(contract, name, signature_policy, stack)
            else:
                definition = ChaincodeDefinition(
                    name, "1.0", signature_policy=signature_policy, collections=collections
                )
                await self._deploy_plain(contract, definition, stack)
            yield Deployed(self.network, name, stack, confidential=confidential)

    async def _deploy_plain(
        self, contract: type[Contract], definition: ChaincodeDefinition, stack: contextlib.AsyncExitStack
    ) -> None:
        address = f"127.0.0.1:{free_ports(1)[0]}"
        package = package_chaincode(definition.name, address)
        package_id = compute_package_id(definition.name, package)
        server = ChaincodeServer(contract_handler(ContractChaincode(contract())), package_id, address)
        await server.start()
        stack.push_async_callback(server.stop, _STOP_S)
        async with contextlib.AsyncExitStack() as connections:
            gateways = [await connections.enter_async_context(connected(item)) for item in self.network.organisations]
            admins = [Lifecycle(gateway, self.network.channel) for gateway in gateways]
            await _all(lambda admin: admin.install(package, definition.name), admins)
            await _all(lambda admin: admin.approve(definition, package_id), admins)
            msp_ids = [item.msp_id for item in self.network.organisations]
            await wait_until_usable(lambda: admins[0].commit(definition, msp_ids))
            for gateway in gateways:
                remote = gateway.network(self.network.channel).contract(definition.name)
                for msp_id in msp_ids:
                    await wait_until_usable(lambda: _ask(remote, msp_id))  # noqa: B023

    async def _deploy_confidential(
        self, contract: type[Contract], name: str, signature_policy: str, stack: contextlib.AsyncExitStack
    ) -> None:
        source = inspect.getsourcefile(contract)
        if source is None or "." in contract.__qualname__:
            raise UsageError(
                f"{contract.__qualname__}: a contract that is measured needs a file of its own and a place at its top",
                hint="an enclave loads the file again, by itself",
            )
        plan = Plan(name, f"{Path(source)}:{contract.__name__}", signature_policy=signature_policy)
        await deploy(self.network, plan)
        workspace = Workspace(self.network)
        for organisation in self.network.organisations:
            folder = workspace.chaincode_folder(organisation, name)
            stack.push_async_callback(asyncio.to_thread, stop_server, folder)


async def _ask(contract: RemoteContract, msp_id: str) -> bytes:
    """A harmless question to one organisation's peer."""
    return await contract.evaluate("org.hyperledger.fabric:GetMetadata", endorsing_organizations=[msp_id])


async def _all(act: Callable[[Lifecycle], Awaitable[object]], admins: list[Lifecycle]) -> None:
    await asyncio.gather(*(act(admin) for admin in admins))
