"""BFT orderers, on real programs of Fabric 3.1. Left out of `make test`, run by `make test-3.1`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fabric_protos.common import common_pb2, configtx_pb2, configuration_pb2, policies_pb2
from fabric_protos.orderer import configuration_pb2 as orderer_pb2

from cloister.fabric.block import parse_block
from cloister.network import Network, NetworkOptions
from ledger.conftest import fetch_blocks
from support.ordering import commit_one, height

pytestmark = pytest.mark.fabric31


@pytest.fixture
def network(fabric31: None, tmp_path: Path) -> Iterator[Network]:
    """One for each test: four orderers bear one fault, and one that was away catches up in its own time."""
    network = Network.up(tmp_path / "net", NetworkOptions(orderers=4, consensus="bft", batch_timeout="50ms"))
    yield network
    network.down()


def test_the_genesis_block_names_the_consenters_and_their_quorum(network: Network) -> None:
    envelope = common_pb2.Envelope.FromString(parse_block(network.genesis_block_path.read_bytes()).transactions[0])
    payload = common_pb2.Payload.FromString(envelope.payload)
    channel = configtx_pb2.ConfigEnvelope.FromString(payload.data).config.channel_group
    capabilities = configuration_pb2.Capabilities.FromString(channel.values["Capabilities"].value)
    assert list(capabilities.capabilities) == ["V3_0"]
    orderer = channel.groups["Orderer"]
    assert orderer_pb2.ConsensusType.FromString(orderer.values["ConsensusType"].value).type == "BFT"
    mapping = configuration_pb2.Orderers.FromString(orderer.values["Orderers"].value).consenter_mapping
    assert [(item.id, item.port) for item in mapping] == [
        (number, item.port) for number, item in enumerate(network.orderers, 1)
    ]
    assert [item.identity for item in mapping] == [item.certificate_path.read_bytes() for item in network.orderers]
    policy = policies_pb2.SignaturePolicyEnvelope.FromString(orderer.policies["BlockValidation"].policy.value)
    assert (policy.rule.n_out_of.n, len(policy.identities)) == (3, 4)
    endpoints = configuration_pb2.OrdererAddresses.FromString(orderer.groups["Orderer"].values["Endpoints"].value)
    assert list(endpoints.addresses) == [item.endpoint for item in network.orderers]
    assert "OrdererAddresses" not in channel.values


async def test_blocks_are_signed_by_a_quorum(network: Network) -> None:
    await commit_one(network, "signed")
    for encoded in (await fetch_blocks(network))[1:]:
        metadata = common_pb2.Metadata.FromString(parse_block(encoded).metadata[0])
        identifiers = [
            common_pb2.IdentifierHeader.FromString(item.identifier_header).identifier for item in metadata.signatures
        ]
        assert len(set(identifiers)) >= 3
        assert set(identifiers) <= {1, 2, 3, 4}


async def test_a_stopped_follower_is_tolerated_and_all_come_back_with_their_ledger(network: Network) -> None:
    with_all = await commit_one(network, "with-all")
    network.stop_orderer("orderer3")
    without = await commit_one(network, "without-follower")
    assert without > with_all
    network.start_orderer("orderer3")
    with_follower = await commit_one(network, "with-follower")
    assert with_follower > without
    assert network.down() == 6
    again = Network.up(network.folder)
    assert all(process.pid for process in again.status())
    assert await height(again) == with_follower
    assert await commit_one(again, "again") > with_follower


async def test_a_stopped_leader_is_replaced(network: Network) -> None:
    """About six seconds: LeaderHeartbeatTimeout, and the others' agreeing on the next leader."""
    before = await height(network)
    network.stop_orderer("orderer")
    without = await commit_one(network, "without-leader")
    assert without > before
    network.start_orderer("orderer")
    assert await commit_one(network, "with-former-leader") > without
