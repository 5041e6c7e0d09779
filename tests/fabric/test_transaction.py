"""Parsing endorsed transactions: real ones of a real network, and anything else."""

from __future__ import annotations

import contextlib

import pytest
from fabric_protos.common import ledger_pb2
from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from fabric_protos.peer import proposal_pb2, proposal_response_pb2
from hypothesis import given
from hypothesis import strategies as st

from cloister.deploy.deploy import connected
from cloister.errors import MalformedInput
from cloister.fabric.block import parse_block
from cloister.fabric.proposal import compute_transaction_id
from cloister.fabric.transaction import Version, parse_endorsed_transaction, parse_proposal_response_payload
from cloister.lifecycle import ChaincodeDefinition, Lifecycle
from cloister.network import Network


def payload_with(rwset: kv_rwset_pb2.KVRWSet, *namespaces: str) -> bytes:
    """A proposal response payload that holds this read/write set under each namespace."""
    results = rwset_pb2.TxReadWriteSet(
        ns_rwset=[rwset_pb2.NsReadWriteSet(namespace=name, rwset=rwset.SerializeToString()) for name in namespaces]
    )
    action = proposal_pb2.ChaincodeAction(results=results.SerializeToString())
    return proposal_response_pb2.ProposalResponsePayload(extension=action.SerializeToString()).SerializeToString()  # type: ignore[no-any-return]


@pytest.mark.fabric
async def test_a_real_transaction_is_read_to_the_last_key(fabric_network: Network) -> None:
    async with connected(fabric_network.organisations[0]) as gateway:
        await Lifecycle(gateway, fabric_network.channel).approve(ChaincodeDefinition("unused", "1.0"))
        qscc = gateway.network(fabric_network.channel).contract("qscc")
        info = ledger_pb2.BlockchainInfo.FromString(
            await qscc.evaluate_transaction("GetChainInfo", fabric_network.channel)
        )
        blocks = [
            await qscc.evaluate_transaction("GetBlockByNumber", fabric_network.channel, str(number))
            for number in range(1, info.height)
        ]
    found = [parse_endorsed_transaction(item) for encoded in blocks for item in parse_block(encoded).transactions]
    assert found
    for transaction in found:
        assert transaction.transaction_id == compute_transaction_id(transaction.nonce, transaction.creator)
        assert transaction.channel == fabric_network.channel
        assert transaction.signature
        assert transaction.endorsements
        assert transaction.action.status == 200
    approvals = [item for item in found if item.action.chaincode == "_lifecycle"]
    assert any("_implicit_org_Org1MSP" in space.collections for item in approvals for space in item.action.namespaces)


def test_an_empty_version_is_height_zero_and_an_absent_one_is_none() -> None:
    rwset = kv_rwset_pb2.KVRWSet(
        reads=[kv_rwset_pb2.KVRead(key="there", version=kv_rwset_pb2.Version()), kv_rwset_pb2.KVRead(key="absent")]
    )
    action = parse_proposal_response_payload(payload_with(rwset, "cc"))
    space = action.namespace("cc")
    assert space is not None
    assert [read.version for read in space.reads] == [Version(0, 0), None]
    assert action.namespace("other") is None


def test_a_namespace_that_stands_there_twice_is_refused() -> None:
    action = parse_proposal_response_payload(payload_with(kv_rwset_pb2.KVRWSet(), "cc", "cc"))
    with pytest.raises(MalformedInput, match="twice"):
        action.namespace("cc")


@given(st.binary(max_size=300))
def test_any_bytes_parse_or_are_refused(encoded: bytes) -> None:
    for parse in (parse_endorsed_transaction, parse_proposal_response_payload):
        with contextlib.suppress(MalformedInput):
            parse(encoded)
