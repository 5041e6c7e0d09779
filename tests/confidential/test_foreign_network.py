"""A Fabric network that Cloister did not start: only the ordinary peer CLI, a connection profile, and the commands.

The network here comes from the same binaries, but nothing of Cloister's own files in its folder is used: chaincode is
installed, approved and committed by `peer lifecycle chaincode`, hosts run from hand-written files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cloister.network import Network, NetworkOptions, Organisation
from cloister.network.client_files import peer_environment
from cloister.network.processes import free_ports, listens
from cloister.registry import contract as registry_contract
from support.command import run_cloister
from support.enclaves import SAMPLES

pytestmark = pytest.mark.fabric

AUCTION = str(SAMPLES / "auction.py")
REGISTRY = f"{registry_contract.__file__}:EnclaveRegistry"


class Foreign:
    """The commands that administrators of two organisations type."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.network = network
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CLOISTER_")}
        self.environment = {**kept, "CLOISTER_STATE": str(folder / "state")}

    def peer(self, organisation: Organisation, *arguments: str) -> str:
        """The peer CLI as an organisation's administrator."""
        environment = {**os.environ, **peer_environment(self.network.layout, organisation, organisation.admin)}
        done = subprocess.run(
            [self.network.binaries.path("peer"), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def cloister(self, *arguments: str, fails: int = 0) -> str:
        """The cloister command; its standard output (or, if it is to fail, standard error)."""
        return run_cloister(self.folder, self.environment, *arguments, fails=fails)

    def serve(self, *arguments: str, port: int) -> None:
        """Start a server in the background and wait until it listens."""
        log = (self.folder / f"server-{port}.log").open("wb")
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments], cwd=self.folder, stdout=log, stderr=subprocess.STDOUT
            )
        self.processes.append(process)
        deadline = time.monotonic() + 30
        while not listens(port):
            assert process.poll() is None, (self.folder / f"server-{port}.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def lifecycle(self, name: str, version: str, packages: list[Path]) -> None:
        """Install, approve, commit with the peer CLI."""
        network = self.network
        definition = ["--channelID", network.channel, "--name", name, "--version", version, "--sequence", "1"]
        orderer = ["-o", network.orderer.endpoint, "--tls", "--cafile", str(network.orderer.tls_ca_path)]
        for organisation, package in zip(network.organisations, packages, strict=True):
            self.peer(organisation, "lifecycle", "chaincode", "install", str(package))
            package_id = self.peer(organisation, "lifecycle", "chaincode", "calculatepackageid", str(package)).strip()
            approve = [*orderer, *definition, "--package-id", package_id]
            self.peer(organisation, "lifecycle", "chaincode", "approveformyorg", *approve)
        peers: list[str] = []
        for organisation in network.organisations:
            peers += [
                "--peerAddresses",
                organisation.peer_endpoint,
                "--tlsRootCertFiles",
                str(organisation.tls_ca_path),
            ]
        self.peer(network.organisations[0], "lifecycle", "chaincode", "commit", *orderer, *definition, *peers)

    def client(self, organisation: Organisation, user: str) -> list[str]:
        """Options that say who calls and whom the client trusts."""
        files = organisation.user(user)
        return [
            "--profile",
            str(organisation.folder / "connection.json"),
            "--msp-id",
            organisation.msp_id,
            "--cert",
            str(files.cert_path),
            "--key",
            str(files.key_path),
            "--channel",
            self.network.channel,
            "--policy",
            str(self.folder / "policy.json"),
        ]


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    folder = tmp_path_factory.mktemp("foreign")
    network = Network.up(folder / "their-network", NetworkOptions(batch_timeout="100ms"))
    own = folder / "ours"
    own.mkdir()
    foreign = Foreign(network, own)
    yield foreign
    for process in foreign.processes:
        process.terminate()
    for process in foreign.processes:
        process.wait(timeout=20)
    network.down()


def test_package_install_approve_commit_host_init_submit(foreign: Foreign) -> None:
    network, folder = foreign.network, foreign.folder
    authority = Ed25519PrivateKey.generate()
    (folder / "authority.key").write_bytes(authority.private_bytes_raw())
    policy = {
        "kinds": ["simulation"],
        "simulation_authorities": [authority.public_key().public_bytes_raw().hex()],
    }
    (folder / "policy.json").write_text(json.dumps(policy))
    ports = free_ports(6)

    # The registry: ordinary chaincode as a service.
    packages, ids = [], []
    for number, port in enumerate(ports[:2], start=1):
        file = folder / f"registry-{number}.tar.gz"
        arguments = ["--label", "registry_1", "--address", f"127.0.0.1:{port}", "--out", str(file), "--json"]
        facts = json.loads(foreign.cloister("chaincode", "package", *arguments))
        packages.append(file)
        ids.append(facts["package_id"])
    for package_id, port in zip(ids, ports[:2], strict=True):
        address = f"127.0.0.1:{port}"
        foreign.serve(
            "cloister.contract", "--contract", REGISTRY, "--chaincode-id", package_id, "--address", address, port=port
        )
    foreign.lifecycle("registry", "1.0", packages)

    # The confidential chaincode: its version is the measurement.
    packages, measurement = [], ""
    genesis = folder / "genesis.block"
    foreign.peer(network.organisations[0], "channel", "fetch", "0", str(genesis), "-c", network.channel)
    servers = zip(network.organisations, ports[2:4], ports[4:], strict=True)
    for number, (organisation, port, ledger_port) in enumerate(servers, start=1):
        reader = organisation.user("User1")
        (folder / f"ledger-{number}.toml").write_text(
            f'[organisation]\nmsp_id = "{organisation.msp_id}"\n'
            f'[channel]\nname = "{network.channel}"\ngenesis = "genesis.block"\n'
            f'[orderers]\naddresses = ["{network.orderer.endpoint}"]\ntls_ca = "{network.orderer.tls_ca_path}"\n'
            f'tls_name = "{network.orderer.host}"\ncertificate = "{reader.cert_path}"\nkey = "{reader.key_path}"\n'
            f'[enclave]\nkind = "simulation"\npolicy = "policy.json"\nstate = "ledger-state-{number}"\n'
            'simulation_authority = "authority.key"\n[registry]\nname = "registry"\n'
            f'[service]\nlisten = "127.0.0.1:{ledger_port}"\n'
        )
        foreign.serve("cloister", "ledger", "run", "--config", f"ledger-{number}.toml", port=ledger_port)
        file = folder / f"auction-{number}.tar.gz"
        address = f"127.0.0.1:{port}"
        arguments = ["--label", "auction_1", "--address", address, "--out", str(file), "--json", AUCTION]
        facts = json.loads(foreign.cloister("chaincode", "package", *arguments))
        packages.append(file)
        measurement = facts["measurement"]
        (folder / f"host-{number}.toml").write_text(
            f'[organisation]\nmsp_id = "{organisation.msp_id}"\n'
            f'[chaincode]\nname = "auction"\npackage_id = "{facts["package_id"]}"\nlisten = "{address}"\n'
            f'[enclave]\nkind = "simulation"\ncontract = "{AUCTION}"\nstate = "enclave-{number}.sealed"\n'
            'simulation_authority = "authority.key"\n[registry]\nname = "registry"\n'
            f'[ledger]\naddress = "127.0.0.1:{ledger_port}"\n'
        )
        foreign.serve("cloister", "host", "run", "--config", f"host-{number}.toml", port=port)
    assert foreign.cloister("chaincode", "measure", AUCTION).strip() == measurement
    foreign.lifecycle("auction", measurement, packages)

    first, second = network.organisations
    trust = ["--contract", AUCTION, "--genesis", str(genesis)]

    not_yet = foreign.cloister("submit", *foreign.client(first, "User1"), *trust, "auction", "init", "house", fails=4)
    assert "not initialised" in not_yet
    assert "cloister init" in not_yet
    for organisation in (first, second):
        told = json.loads(foreign.cloister("init", *foreign.client(organisation, "Admin"), "--json", "auction"))
        assert told["measurement"] == measurement

    def submit(organisation: Organisation, *call: str) -> str:
        return foreign.cloister("submit", *foreign.client(organisation, "User1"), *trust, "auction", *call).strip()

    assert submit(first, "init", "house") == "OK"
    assert submit(second, "create", "lot") == "OK"
    assert submit(first, "submit", "lot", "ann", "11") == "OK"
    assert submit(second, "close", "lot") == "OK"
    assert json.loads(submit(first, "eval", "lot")) == {"bidder": "ann", "value": 11}

    wrong = ["--measurement", "00" * 32, "--genesis", str(genesis)]
    refused = foreign.cloister("submit", *foreign.client(first, "User1"), *wrong, "auction", "create", "x", fails=4)
    assert "wrong measurement" in refused
    elsewhere = ["--contract", AUCTION, "--genesis", "11" * 32]
    refused = foreign.cloister("submit", *foreign.client(first, "User1"), *elsewhere, "auction", "create", "x", fails=4)
    assert "genesis hash" in refused

    # What administrators do later.
    enclaves = json.loads(foreign.cloister("registry", "list", *foreign.client(first, "User1"), "--json", "auction"))
    assert sorted(item["msp_id"] for item in enclaves) == [first.msp_id, second.msp_id]
    service = ["--ledger-service", f"127.0.0.1:{ports[4]}"]
    assert "nothing to repair" in foreign.cloister(
        "repair", *foreign.client(first, "User1"), *trust, *service, "auction"
    )
    approval = ["--measurement", "11" * 32, "--genesis", str(genesis), "--json", "auction"]
    approved = json.loads(foreign.cloister("upgrade", "approve", *foreign.client(second, "Admin"), *approval))
    assert (approved["sequence"], approved["approved_by"]) == (2, second.msp_id)
    waits = ["--config", "host-1.toml", "--approval", approved["file"]]
    refused = foreign.cloister("host", "export", *waits, *foreign.client(first, "Admin"), fails=4)
    assert "approves another sequence: expected 1, got 2" in refused
