"""Lifecycle on real peers: install, approve, readiness, commit, upgrade."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fabric_protos.peer import collection_pb2

from cloister.deploy.deploy import connected
from cloister.errors import MalformedInput, UsageError
from cloister.gateway import EndorseError, EvaluateError, Gateway
from cloister.lifecycle import (
    ChaincodeDefinition,
    Lifecycle,
    LifecycleError,
    package_chaincode,
    parse_policy_expression,
    wait_until_usable,
)
from cloister.network import Network
from support.fabric import peer_cli

pytestmark = pytest.mark.fabric


@pytest.fixture
async def admins(any_network: Network) -> AsyncIterator[list[Lifecycle]]:
    first, second = any_network.organisations
    async with connected(first) as gateway1, connected(second) as gateway2:
        for gateway in (gateway1, gateway2):
            for organisation in any_network.organisations:
                await wait_until_usable(lambda: _ask(gateway, any_network, organisation.msp_id))  # noqa: B023
        yield [Lifecycle(gateway, any_network.channel) for gateway in (gateway1, gateway2)]


async def _ask(gateway: Gateway, network: Network, msp_id: str) -> bytes:
    """Through a gateway's peer, of another one: until gossip has told of it, it is not found."""
    contract = gateway.network(network.channel).contract("_lifecycle")
    return await contract.evaluate("QueryChaincodeDefinitions", arguments=[b""], endorsing_organizations=[msp_id])


def fresh() -> str:
    return f"cc{os.urandom(4).hex()}"


def ready(network: Network, name: str, *options: str) -> dict[str, bool]:
    """What the peer CLI finds of the approvals of version 1.0, sequence 1."""
    definition = ["-C", network.channel, "-n", name, "-v", "1.0", "--sequence", "1", *options, "-O", "json"]
    answer = peer_cli(network, network.organisations[0], "lifecycle", "chaincode", "checkcommitreadiness", *definition)
    approvals: dict[str, bool] = json.loads(answer)["approvals"]
    return approvals


async def test_installing_twice_is_harmless(admins: list[Lifecycle]) -> None:
    label = fresh()
    package = package_chaincode(label, "127.0.0.1:9")
    package_id = await admins[0].install(package, label)
    assert await admins[0].install(package, label) == package_id
    assert package_id in await admins[0].query_installed()
    assert package_id not in await admins[1].query_installed()


async def test_a_broken_package_is_refused_by_the_peer(admins: list[Lifecycle]) -> None:
    with pytest.raises((EndorseError, LifecycleError), match=r"InstallChaincode|could not parse"):
        await admins[0].install(b"no package", "label")


async def test_approve_commit_upgrade_with_a_signature_policy(admins: list[Lifecycle]) -> None:
    name = fresh()
    definition = ChaincodeDefinition(name, "1.0", 1, signature_policy="OR('Org1MSP.peer','Org2MSP.peer')")
    assert await admins[0].query_committed(name) is None
    await admins[0].approve(definition)
    assert await admins[0].check_commit_readiness(definition) == {"Org1MSP": True, "Org2MSP": False}
    with pytest.raises(EndorseError, match="not agreed to by this org"):
        await admins[0].commit(definition, ["Org1MSP", "Org2MSP"])
    await admins[1].approve(definition)
    await wait_until_usable(
        lambda: admins[0].commit(definition, ["Org1MSP", "Org2MSP"])
    )  # a peer may be a block behind
    committed = await admins[0].query_committed(name)
    assert committed is not None
    assert (committed.version, committed.sequence) == ("1.0", 1)
    upgrade = ChaincodeDefinition(name, "2.0", 2)
    for admin in admins:
        await admin.approve(upgrade)
    await wait_until_usable(lambda: admins[1].commit(upgrade, ["Org1MSP", "Org2MSP"]))
    committed = await admins[1].query_committed(name)  # the other peer may be a block behind
    assert committed is not None
    assert committed.sequence == 2


