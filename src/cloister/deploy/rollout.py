"""One definition of one chaincode brought to every organisation of a development network: servers, then lifecycle.

Order matters: the package id is known before anything is installed, so servers start first; then install, approve and
commit with the measurement as version. Every step may be repeated: what is done already is left as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cloister.errors import UsageError
from cloister.gateway import EvaluateError, Gateway
from cloister.lifecycle import (
    ChaincodeDefinition,
    Lifecycle,
    compute_package_id,
    package_chaincode,
    wait_until_usable,
)
from cloister.network import Network, Organisation
from cloister.network.processes import free_ports
from cloister.trusted.attest.measurement import compute_measurement
from cloister.trusted.chaincode.contract_image import contract_digest

from .servers import ServerPlan, port_of, start_host, start_ledger, start_plain, start_server
from .workspace import Workspace, kept_contract

Progress = Callable[[str], None]
_ANSWERED = "chaincode response 500"
"""In a Gateway's error: the chaincode was reached, and answered with an error."""


@dataclass(frozen=True, slots=True)
class ForeignServer:
    """A chaincode server that is not ours. `probe`: a function of which it may answer anything, an error too."""

    command: Callable[[ServerPlan], list[str]]
    probe: str


@dataclass(frozen=True, slots=True)
class Rollout:
    """What is brought where. `contract` is FILE.py[:Class], `folder` that of the servers.

    `hash_seeds`: one PYTHONHASHSEED per organisation, for tests; a real enclave's is measured. `foreign`: what serves
    it instead of our own servers.
    """

    network: Network
    definition: ChaincodeDefinition
    contract: str
    folder: str
    confidential: bool
    hash_seeds: Sequence[str] = ()
    foreign: ForeignServer | None = None

    async def run(self, gateways: Sequence[Gateway], progress: Progress, *, resume: bool = False) -> None:
        """Start the servers, install, approve, commit, wait until every peer can use it.

        `gateways`: one of an administrator of each organisation. `resume`: go on with the package and the servers of an
        interrupted run, as far as they still serve. Raises: CloisterError of many kinds, each one line.
        """
        name, sequence, version = self.definition.name, self.definition.sequence, self.definition.version
        admins = [Lifecycle(gateway, self.network.channel) for gateway in gateways]
        label = f"{name}_{sequence}"
        ports = self._ports(keep=resume)
        packages = [package_chaincode(label, f"127.0.0.1:{port}") for port in ports]
        progress(f"{name}: starting {'hosts and enclaves' if self.confidential else 'chaincode servers'}")
        await asyncio.gather(
            *(
                asyncio.to_thread(self._serve, position, port, compute_package_id(label, package), resume=resume)
                for position, (port, package) in enumerate(zip(ports, packages, strict=True))
            )
        )
        progress(f"{name}: install, approve, commit (sequence {sequence}, version {version[:16]})")
        ids = await asyncio.gather(
            *(admin.install(package, label) for admin, package in zip(admins, packages, strict=True))
        )
        await asyncio.gather(*(self._approve(admin, item) for admin, item in zip(admins, ids, strict=True)))
        committed = await admins[0].query_committed(name)
        if committed is None or committed.sequence < sequence:
            everyone = [organisation.msp_id for organisation in self.network.organisations]
            await wait_until_usable(lambda: admins[0].commit(self.definition, everyone))
        await self._await_usable(gateways)

    def _ports(self, *, keep: bool) -> list[int]:
        workspace, organisations = Workspace(self.network), self.network.organisations
        fresh = free_ports(len(organisations))
        if not keep:
            return fresh
        kept = [port_of(workspace.chaincode_folder(item, self.folder)) for item in organisations]
        return [port or other for port, other in zip(kept, fresh, strict=True)]

    def _serve(self, position: int, port: int, package_id: str, *, resume: bool) -> None:
        workspace, organisation = Workspace(self.network), self.network.organisations[position]
        server = ServerPlan(workspace.chaincode_folder(organisation, self.folder), port, package_id)
        if self.foreign is not None:
            start_server(server, self.foreign.command(server))
            return
        if not self.confidential:
            start_plain(server, self.contract)
            return
        unchanged = resume and self._contract_of(organisation) == self.definition.version
        start_host(
            server,
            workspace,
            msp_id=organisation.msp_id,
            chaincode=self.definition.name,
            contract=workspace.keep_contract(organisation, self.folder, self.contract),
            keep_running=unchanged,
            ledger=start_ledger(self.network, organisation, workspace),
            hash_seed=self.hash_seeds[position] if position < len(self.hash_seeds) else "0",
        )

    def _contract_of(self, organisation: Organisation) -> str:
        """The measurement of the contract that is kept beside an organisation's server, "" if there is none."""
        try:
            reference = kept_contract(
                Workspace(self.network).chaincode_folder(organisation, self.folder), self.contract
            )
            return compute_measurement(contract_digest(reference)).hex()
        except UsageError:
            return ""

    async def _approve(self, admin: Lifecycle, package_id: str) -> None:
        approved = await admin.query_approved(self.definition.name, self.definition.sequence)
        if approved != (self.definition.version, package_id):
            await admin.approve(self.definition, package_id)

    async def _await_usable(self, gateways: Sequence[Gateway]) -> None:
        """Until every peer can reach every other organisation's chaincode: asked of all, through each gateway."""
        function = "cloister:status" if self.confidential else "org.hyperledger.fabric:get_metadata"
        if self.foreign is not None:
            function = self.foreign.probe
        for gateway in gateways:
            contract = gateway.network(self.network.channel).contract(self.definition.name)
            for organisation in self.network.organisations:
                organizations = [organisation.msp_id]

                async def ask() -> object:
                    try:
                        return await contract.evaluate(function, endorsing_organizations=organizations)  # noqa: B023
                    except EvaluateError as error:
                        if self.foreign is not None and _ANSWERED in error.message:
                            return None
                        raise

                await wait_until_usable(ask)
