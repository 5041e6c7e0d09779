"""Deploy a chaincode at every organisation of a development network: servers, lifecycle, keys for confidential ones."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cloister.client.initialise import HandOver, Initialised, Initialiser
from cloister.client.registry_client import RegistryClient
from cloister.errors import UsageError
from cloister.gateway import Deadlines, Gateway, connect, endpoint_from_profile, load_identity, load_signer
from cloister.lifecycle import ChaincodeDefinition, Lifecycle
from cloister.network import Network, Organisation
from cloister.trusted.attest.measurement import compute_ledger_measurement, compute_measurement
from cloister.trusted.chaincode.contract_image import contract_digest

from .rollout import Progress, Rollout
from .workspace import REGISTRY, Deployment, Workspace

REGISTRY_CONTRACT = str(Path(__file__).parents[1] / "registry" / "contract.py") + ":EnclaveRegistry"
PLAIN_VERSION = "1.0"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to deploy. `contract` is FILE.py[:Class]; `initialise` False leaves the enclaves without keys.

    `signature_policy`: the endorsement policy; empty: as deployed before, at first the channel's own.
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
async def connected(
    organisation: Organisation, user: str = "Admin", *, deadlines: Deadlines | None = None
) -> AsyncIterator[Gateway]:
    """A gateway at an organisation's own peer, as one of its users."""
    files = organisation.user(user)
    endpoint = endpoint_from_profile(organisation.folder / "connection.json")
    identity = load_identity(files.msp_id, files.cert_path)
    async with connect(endpoint, identity, load_signer(files.key_path), deadlines=deadlines) as gateway:
        yield gateway


async def deploy(network: Network, plan: Plan, *, progress: Progress = _silent) -> Deployment:
    """Deploy, or deploy the same code anew with the next sequence. Raises: CloisterError of many kinds, each one line.

    Other code is refused once there are keys: they would stay with an enclave that nobody reaches.
    """
    workspace = Workspace(network)
    contract = absolute_contract(plan.contract)
    version = PLAIN_VERSION
    if plan.confidential:
        if REGISTRY not in workspace.deployments():
            await deploy(network, Plan(REGISTRY, REGISTRY_CONTRACT, confidential=False), progress=progress)
        version = measure(contract)
        _ = workspace.policy_path, workspace.authority  # made once, before several hosts ask for them
    before = workspace.deployments().get(plan.name)
    async with contextlib.AsyncExitStack() as stack:
        gateways = [await stack.enter_async_context(connected(item)) for item in network.organisations]
        committed = await Lifecycle(gateways[0], network.channel).query_committed(plan.name)
        sequence = committed.sequence + 1 if committed else 1
        if before is not None and before.confidential and before.measurement != version:
            await _require_no_keys(gateways[0], network, plan.name, sequence)
        policy = plan.signature_policy or (before.signature_policy if before is not None else "")
        definition = ChaincodeDefinition(plan.name, version, sequence, signature_policy=policy)
        folder = before.folder if before is not None else plan.name
        rollout = Rollout(network, definition, contract, folder, plan.confidential, plan.hash_seeds)
        await rollout.run(gateways, progress)
        deployment = Deployment(
            name=plan.name,
            contract=contract,
            confidential=plan.confidential,
            version=version,
            sequence=sequence,
            measurement=version if plan.confidential else "",
            folder=folder,
            signature_policy=policy,
        )
        workspace.record(deployment)
    if plan.confidential and plan.initialise:
        await initialise(network, plan.name, progress=progress)
    return deployment


async def initialise(
    network: Network,
    chaincode: str,
    *,
    progress: Progress = _silent,
    hand_over: Callable[[Gateway], HandOver] | None = None,
) -> tuple[Initialised, ...]:
    """Bring every organisation's enclave to life, one after the other; `hand_over` as in `Initialiser`."""
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
                hand_over=hand_over(gateway) if hand_over is not None else None,
            )
            done.append(await initialiser.run())
    return tuple(done)


def measure(contract: str) -> str:
    """A contract's measurement in hex. Raises: UsageError."""
    return compute_measurement(contract_digest(contract)).hex()


def absolute_contract(contract: str) -> str:
    """FILE.py[:Class] with an absolute path. Raises: UsageError if there is no such file."""
    path, colon, name = contract.rpartition(":")
    if colon and name.isidentifier():
        return f"{_existing(path)}:{name}"
    return _existing(contract)


async def _require_no_keys(gateway: Gateway, network: Network, name: str, sequence: int) -> None:
    """No enclave of this chaincode was ever registered: the first one brings keys."""
    registry = RegistryClient(gateway.network(network.channel), REGISTRY, gateway.identity.msp_id)
    for earlier in range(1, sequence):
        if await registry.query("list_enclaves", name, str(earlier)):
            raise UsageError(
                f"{name} runs other code, which has its keys: after a plain deploy nobody could read its state",
                hint=f"take keys and state over with `cloister chaincode upgrade --name {name} --contract FILE.py`, or "
                "deploy under another name",
            )


def _existing(path: str) -> str:
    if not Path(path).is_file():
        raise UsageError(f"contract: no file {path}", hint="give --contract FILE.py or FILE.py:Class")
    return str(Path(path).resolve())
