"""Parsing endorsed transactions: real ones of a real network, and anything else."""

from __future__ import annotations

import contextlib

import pytest
from fabric_protos.common import common_pb2, ledger_pb2
from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from fabric_protos.peer import proposal_pb2, proposal_response_pb2, transaction_pb2
from hypothesis import given
from hypothesis import strategies as st

from cloister.deploy.deploy import connected
from cloister.errors import MalformedInput
from cloister.fabric.block import parse_block
from cloister.fabric.proposal import compute_transaction_id
from cloister.fabric.transaction import (
    Endorsement,
    KeyMetadataWrite,
    KeyRead,
    KeyWrite,
    NamespaceRwset,
    RangeQuery,
    Version,
    parse_endorsed_transaction,
    parse_proposal_response_payload,
)
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


def transaction_with(results: rwset_pb2.TxReadWriteSet, header_type: int = common_pb2.ENDORSER_TRANSACTION) -> bytes:
    """A whole envelope around read/write sets."""
    action = proposal_pb2.ChaincodeAction(results=results.SerializeToString(), events=b"\x1a\x01e")
    response = proposal_response_pb2.ProposalResponsePayload(extension=action.SerializeToString())
    endorsed = transaction_pb2.ChaincodeEndorsedAction(
        proposal_response_payload=response.SerializeToString(),
        endorsements=[proposal_response_pb2.Endorsement(endorser=b"endorser", signature=b"signature")],
    )
    payload = transaction_pb2.ChaincodeActionPayload(action=endorsed)
    transaction = transaction_pb2.Transaction(
        actions=[transaction_pb2.TransactionAction(payload=payload.SerializeToString())]
    )
    header = common_pb2.Header(
        channel_header=common_pb2.ChannelHeader(type=header_type, channel_id="c", tx_id="t").SerializeToString(),
        signature_header=common_pb2.SignatureHeader(creator=b"creator", nonce=b"nonce").SerializeToString(),
    )
    outer = common_pb2.Payload(header=header, data=transaction.SerializeToString())
    return common_pb2.Envelope(payload=outer.SerializeToString()).SerializeToString()  # type: ignore[no-any-return]


RWSET = kv_rwset_pb2.KVRWSet(
    reads=[kv_rwset_pb2.KVRead(key="r", version=kv_rwset_pb2.Version(block_num=7, tx_num=1))],
    range_queries_info=[kv_rwset_pb2.RangeQueryInfo(start_key="a", end_key="b", itr_exhausted=True)],
    writes=[kv_rwset_pb2.KVWrite(key="w", value=b"v"), kv_rwset_pb2.KVWrite(key="d", is_delete=True)],
    metadata_writes=[
        kv_rwset_pb2.KVMetadataWrite(key="m", entries=[kv_rwset_pb2.KVMetadataEntry(name="n", value=b"v")])
    ],
)
WHOLE = transaction_with(
    rwset_pb2.TxReadWriteSet(ns_rwset=[rwset_pb2.NsReadWriteSet(namespace="cc", rwset=RWSET.SerializeToString())])
)


def test_every_part_of_a_transaction_is_read() -> None:
    parsed = parse_endorsed_transaction(WHOLE)
    assert (parsed.channel, parsed.transaction_id, parsed.creator, parsed.nonce) == ("c", "t", b"creator", b"nonce")
    assert parsed.endorsements == (Endorsement(b"endorser", b"signature"),)
    assert parsed.action.event == ("e", b"")
    space = parsed.action.namespace("cc")
    assert space == NamespaceRwset(
        namespace="cc",
        reads=(KeyRead("r", Version(7, 1)),),
        ranges=(RangeQuery("a", "b", exhausted=True, reads=(), merkle=False),),
        writes=(KeyWrite("w", is_delete=False, value=b"v"), KeyWrite("d", is_delete=True, value=b"")),
        metadata_writes=(KeyMetadataWrite("m", (("n", b"v"),)),),
        collections=(),
    )


def test_other_envelopes_are_no_endorsed_transactions() -> None:
    with pytest.raises(MalformedInput, match="not an endorsed transaction"):
        parse_endorsed_transaction(transaction_with(rwset_pb2.TxReadWriteSet(), common_pb2.CONFIG))


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=4), st.integers(0, len(WHOLE)))
def test_a_damaged_transaction_is_parsed_or_refused(changes: list[tuple[int, int]], end: int) -> None:
    damaged = bytearray(WHOLE)
    for offset, value in changes:
        damaged[offset] = value
    for encoded in (bytes(damaged), bytes(damaged[:end])):
        with contextlib.suppress(MalformedInput):
            parse_endorsed_transaction(encoded)


@given(st.binary(max_size=300))
def test_any_bytes_parse_or_are_refused(encoded: bytes) -> None:
    for parse in (parse_endorsed_transaction, parse_proposal_response_payload):
        with contextlib.suppress(MalformedInput):
            parse(encoded)
