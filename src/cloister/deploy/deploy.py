"""Deploy a chaincode at every organisation of a development network: servers, lifecycle, keys for confidential ones.

Order matters: the package id is known before anything is installed, so servers start first; then install, approve and
commit with the measurement as version; then every organisation initialises its enclave through the registry.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cloister.client.initialise import Initialised, Initialiser
from cloister.errors import UsageError
from cloister.gateway import Gateway, connect, endpoint_from_profile, load_identity, load_signer
from cloister.lifecycle import (
    ChaincodeDefinition,
    Lifecycle,
    compute_package_id,
    package_chaincode,
    wait_until_usable,
)
from cloister.network import Network, Organisation
from cloister.network.processes import free_ports
from cloister.trusted.attest.measurement import compute_ledger_measurement, compute_measurement
from cloister.trusted.chaincode.contract_image import contract_digest

from .servers import ServerPlan, start_host, start_ledger, start_plain
from .workspace import REGISTRY, Deployment, Workspace

Progress = Callable[[str], None]
REGISTRY_CONTRACT = str(Path(__file__).parents[1] / "registry" / "contract.py") + ":EnclaveRegistry"
PLAIN_VERSION = "1.0"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to deploy. `contract` is FILE.py[:Class]; `initialise` False leaves the enclaves without keys.

    `hash_seeds`: one PYTHONHASHSEED per organisation, for tests; a real enclave's is measured.
    """

    name: str
    contract: str
    confidential: bool = True
    signature_policy: str = ""
    hash_seeds: Sequence[str] = ()
    initialise: bool = True


def _silent(message: str) -> None:
    del message


@contextlib.asynccontextmanager
async def connected(organisation: Organisation, user: str = "Admin") -> AsyncIterator[Gateway]:
    """A gateway at an organisation's own peer, as one of its users."""
    files = organisation.user(user)
    endpoint = endpoint_from_profile(organisation.folder / "connection.json")
    identity = load_identity(files.msp_id, files.cert_path)
    async with connect(endpoint, identity, load_signer(files.key_path)) as gateway:
        yield gateway


async def deploy(network: Network, plan: Plan, *, progress: Progress = _silent) -> Deployment:
    """Deploy (or deploy anew, with the next sequence). Raises: CloisterError of many kinds, each one line."""
    workspace = Workspace(network)
    contract = _absolute(plan.contract)
    version = PLAIN_VERSION
    if plan.confidential:
        if REGISTRY not in workspace.deployments():
            await deploy(network, Plan(REGISTRY, REGISTRY_CONTRACT, confidential=False), progress=progress)
        version = compute_measurement(contract_digest(contract)).hex()
        _ = workspace.policy_path, workspace.authority  # made once, before several hosts ask for them
    async with contextlib.AsyncExitStack() as stack:
        gateways = [await stack.enter_async_context(connected(item)) for item in network.organisations]
        admins = [Lifecycle(gateway, network.channel) for gateway in gateways]
        committed = await admins[0].query_committed(plan.name)
        sequence = committed.sequence + 1 if committed else 1
        definition = ChaincodeDefinition(plan.name, version, sequence, signature_policy=plan.signature_policy)
        label = f"{plan.name}_{sequence}"
        ports = free_ports(len(network.organisations))
        packages = [package_chaincode(label, f"127.0.0.1:{port}") for port in ports]
        plans = [
            ServerPlan(workspace.chaincode_folder(organisation, plan.name), port, compute_package_id(label, package))
            for organisation, port, package in zip(network.organisations, ports, packages, strict=True)
        ]
        progress(f"{plan.name}: starting {'hosts and enclaves' if plan.confidential else 'chaincode servers'}")
        await asyncio.gather(
            *(
                asyncio.to_thread(_serve, server, workspace, plan, contract, position)
                for position, server in enumerate(plans)
            )
        )
        progress(f"{plan.name}: install, approve, commit (sequence {sequence}, version {version[:16]})")
        ids = await asyncio.gather(
            *(admin.install(package, label) for admin, package in zip(admins, packages, strict=True))
        )
        await asyncio.gather(*(admin.approve(definition, item) for admin, item in zip(admins, ids, strict=True)))
        await wait_until_usable(lambda: admins[0].commit(definition, [item.msp_id for item in network.organisations]))
        deployment = Deployment(
            plan.name, contract, plan.confidential, version, sequence, version if plan.confidential else ""
        )
        await _await_usable(network, gateways, plan)
        workspace.record(deployment)
    if plan.confidential and plan.initialise:
        await initialise(network, plan.name, progress=progress)
    return deployment


async def initialise(network: Network, chaincode: str, *, progress: Progress = _silent) -> tuple[Initialised, ...]:
    """Bring every organisation's enclave to life, one after the other."""
    workspace = Workspace(network)
    done = []
    for organisation in network.organisations:
        async with connected(organisation) as gateway:
            initialiser = Initialiser(
                gateway.network(network.channel),
                chaincode=chaincode,
                registry=REGISTRY,
                msp_id=organisation.msp_id,
                policy=workspace.policy_path.read_bytes(),
                ledger_measurement=compute_ledger_measurement(),
                progress=progress,
            )
            done.append(await initialiser.run())
    return tuple(done)


def _serve(server: ServerPlan, workspace: Workspace, plan: Plan, contract: str, position: int) -> None:
    if not plan.confidential:
        start_plain(server, contract)
        return
    organisation = workspace.network.organisations[position]
    seed = plan.hash_seeds[position] if position < len(plan.hash_seeds) else "0"
    start_host(
        server,
        workspace,
        msp_id=organisation.msp_id,
        chaincode=plan.name,
        contract=contract,
        ledger=start_ledger(workspace.network, organisation, workspace),
        hash_seed=seed,
    )


async def _await_usable(network: Network, gateways: list[Gateway], plan: Plan) -> None:
    """Until every peer can reach every other organisation's chaincode: asked of all, through each gateway."""
    function = "cloister:status" if plan.confidential else "org.hyperledger.fabric:get_metadata"
    for gateway in gateways:
        contract = gateway.network(network.channel).contract(plan.name)
        for organisation in network.organisations:
            organizations = [organisation.msp_id]

            async def ask() -> object:
                return await contract.evaluate(function, endorsing_organizations=organizations)  # noqa: B023

            await wait_until_usable(ask)


def _absolute(contract: str) -> str:
    path, colon, name = contract.rpartition(":")
    if colon and name.isidentifier():
        return f"{_existing(path)}:{name}"
    return _existing(contract)


def _existing(path: str) -> str:
    if not Path(path).is_file():
        raise UsageError(f"contract: no file {path}", hint="give --contract FILE.py or FILE.py:Class")
    return str(Path(path).resolve())