@pytest.mark.parametrize(
    "policy",
    [
        "AND('Org1MSP.peer','Org2MSP.peer')",
        "AND('Org1MSP.peer', OR('Org2MSP.peer','Org1MSP.admin'))",
        "OR('A.peer', AND('B.peer','C.peer'), 'D.peer', And('E.peer', OutOf(1,'F.peer','A.peer')))",
        "OutOf(2, 'Org1MSP.peer', 'Org1MSP.peer', 'Org1MSP.client')",
        "outof(2, 'Org1MSP.peer')",
    ],
)
async def test_a_policy_approved_here_is_the_one_that_the_peer_cli_means(
    admins: list[Lifecycle], any_network: Network, policy: str
) -> None:
    """Approvals agree by their bytes: the same text must give the same ones."""
    name = fresh()
    await admins[0].approve(ChaincodeDefinition(name, "1.0", signature_policy=policy))
    assert ready(any_network, name, "--signature-policy", policy) == {"Org1MSP": True, "Org2MSP": False}


def collections(name: str, policy: str) -> bytes:
    """A `CollectionConfigPackage` of one static collection, with everything that the CLI's file can say."""
    static = collection_pb2.StaticCollectionConfig(
        name=name,
        required_peer_count=0,
        maximum_peer_count=1,
        block_to_live=3,
        member_only_read=True,
        member_only_write=True,
    )
    static.member_orgs_policy.signature_policy.ParseFromString(parse_policy_expression(policy))
    package = collection_pb2.CollectionConfigPackage()
    package.config.add().static_collection_config.CopyFrom(static)
    encoded: bytes = package.SerializeToString()
    return encoded


async def test_collections_approved_here_are_those_that_the_peer_cli_means(
    admins: list[Lifecycle], any_network: Network, tmp_path: Path
) -> None:
    policy = "OR('Org1MSP.member','Org2MSP.member')"
    file = tmp_path / "collections.json"
    document = {
        "name": "secrets",
        "policy": policy,
        "requiredPeerCount": 0,
        "maxPeerCount": 1,
        "blockToLive": 3,
        "memberOnlyRead": True,
        "memberOnlyWrite": True,
    }
    file.write_text(json.dumps([document]))
    name = fresh()
    definition = ChaincodeDefinition(name, "1.0", collections=collections("secrets", policy))
    await admins[0].approve(definition)
    assert ready(any_network, name, "--collections-config", str(file)) == {"Org1MSP": True, "Org2MSP": False}
    assert ready(any_network, name) == {"Org1MSP": False, "Org2MSP": False}
    await admins[1].approve(definition)
    await wait_until_usable(lambda: admins[0].commit(definition, ["Org1MSP", "Org2MSP"]))
    with pytest.raises(EndorseError, match="secrets"):
        await admins[0].approve(ChaincodeDefinition(name, "2.0", 2, collections=collections("secrets", policy) * 2))


async def test_a_wrong_sequence_is_the_peers_clear_refusal(admins: list[Lifecycle]) -> None:
    with pytest.raises(EndorseError, match="sequence"):
        await admins[0].approve(ChaincodeDefinition(fresh(), "1.0", 7))


def test_contradictory_and_broken_policies_are_refused_before_anything_is_sent() -> None:
    with pytest.raises(UsageError, match="got both"):
        ChaincodeDefinition(
            "a", "1", signature_policy="'A.peer'", channel_policy="/Channel/Application/Admins"
        ).fields()
    with pytest.raises(MalformedInput):
        ChaincodeDefinition("a", "1", signature_policy="AND(").fields()
    with pytest.raises(MalformedInput, match="collection configuration"):
        ChaincodeDefinition("a", "1", collections=b"\xff").fields()


@pytest.mark.parametrize(
    "passing",
    [
        "no combination of peers can be derived which satisfy the endorsement policy",
        "failed to collect enough transaction endorsements: 127.0.0.1:1 (A): ProposalResponsePayloads do not match",
    ],
)
async def test_waiting_is_bounded_and_other_errors_pass_at_once(passing: str) -> None:
    async def gossip() -> None:
        raise EndorseError(passing)

    async def broken() -> None:
        raise EvaluateError("chaincode broken")

    with pytest.raises(LifecycleError, match="not usable within 0 s"):
        await wait_until_usable(gossip, timeout_s=0.1)
    with pytest.raises(EvaluateError, match="chaincode broken"):
        await wait_until_usable(broken, timeout_s=60)
