"""Whom the Gateway asks to endorse when the client leaves it to the Gateway: the same peers on both networks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest
from fabric_protos.peer import collection_pb2

from cloister.embedded.authoring import Deployed, EmbeddedChannel
from cloister.fabric.identity import decode_serialized_identity
from cloister.gateway import EndorseError
from cloister.lifecycle import wait_until_usable
from cloister.network import Network
from cloister.testing.definitions import collection
from contract.server.features_contract import Features

ONE, TWO = "Org1MSP", "Org2MSP"
EITHER, BOTH = "OR('Org1MSP.peer','Org2MSP.peer')", "AND('Org1MSP.peer','Org2MSP.peer')"
COLLECTIONS = collection_pb2.CollectionConfigPackage(
    config=[
        collection("first", "OR('Org1MSP.member')"),
        collection("strict", "OR('Org1MSP.member','Org2MSP.member')", endorsement=BOTH),
    ]
).SerializeToString()


@pytest.fixture(scope="module")
async def features(any_network: Network) -> AsyncIterator[Deployed]:
    """By either organisation's peer."""
    async with EmbeddedChannel(any_network).deploy(
        Features, signature_policy=EITHER, collections=COLLECTIONS
    ) as deployed:
        yield deployed


async def endorsers(
    deployed: Deployed, user: str, *arguments: str, transient: Mapping[str, bytes] | None = None
) -> set[str]:
    """MSP IDs of whoever endorsed; the transaction is submitted."""
    caller = await deployed.as_user(user)
    function, *rest = arguments
    found: set[str] = set()

    async def submit() -> None:
        transaction = await caller.remote.new_proposal(function, arguments=rest, transient=transient).endorse()
        found.update(decode_serialized_identity(item.endorser).msp_id for item in transaction.endorsed.endorsements)
        (await (await transaction.submit()).status()).require_successful()

    await wait_until_usable(submit)
    return found


async def test_the_gateways_own_peer_is_enough_where_any_is(features: Deployed) -> None:
    assert await endorsers(features, "org1/User1", "put", "any", "1") == {ONE}
    assert await endorsers(features, "org2/User1", "put", "any", "2") == {TWO}


async def test_a_keys_own_policy_replaces_the_chaincodes(features: Deployed) -> None:
    for user, msp_ids, expected in (
        ("org1/User1", '["Org2MSP"]', {TWO}),
        ("org1/User1", '["Org1MSP","Org2MSP"]', {ONE, TWO}),
        ("org2/User1", '["Org1MSP"]', {ONE}),
    ):
        key = f"key of {msp_ids}"
        await endorsers(features, user, "put", key, "v")
        await endorsers(features, user, "require", key, msp_ids)
        assert await endorsers(features, user, "put", key, "w") == expected


async def test_private_data_are_shown_to_members_only(features: Deployed) -> None:
    secret = {"value": b"secret"}
    assert await endorsers(features, "org1/User1", "put_private", "first", "k", transient=secret) == {ONE}
    assert await endorsers(features, "org1/User1", "put_private", "strict", "k", transient=secret) == {ONE, TWO}


async def test_a_called_chaincodes_policy_counts_too(any_network: Network, features: Deployed) -> None:
    async with EmbeddedChannel(any_network).deploy(Features, signature_policy=BOTH) as other:
        assert await endorsers(other, "org1/User1", "put", "k", "v") == {ONE, TWO}
        called = await endorsers(features, "org1/User1", "call", other.name, "", '["put", "called", "v"]')
        assert called == {ONE, TWO}


async def test_who_cannot_endorse_is_told(features: Deployed) -> None:
    caller = await features.as_user("org1/User1")
    proposal = caller.remote.new_proposal("put", arguments=["k", "v"], endorsing_organizations=["Org9MSP"])
    with pytest.raises(EndorseError, match="failed to find any endorsing peers"):
        await proposal.endorse()
