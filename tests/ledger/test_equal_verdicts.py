"""Forged transactions past the Gateway, through the real orderer: verdicts and commit hashes equal both peers'."""

from __future__ import annotations

import random

import pytest

from cloister.fabric.block import parse_block
from cloister.ledger.verify import verify_ledger
from cloister.network import Network
from cloister.testing.cases import Cast
from cloister.testing.forge import broadcast, rwset
from cloister.trusted.ledger.codes import Code
from ledger.conftest import CHAINCODE, OTHER, await_transactions, fetch_blocks

pytestmark = pytest.mark.fabric


async def ordered(network: Network, envelopes: list[bytes]) -> list[Code]:
    """Have envelopes ordered and committed; the verdicts, which must be both peers' and the judge's."""
    before = sum(len(parse_block(block).transactions) for block in await fetch_blocks(network))
    statuses = await broadcast(network, envelopes)
    accepted = statuses.count(200)
    for organisation in range(2):
        blocks = await await_transactions(network, before + accepted, organisation)
        report = verify_ledger(iter(blocks), genesis_hash=None, progress=lambda _: None)
        assert (report.halted, report.differences) == ("", [])
    return [code for verdict in report.blocks for code in verdict.codes][before:]


async def test_what_the_orderer_lets_pass_gets_the_same_verdict_everywhere(ledger_network: Network) -> None:
    cast = Cast(ledger_network)
    put = cast.draft((CHAINCODE, rwset(writes=[("a", b"v")])), chaincode=CHAINCODE)
    failed = put.but(endorsers=cast.peers[:1])
    read = rwset(reads=[("absent", (1, 0))])
    twice = put.build()
    codes = await ordered(
        ledger_network,
        [
            put.but().build(),
            failed.build(),
            put.but(nonce=failed.nonce).build(),
            twice,
            twice,
            put.but(header=lambda header: setattr(header, "epoch", 1)).build(),
            put.but(header=lambda header: setattr(header, "tx_id", "0" * 64)).build(),
            cast.draft((CHAINCODE, read), chaincode=CHAINCODE).build(),
            cast.draft((OTHER, rwset(writes=[("a", b"v")])), chaincode=OTHER, endorsers=cast.peers[:1]).build(),
        ],
    )
    assert [code.name for code in codes] == [
        "VALID",
        "ENDORSEMENT_POLICY_FAILURE",
        "VALID",
        "VALID",
        "DUPLICATE_TXID",
        "BAD_COMMON_HEADER",
        "BAD_PROPOSAL_TXID",
        "MVCC_READ_CONFLICT",
        "VALID",
    ]
    assert await ordered(ledger_network, [twice]) == [Code.DUPLICATE_TXID]


async def test_the_orderer_itself_refuses_forged_creators(ledger_network: Network) -> None:
    cast = Cast(ledger_network)
    put = cast.draft((CHAINCODE, rwset(writes=[("a", b"v")])), chaincode=CHAINCODE)
    forged = put.but(envelope=lambda envelope: setattr(envelope, "signature", b"\x30"))
    assert await broadcast(ledger_network, [forged.build()]) == [403]
    assert await broadcast(ledger_network, [put.but().build()]) == [200]


async def test_many_writers_of_few_keys(ledger_network: Network) -> None:
    cast, chooser = Cast(ledger_network), random.Random(5)
    drafts = []
    for _ in range(60):
        reads: list[tuple[str, tuple[int, int] | None]] = [("x", None)]
        changes = rwset(writes=[(chooser.choice("xyz"), b"v")], reads=reads[: chooser.randrange(2)])
        endorsers = chooser.choice([cast.peers, cast.peers[:1]])
        drafts.append(cast.draft((CHAINCODE, changes), chaincode=CHAINCODE, endorsers=endorsers))
    codes = await ordered(ledger_network, [draft.build() for draft in drafts])
    assert {Code.VALID, Code.MVCC_READ_CONFLICT, Code.ENDORSEMENT_POLICY_FAILURE} <= set(codes)
