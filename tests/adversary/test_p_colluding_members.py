"""Rows P of the threat list: endorsers, clients and whole majorities that collude."""

from __future__ import annotations

import pytest

from cloister.contract import Contract, TransactionContext
from cloister.errors import CloisterError
from cloister.testing import Attack, ConfidentialChannel, Report, Verdict
from cloister.testing.confidential import expect
from cloister.testing.definitions import LIFECYCLE, ForgedDefinition
from cloister.testing.host import Host
from cloister.trusted.attest.evidence import KIND_SIMULATION, Endorsements
from cloister.trusted.attest.policy import AppraisalPolicy
from cloister.wire.messages import (
    Exported,
    ExportKeys,
    ImportKeys,
    LedgerConfirm,
    Provisioned,
    Refusal,
    Result,
    Sealed,
)

from .scenes import Board, came_to, move_twice_on_one_snapshot

NO_ENDORSEMENTS = Endorsements(KIND_SIMULATION, b"").encode()


def test_p1_reads_stripped_from_a_result_on_an_old_snapshot(report: Report) -> None:
    came_to(report, Attack.READS_STRIPPED)


async def test_p1_of_two_transfers_on_one_snapshot_one_is_covered(channel: ConfidentialChannel) -> None:
    with pytest.raises(CloisterError):
        await move_twice_on_one_snapshot(channel)
    with pytest.raises(CloisterError, match="uncovered"):
        await channel.client("ann").evaluate("both", "x", "y")


def test_p2_of_two_requests_under_one_id_the_committed_one_is_opened(report: Report) -> None:
    came_to(report, Attack.TWO_REQUESTS_ONE_ID, Verdict.NO_EFFECT)


def test_p3_equal_requests_under_one_id_look_unlike(report: Report) -> None:
    came_to(report, Attack.EQUAL_REQUESTS, Verdict.NO_EFFECT)


async def test_p4_an_error_looks_like_a_success(channel: ConfidentialChannel) -> None:
    """`move` of what is there and of what is not: the same questions, an answer of the same size, both committed."""
    ann = channel.client("ann")
    for key in ("a", "b", "c"):
        await ann.submit("put", key, "x")
    await ann.submit("drop", "c")
    host = channel.hosts[0]
    host.executions.clear()
    await ann.submit("move", "a", "b")
    with pytest.raises(CloisterError, match="nothing to move"):
        await ann.submit("move", "c", "b")
    done, failed = host.executions
    assert [type(item) for item in done.reads] == [type(item) for item in failed.reads]
    assert isinstance(done.outcome, Result)
    assert isinstance(failed.outcome, Result)
    assert len(done.outcome.payload) == len(failed.outcome.payload)


def test_p5_nothing_is_read_after_a_false_answer(report: Report) -> None:
    came_to(report, Attack.STEERED)


def test_p6_a_key_deleted_by_all_endorsers(report: Report) -> None:
    came_to(report, Attack.VALUE_DELETED)


async def test_p6_a_rogue_tombstone_is_no_absence_in_ranges_either(channel: ConfidentialChannel) -> None:
    ann = channel.client("ann")
    for bidder in ("ann", "bob"):
        await ann.submit("bid", bidder, "5")
    assert await ann.evaluate("bids") == b"5,5"
    key = channel.state.keys(channel.height)[0]
    rogue = channel.rogue((key, None))
    with pytest.raises(CloisterError, match=rogue):
        await ann.evaluate("bids")


class Thief(Contract):
    """What a colluding majority would like to run on the state."""

    async def get(self, ctx: TransactionContext, key: str) -> str:
        return (await ctx.get_stub().get_state(key)).decode()


async def test_p7_a_rogue_measurement_committed_by_a_majority_gets_no_keys(channel: ConfidentialChannel) -> None:
    """And the old one does not run any more."""
    ann = channel.client("ann")
    await ann.submit("put", "x", "1")
    thief = ConfidentialChannel(Thief, template=channel.forged_at_genesis())
    definition = ForgedDefinition(channel.chaincode, 2, thief.measurement.hex())
    channel.add_block(channel.forged.make(channel.forged.draft(definition.write(), chaincode=LIFECYCLE).build()))
    host = Host("Org2MSP", thief.new_enclave(), channel.ledger, channel.state, lambda: channel.height)
    message = channel.provision("Org2MSP", sequence=2)
    evidence = expect(host.enclave.handle(1, message), Provisioned).evidence
    channel.register(evidence)
    assert isinstance(host.connect(), LedgerConfirm), "the definition is committed: a session is no secret"
    assert isinstance(channel.hosts[0].drive(ExportKeys(evidence, NO_ENDORSEMENTS, b"")), Refusal)
    with pytest.raises(CloisterError, match="enclave refused: definition"):
        await ann.evaluate("get", "x")


async def test_p8_keys_of_an_attackers_choosing_are_not_imported(channel: ConfidentialChannel) -> None:
    """Exported by another, equally genuine enclave of the same code on the same channel's genesis block."""
    shadow = ConfidentialChannel(Board, template=channel.forged_at_genesis())
    newcomer = Host("Org2MSP", channel.new_enclave(), channel.ledger, channel.state, lambda: channel.height)
    evidence = expect(newcomer.enclave.handle(1, channel.provision("Org2MSP")), Provisioned).evidence
    channel.register(evidence)
    shadow.register(evidence)
    assert isinstance(newcomer.connect(), LedgerConfirm)
    foreign = expect(shadow.hosts[0].drive(ExportKeys(evidence, NO_ENDORSEMENTS, b"")), Exported)
    refused = newcomer.drive(ImportKeys(foreign.export, shadow.maker_evidence, NO_ENDORSEMENTS))
    assert isinstance(refused, Refusal)
    own = expect(channel.hosts[0].drive(ExportKeys(evidence, NO_ENDORSEMENTS, b"")), Exported)
    assert isinstance(newcomer.drive(ImportKeys(own.export, channel.maker_evidence, NO_ENDORSEMENTS)), Sealed)


async def test_p9_an_enclave_that_was_given_another_policy_gets_no_keys(channel: ConfidentialChannel) -> None:
    lax = AppraisalPolicy(
        kinds=channel.policy.kinds,
        simulation_authorities=tuple(sorted((*channel.policy.simulation_authorities, "11" * 32))),
    )
    host = Host("Org2MSP", channel.new_enclave(), channel.ledger, channel.state, lambda: channel.height)
    message = channel.provision("Org2MSP", policy=lax)
    evidence = expect(host.enclave.handle(1, message), Provisioned).evidence
    channel.register(evidence)
    assert isinstance(channel.hosts[0].drive(ExportKeys(evidence, NO_ENDORSEMENTS, b"")), Refusal)
    assert isinstance(host.connect(), Refusal)


def test_p10_a_call_of_another_chaincode(report: Report) -> None:
    came_to(report, Attack.CALLED_THROUGH_ANOTHER)
