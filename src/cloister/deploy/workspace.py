"""What Cloister keeps in a network's folder beside Fabric's own files.

`cloister/authority.key` the simulation authority's seed · `cloister/policy.json` the appraisal policy ·
`cloister/deployments.json` what is deployed, with the measurements that clients pin ·
`ORG/chaincode/NAME/` host.toml, contract, sealed state, pid file and log of each chaincode server; after an upgrade
`ORG/chaincode/NAME.SEQUENCE/`: the old code and its sealed state stay where they are. (No chaincode's name has a dot.)
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cloister.client.credentials import Trust
from cloister.errors import EnvironmentFailed, UsageError
from cloister.fabric.block import parse_block
from cloister.network import Network, Organisation
from cloister.trusted.attest.evidence import KIND_SIMULATION
from cloister.trusted.attest.measurement import compute_ledger_measurement
from cloister.trusted.attest.policy import AppraisalPolicy, parse_policy
from cloister.trusted.chaincode.contract_image import contract_files, split_reference

REGISTRY = "registry"
_CONTRACT = "contract"


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployed chaincode; `measurement` in hex, empty for plain chaincode. `contract` is where it was taken from.

    `folder`: of its servers, below each organisation's `chaincode/`.
    """

    name: str
    contract: str
    confidential: bool
    version: str
    sequence: int
    measurement: str
    folder: str
    signature_policy: str = ""


class Workspace:
    """Reads and writes these files. Raises: EnvironmentFailed where a file cannot be read or written."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._folder = network.folder / "cloister"

    @property
    def authority(self) -> Path:
        """The simulation authority's 32-byte seed; made when first asked for, and never shipped."""
        path = self._folder / "authority.key"
        if not path.exists():
            self._folder.mkdir(exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(Ed25519PrivateKey.generate().private_bytes_raw())
        return path

    @property
    def policy_path(self) -> Path:
        """The appraisal policy: accepts evidence of this network's simulation authority and no other."""
        path = self._folder / "policy.json"
        if not path.exists():
            key = Ed25519PrivateKey.from_private_bytes(self.authority.read_bytes()).public_key()
            policy = AppraisalPolicy(kinds=(KIND_SIMULATION,), simulation_authorities=(key.public_bytes_raw().hex(),))
            path.write_bytes(policy.encode() + b"\n")
        return path

    def trust(self, chaincode: str, registry: str = REGISTRY) -> Trust:
        """What a client of this network pins for one chaincode. Raises: UsageError if it is not deployed."""
        deployment = self.deployment(chaincode)
        if not deployment.confidential:
            raise UsageError(f"{chaincode} is ordinary chaincode: nothing is sealed", hint="call it with --plain")
        return Trust(
            policy=parse_policy(self.policy_path.read_bytes()),
            genesis_hash=parse_block(self.network.genesis_block_path.read_bytes()).header_hash,
            measurements=frozenset({bytes.fromhex(deployment.measurement)}),
            ledger_measurements=frozenset({compute_ledger_measurement()}),
            registry=registry,
        )

    def deployments(self) -> dict[str, Deployment]:
        """Everything deployed, by name."""
        path = self._folder / "deployments.json"
        if not path.exists():
            return {}
        try:
            return {name: Deployment(**entry) for name, entry in json.loads(path.read_text("utf-8")).items()}
        except (OSError, ValueError, TypeError) as error:
            raise EnvironmentFailed(f"{path} cannot be read") from error

    def deployment(self, name: str) -> Deployment:
        """One deployed chaincode. Raises: UsageError."""
        found = self.deployments().get(name)
        if found is None:
            raise UsageError(
                f"chaincode {name} is not deployed in {self.network.folder}",
                hint=f"cloister chaincode deploy --dir {self.network.folder} --name {name} --contract FILE.py",
            )
        return found

    def record(self, deployment: Deployment) -> None:
        """Remember a deployment."""
        self._folder.mkdir(exist_ok=True)
        entries = {**self.deployments(), deployment.name: deployment}
        document = {name: asdict(entry) for name, entry in sorted(entries.items())}
        temporary = self._folder / "deployments.json.new"
        temporary.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
        temporary.replace(self._folder / "deployments.json")

    def chaincode_folder(self, organisation: Organisation, folder: str) -> Path:
        """Where one organisation's server of one chaincode keeps its files; `folder` as in its `Deployment`."""
        found = organisation.folder / "chaincode" / folder
        found.mkdir(parents=True, exist_ok=True)
        return found

    def keep_contract(self, organisation: Organisation, folder: str, reference: str) -> str:
        """Copy a contract (FILE.py[:Class], with what it imports) beside its server; the reference to the copy.

        An enclave is started again from it, with the same measurement, whatever becomes of the original.
        Raises: UsageError (no such contract); EnvironmentFailed.
        """
        path, _ = split_reference(reference)
        home = self.chaincode_folder(organisation, folder)
        place = home / _CONTRACT
        try:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            for name, content in contract_files(path).items():
                (place / f"{name}.py").write_bytes(content)
        except OSError as error:
            raise EnvironmentFailed(f"{place} cannot be written: {error.strerror}") from error
        return kept_contract(home, reference)


def kept_contract(folder: Path, reference: str) -> str:
    """The reference to a contract's copy in a server's folder. Raises: UsageError if there is no original."""
    path, class_name = split_reference(reference)
    copy = folder / _CONTRACT / path.name
    return f"{copy}:{class_name}" if class_name else str(copy)
