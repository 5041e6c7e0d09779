"""The registry on real peers: what honest endorsers refuse, whoever asks."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cloister.deploy.deploy import Plan, connected, deploy
from cloister.deploy.workspace import Workspace
from cloister.fabric.block import parse_block
from cloister.gateway import Contract, EndorseError
from cloister.network import Network
from cloister.trusted.attest.evidence import KIND_SIMULATION, Evidence, decode_attested_data, decode_evidence
from cloister.trusted.attest.measurement import compute_ledger_measurement
from cloister.trusted.attest.policy import AppraisalPolicy
from cloister.trusted.chaincode.enclave import Enclave
from cloister.wire.messages import KeysMade, MakeKeys, Provisioned
from support.enclaves import ENDORSEMENTS, load_sample, make_enclave, provision_message
from support.replace import replaced

pytestmark = pytest.mark.fabric
SAMPLE = "echo"
CHAINCODE = "registered"


@pytest.fixture(scope="module")
async def network(any_network: Network) -> Network:
    """A committed definition whose enclaves have not been initialised: the test plays them."""
    sample = str(Path(__file__).parents[2] / "src" / "cloister" / "samples" / f"{SAMPLE}.py")
    await deploy(any_network, Plan(CHAINCODE, sample, initialise=False))
    workspace = Workspace(any_network)
    async with connected(any_network.organisations[0]) as gateway:
        registry = gateway.network(any_network.channel).contract("registry")
        genesis = parse_block(any_network.genesis_block_path.read_bytes()).header_hash.hex()
        policy = workspace.policy_path.read_bytes().strip()
        await registry.submit_transaction("configure", policy, genesis, compute_ledger_measurement().hex())
    return any_network


@pytest.fixture
async def registry(network: Network) -> AsyncIterator[Contract]:
    async with connected(network.organisations[0]) as gateway:
        yield gateway.network(network.channel).contract("registry")


def text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def enclave_for(network: Network, sample: str = SAMPLE, **changes: Any) -> tuple[Enclave, Provisioned]:
    """An enclave of the network's own authority, provisioned for the committed definition (or for something else)."""
    workspace = Workspace(network)
    enclave = make_enclave(load_sample(sample), seed=workspace.authority.read_bytes())
    belonging: dict[str, Any] = {
        "channel": network.channel,
        "genesis_hash": parse_block(network.genesis_block_path.read_bytes()).header_hash,
        "chaincode": CHAINCODE,
        "policy": workspace.policy_path.read_bytes().strip(),
    }
    message = replaced(provision_message(), **(belonging | changes))
    provisioned = enclave.handle(1, message)
    assert isinstance(provisioned, Provisioned)
    return enclave, provisioned


async def refused(registry: Contract, function: str, *arguments: str, match: str) -> None:
    with pytest.raises(EndorseError, match=match):
        await registry.submit_transaction(function, *arguments)


async def test_the_policy_and_the_genesis_hash_are_set_once(network: Network, registry: Contract) -> None:
    configuration = json.loads(await registry.evaluate_transaction("get_configuration"))
    policy, genesis, ledger = (configuration[name] for name in ("policy", "genesis_hash", "ledger_measurement"))
    await registry.submit_transaction("configure", policy, genesis, ledger)
    other = AppraisalPolicy(kinds=(KIND_SIMULATION,)).encode().decode()
    await refused(registry, "configure", other, genesis, ledger, match="another policy")
    await refused(registry, "configure", policy, "00" * 32, ledger, match="another genesis")
    await refused(registry, "configure", policy, genesis, "00" * 32, match="another ledger")
    await refused(registry, "configure", "{}}", "00" * 32, ledger, match="not JSON")
    await refused(registry, "configure", policy, genesis, "short", match="ledger measurement: expected 64")


async def test_an_enclave_that_obeys_another_ledger_enclave_is_refused(network: Network, registry: Contract) -> None:
    _, provisioned = enclave_for(network, ledger_measurement=bytes(32))
    arguments = (CHAINCODE, text(provisioned.evidence), text(ENDORSEMENTS))
    await refused(registry, "register", *arguments, match="obeys another ledger enclave")


