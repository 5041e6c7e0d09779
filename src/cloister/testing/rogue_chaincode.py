"""Colluding organisations of a real network: each installs a rogue ordinary chaincode under a confidential chaincode's
name. The committed definition stays as it is, its measurement included: which package an organisation runs for it is
that organisation's own choice (Fabric 2.5.9 core/chaincode/lifecycle, ApproveChaincodeDefinitionForOrg)."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

from cloister.deploy.deploy import connected
from cloister.deploy.servers import ServerPlan, retire_server, start_plain
from cloister.deploy.workspace import Workspace
from cloister.errors import RemoteFailed, UsageError
from cloister.gateway import EvaluateError, Gateway
from cloister.lifecycle import Lifecycle, compute_package_id, package_chaincode
from cloister.network import Network
from cloister.network.processes import free_ports

PATIENCE_S, POLL_S = 30.0, 0.1
CONTRACT = str(Path(__file__).parent / "rogue_contract.py")


class RogueChaincode:
    """The rogue under one chaincode's name. `take_over`, do harm with `submit`, `withdraw`."""

    def __init__(self, network: Network, name: str) -> None:
        self._network = network
        self._name = name
        self._honest: list[str] = []
        self._rogue: list[str] = []

    async def take_over(self) -> None:
        """From now on every peer runs the rogue for the name. Raises: UsageError if it was not committed."""
        label = f"{self._name}-rogue"
        organisations = self._network.organisations
        ports = free_ports(len(organisations))
        packages = [package_chaincode(label, f"127.0.0.1:{port}") for port in ports]
        self._rogue = [compute_package_id(label, package) for package in packages]
        for organisation, port, package_id in zip(organisations, ports, self._rogue, strict=True):
            folder = Workspace(self._network).chaincode_folder(organisation, label)
            await asyncio.to_thread(start_plain, ServerPlan(folder, port, package_id), CONTRACT)
        async with AsyncExitStack() as stack:
            admins = await self._admins(stack)
            self._honest = [await _approved(admin, self._name) for admin in admins]
            for admin, package in zip(admins, packages, strict=True):
                await admin.install(package, label)
        await self._approve(self._rogue)
        await self._until(rogue=True)

    async def submit(self, function: str, *arguments: str) -> str:
        """Commit what the rogue does, endorsed by every organisation; the transaction's id. Raises: gateway errors."""
        async with connected(self._network.organisations[0], "User1") as gateway:
            contract = gateway.network(self._network.channel).contract(self._name)
            everybody = [organisation.msp_id for organisation in self._network.organisations]
            submitted = await contract.submit_async(
                function, arguments=list(arguments), endorsing_organizations=everybody
            )
            (await submitted.status()).require_successful()
            return submitted.transaction_id

    async def withdraw(self) -> None:
        """The hosts serve the name again; the rogue is stopped."""
        await self._approve(self._honest)
        await self._until(rogue=False)
        for organisation in self._network.organisations:
            folder = Workspace(self._network).chaincode_folder(organisation, f"{self._name}-rogue")
            await asyncio.to_thread(retire_server, folder)

    async def _admins(self, stack: AsyncExitStack) -> list[Lifecycle]:
        gateways = [await stack.enter_async_context(connected(item)) for item in self._network.organisations]
        return [Lifecycle(gateway, self._network.channel) for gateway in gateways]

    async def _approve(self, package_ids: list[str]) -> None:
        async with AsyncExitStack() as stack:
            for admin, package_id in zip(await self._admins(stack), package_ids, strict=True):
                definition = await admin.query_committed(self._name)
                if definition is not None:
                    await admin.approve(definition, package_id)

    async def _until(self, *, rogue: bool) -> None:
        """Until every peer runs what was approved last."""
        async with AsyncExitStack() as stack:
            gateways = [await stack.enter_async_context(connected(item)) for item in self._network.organisations]
            for gateway in gateways:
                deadline = time.monotonic() + PATIENCE_S
                while not await self._answers(gateway, rogue=rogue):
                    if time.monotonic() > deadline:
                        raise RemoteFailed(f"the peer of {gateway.identity.msp_id} still runs another package")
                    await asyncio.sleep(POLL_S)

    async def _answers(self, gateway: Gateway, *, rogue: bool) -> bool:
        contract = gateway.network(self._network.channel).contract(self._name)
        function, arguments = ("read", ["no such key"]) if rogue else ("cloister:status", [])
        own = [gateway.identity.msp_id]
        try:
            await contract.evaluate(function, arguments=arguments, endorsing_organizations=own)
        except EvaluateError:
            return False
        return True


async def _approved(admin: Lifecycle, name: str) -> str:
    definition = await admin.query_committed(name)
    approved = await admin.query_approved(name, definition.sequence) if definition is not None else None
    if approved is None:
        raise UsageError(f"no chaincode {name} is committed here")
    return approved[1]
