"""Upgrade a confidential chaincode of a development network to other code: another measurement, the same state.

An administrator of every organisation signs the approval · hosts of the new code start beside the old ones · the new
definition is committed; from here on peers call the new hosts, which refuse for want of keys · an old enclave, started
once more from its sealed state, hands the keys to the first new one, which makes the key set of this sequence · the
others get it from there · the old hosts stop. Run again, it goes on where it was interrupted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cloister.client.initialise import HandOver
from cloister.client.registry_client import RegistryClient
from cloister.client.upgrade import KeyExports, SignedApproval, collect_approvals, sign_approval
from cloister.errors import CloisterError, RemoteFailed, UsageError
from cloister.fabric.block import parse_block
from cloister.gateway import Gateway, load_identity, load_signer
from cloister.host.config import load_host_config
from cloister.host.errors import EnclaveRefused
from cloister.host.key_export import ExportedKeys, export_from_sealed_state
from cloister.lifecycle import ChaincodeDefinition, Lifecycle
from cloister.network import Network
from cloister.trusted.protocol.upgrade import UpgradeApproval
from cloister.wire.messages import ExportKeys

from .deploy import absolute_contract, connected, initialise, measure
from .rollout import Progress, Rollout
from .servers import retire_server
from .workspace import REGISTRY, Deployment, Workspace


def _silent(message: str) -> None:
    del message


async def upgrade(
    network: Network, name: str, contract: str, *, signature_policy: str = "", progress: Progress = _silent
) -> Deployment:
    """Upgrade, or go on with an upgrade to this very contract. Raises: CloisterError of many kinds, each one line.

    `signature_policy`: the endorsement policy from now on; empty: as deployed.
    """
    workspace = Workspace(network)
    before = workspace.deployment(name)
    contract = absolute_contract(contract)
    version = measure(contract)
    policy = signature_policy or before.signature_policy
    async with contextlib.AsyncExitStack() as stack:
        gateways = [await stack.enter_async_context(connected(item)) for item in network.organisations]
        committed = await Lifecycle(gateways[0], network.channel).query_committed(name)
        if committed is None or not before.confidential:
            raise UsageError(f"{name} is no confidential chaincode here: there are no keys to take over")
        if version == before.version and committed.sequence == before.sequence:
            progress(f"{name} runs this code already")
            _retire(network, name, before.folder)
            return before
        sequence = committed.sequence if committed.version == version else committed.sequence + 1
        folder = f"{name}.{sequence}"
        approval = UpgradeApproval(_genesis_hash(network), name, sequence, bytes.fromhex(version))
        approvals = await _approve(network, approval, progress)
        definition = ChaincodeDefinition(name, version, sequence, signature_policy=policy)
        rollout = Rollout(network, definition, contract, folder, confidential=True)
        await rollout.run(gateways, progress, resume=True)
    earlier = _folders(network, name, apart_from=folder)

    def hand_over(gateway: Gateway) -> HandOver:
        return _hand_over(network, gateway, before, earlier, approvals, progress)

    await initialise(network, name, progress=progress, hand_over=hand_over)
    deployment = replace(before, contract=contract, version=version, measurement=version, sequence=sequence)
    deployment = replace(deployment, folder=folder, signature_policy=policy)
    workspace.record(deployment)
    progress(f"{name}: stopping the hosts of the old code")
    _retire(network, name, folder)
    return deployment


async def _approve(network: Network, approval: UpgradeApproval, progress: Progress) -> bytes:
    """The approvals of all organisations' administrators. On one's own machine their keys are at hand."""
    signed: list[tuple[str, SignedApproval]] = []
    for organisation in network.organisations:
        progress(f"{approval.chaincode}: {organisation.msp_id} approves measurement {approval.measurement.hex()[:16]}")
        files = organisation.user("Admin")
        item = await sign_approval(approval, load_identity(files.msp_id, files.cert_path), load_signer(files.key_path))
        signed.append((organisation.msp_id, item))
    return collect_approvals(signed, approval)


def _hand_over(
    network: Network,
    gateway: Gateway,
    before: Deployment,
    earlier: Sequence[Path],
    approvals: bytes,
    progress: Progress,
) -> HandOver:
    registry = RegistryClient(gateway.network(network.channel), REGISTRY, gateway.identity.msp_id)
    exports = KeyExports(registry, before.name)

    async def hand_over(newcomer_id: str) -> None:
        newcomer = await exports.newcomer(newcomer_id)
        progress(f"{before.name}: the old enclave hands its keys to the new one of {newcomer.msp_id}")
        message = ExportKeys(newcomer.evidence, newcomer.endorsements, approvals)
        keys = await _export(earlier, message, before.sequence)
        await exports.post(newcomer, export=keys.export, exporter=keys.exporter, sequence=keys.sequence)

    return hand_over


async def _export(earlier: Sequence[Path], message: ExportKeys, newest: int) -> ExportedKeys:
    """From the old enclave that has the keys up to the highest sequence; asks no further once it is `newest`.

    Raises: EnclaveRefused(reason="upgrade"); RemoteFailed.
    """
    failures, best = [], None
    for folder in earlier:
        try:
            keys = await export_from_sealed_state(load_host_config(folder / "host.toml"), message)
            if best is None or keys.sequence > best.sequence:
                best = keys
            if best.sequence >= newest:
                return best
        except EnclaveRefused as refused:
            if refused.reason == "upgrade":
                raise
            failures.append(f"{folder.parent.parent.name}: {refused.message}")
        except CloisterError as error:
            failures.append(f"{folder.parent.parent.name}: {error.message}")
    if best is not None:
        return best
    told = "; ".join(failures) or "none has a sealed state"
    raise RemoteFailed(f"no enclave of the old code gave the keys ({told})", hint="see the log beside its host.toml")


def _folders(network: Network, name: str, *, apart_from: str) -> list[Path]:
    """Folders of a chaincode's other servers, at every organisation: those of the newest code first."""
    found = [
        path
        for organisation in network.organisations
        for path in (organisation.folder / "chaincode").glob(f"{name}*")
        if path.name != apart_from and path.name.partition(".")[0] == name
    ]
    return sorted(found, key=lambda path: int(path.name.partition(".")[2] or 0), reverse=True)


def _retire(network: Network, name: str, folder: str) -> None:
    for path in _folders(network, name, apart_from=folder):
        retire_server(path)


def _genesis_hash(network: Network) -> bytes:
    return parse_block(network.genesis_block_path.read_bytes()).header_hash