async def test_c1_another_measurement_is_refused(network: Network, registry: Contract) -> None:
    enclave, _ = enclave_for(network, sample="kv")
    made = enclave.handle(2, MakeKeys())
    assert isinstance(made, KeysMade)
    arguments = (CHAINCODE, text(made.evidence), text(ENDORSEMENTS), text(made.descriptor))
    await refused(registry, "register", *arguments, match="measurement [0-9a-f]{64} is not accepted")


@pytest.mark.parametrize("field", ["channel", "genesis_hash", "chaincode", "sequence", "registry"])
async def test_c1_evidence_for_elsewhere_is_refused(network: Network, registry: Contract, field: str) -> None:
    elsewhere: dict[str, Any] = {"genesis_hash": bytes(32), "sequence": 9}
    _, provisioned = enclave_for(network, **{field: elsewhere.get(field, "elsewhere")})
    arguments = (CHAINCODE, text(provisioned.evidence), text(ENDORSEMENTS))
    await refused(registry, "register", *arguments, match="made for another")


async def test_evidence_that_names_another_organisation_is_refused(network: Network, registry: Contract) -> None:
    _, provisioned = enclave_for(network, msp_id="Org2MSP")
    arguments = (CHAINCODE, text(provisioned.evidence), text(ENDORSEMENTS))
    await refused(registry, "register", *arguments, match="another MSP than the caller's")


async def test_c4_tampered_evidence_and_garbage_are_refused(network: Network, registry: Contract) -> None:
    _, provisioned = enclave_for(network)
    genuine = decode_evidence(provisioned.evidence)
    attested = replaced(decode_attested_data(genuine.attested_data), signing_key=bytes(32)).encode()
    forged = Evidence(genuine.kind, attested, genuine.statement).encode()
    await refused(registry, "register", CHAINCODE, text(forged), text(ENDORSEMENTS), match="other attested data")
    for garbage in ("", "AAAA", "not base64!"):
        await refused(registry, "register", CHAINCODE, garbage, text(ENDORSEMENTS), match="refused|evidence|base64")


async def test_only_committed_confidential_definitions_are_served(network: Network, registry: Contract) -> None:
    _, provisioned = enclave_for(network)
    evidence = (text(provisioned.evidence), text(ENDORSEMENTS))
    await refused(registry, "register", "nowhere", *evidence, match="nowhere is not committed")
    await refused(registry, "register", "registry", *evidence, match="registry is not confidential")


async def test_c9_the_first_key_set_wins_and_the_first_enclave_brings_one(network: Network, registry: Contract) -> None:
    enclave, provisioned = enclave_for(network)
    evidence = (text(provisioned.evidence), text(ENDORSEMENTS))
    await refused(registry, "register", CHAINCODE, *evidence, match="brings its key set")
    made = enclave.handle(2, MakeKeys())
    assert isinstance(made, KeysMade)
    first = (CHAINCODE, text(made.evidence), text(ENDORSEMENTS), text(made.descriptor))
    other, _ = enclave_for(network)
    second = other.handle(2, MakeKeys())
    assert isinstance(second, KeysMade)
    mixed = (CHAINCODE, text(made.evidence), text(ENDORSEMENTS), text(second.descriptor))
    await refused(registry, "register", *mixed, match="signature does not match")
    evidence_id = await registry.submit_transaction("register", *first)
    late = (CHAINCODE, text(second.evidence), text(ENDORSEMENTS), text(second.descriptor))
    await refused(registry, "register", *late, match="has a key set already")
    key_set = json.loads(await registry.evaluate_transaction("get_key_set", CHAINCODE))
    assert key_set["descriptor"] == text(made.descriptor)
    enclaves = json.loads(await registry.evaluate_transaction("list_enclaves", CHAINCODE))
    assert [item["evidence_id"] for item in enclaves] == [evidence_id.decode()]
    assert enclaves[0]["status"] == "Simulated"


async def test_keys_are_posted_between_registered_enclaves_only(network: Network, registry: Contract) -> None:
    unknown = ("00" * 32, "11" * 32, text(b"export"))
    await refused(registry, "put_export", CHAINCODE, *unknown, match="no such enclave is registered")
