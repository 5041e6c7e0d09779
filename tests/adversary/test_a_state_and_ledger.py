"""Rows A of the threat list: a host that lies about the state, orderers that lie about the ledger."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cloister.client.checkpoints import FileCheckpoints, load_known
from cloister.client.fork_proof import find_forks
from cloister.errors import CloisterError, Refused
from cloister.testing import Attack, Behaviour, ConfidentialChannel, Report, Verdict, attack
from cloister.testing.configs import revocations
from cloister.testing.definitions import LIFECYCLE, ForgedDefinition
from cloister.testing.local_gateway import assemble
from cloister.testing.rogue_transactions import bend_results
from cloister.wire.messages import Refusal

from .scenes import Board, came_to


def test_a1_an_older_value_of_one_key(report: Report) -> None:
    came_to(report, Attack.STALE_VALUE)


def test_a2_values_that_were_never_true_together(report: Report) -> None:
    came_to(report, Attack.MIXED_SNAPSHOT)


def test_a3_a_whole_old_snapshot_is_refused_to_whoever_has_seen_more(report: Report) -> None:
    came_to(report, Attack.OLD_SNAPSHOT)


async def test_a3_whoever_has_seen_nothing_is_told_of_which_height_the_answer_is(channel: ConfidentialChannel) -> None:
    ann = channel.client("ann")
    await ann.submit("put", "x", "old")
    height = channel.height
    await ann.submit("put", "x", "new")
    newcomer = await channel.client("newcomer").contract()
    attack(channel, Attack.OLD_SNAPSHOT)
    told = await newcomer.evaluate("get", "x")
    assert told.payload == b"old"
    assert told.verified.statement.checkpoint is not None
    assert told.verified.statement.checkpoint.height == height


@pytest.mark.parametrize("switch", [Attack.ABSENT_FOR_PRESENT, Attack.VALUE_FOR_ABSENT])
def test_a4_absent_for_present_and_a_value_for_an_absent_key(report: Report, switch: Attack) -> None:
    came_to(report, switch)


@pytest.mark.parametrize("switch", [item for item in Attack if item.row == "A5"])
def test_a5_a_range_with_other_rows(report: Report, switch: Attack) -> None:
    came_to(report, switch)


@pytest.mark.parametrize("switch", [Attack.CIPHERTEXT_OF_ANOTHER_KEY, Attack.CIPHERTEXT_CHANGED])
def test_a6_another_keys_ciphertext_or_a_changed_one(report: Report, switch: Attack) -> None:
    came_to(report, switch)


def test_a7_an_old_value_put_back_by_all_endorsers(report: Report) -> None:
    came_to(report, Attack.VALUE_PUT_BACK)


async def test_a7_the_refusal_names_the_transaction_and_a_covered_write_heals(channel: ConfidentialChannel) -> None:
    ann = channel.client("ann")
    await ann.submit("put", "x", "old")
    (key,) = channel.state.keys(channel.height)
    old = channel.state.history(key)[-1].value
    await ann.submit("put", "x", "new")
    rogue = channel.rogue((key, old))
    with pytest.raises(CloisterError, match=rogue):
        await ann.evaluate("get", "x")
    await ann.submit("drop", "x")
    assert await ann.evaluate("get", "x") == b""


@pytest.mark.parametrize("switch", [item for item in Attack if item.row == "A8"])
def test_a8_uncovered_partial_and_enlarged_write_sets(report: Report, switch: Attack) -> None:
    came_to(report, switch)


async def test_a8_a_cut_write_set_that_a_colluding_client_submits_covers_nothing(channel: ConfidentialChannel) -> None:
    """The client would refuse; one that colludes signs all the same, and all endorsers have signed it too."""
    ann = channel.client("ann")
    await ann.submit("put", "x", "1")
    await ann.submit("put", "y", "2")
    captured: list[tuple[bytes, bytes]] = []

    class Cutting(Behaviour):
        def endorsed(self, proposal: object, payload: bytes) -> bytes:
            def cut(part: object) -> None:
                del part.writes[-1]  # type: ignore[attr-defined]

            bent = bend_results(payload, channel.chaincode, cut)
            captured.append((payload, bent))
            return bent

        def proposal(self, signed_proposal: bytes) -> bytes:
            self.signed = signed_proposal
            return signed_proposal

    channel.behaviour = cutting = Cutting()
    with pytest.raises(Refused, match="differs from what the enclave signed"):
        await ann.submit("move", "x", "y")
    envelope = assemble(cutting.signed, captured[0][1], list(channel.forged.peers))
    envelope.signature = ann.signer.sign(envelope.payload)
    channel.order(envelope.SerializeToString())
    channel.cut()
    with pytest.raises(CloisterError, match="uncovered"):
        await ann.evaluate("both", "x", "y")


@pytest.mark.parametrize("switch", [item for item in Attack if item.row == "A9"])
def test_a9_a_dropped_repeated_or_altered_block(report: Report, switch: Attack) -> None:
    came_to(report, switch)


def test_a10_a_block_signed_by_who_is_no_orderer(report: Report) -> None:
    came_to(report, Attack.BLOCK_OF_A_PEER)


def test_a11_a_fork_is_not_followed(report: Report) -> None:
    came_to(report, Attack.FORK)


async def test_a11_members_who_were_shown_two_chains_can_prove_it(channel: ConfidentialChannel, tmp_path: Path) -> None:
    """Honest twin: before the fork their files agree."""
    ann, bob = channel.client("ann"), channel.client("bob", "Org2MSP")
    ann.checkpoints, bob.checkpoints = FileCheckpoints(tmp_path / "ann"), FileCheckpoints(tmp_path / "bob")
    await ann.submit("put", "x", "1")
    await bob.evaluate("get", "x")
    ours, theirs = (tmp_path / name / f"{channel.forged.genesis_hash.hex()}.json" for name in ("ann", "bob"))
    assert find_forks(load_known(ours), load_known(theirs), channel.trust) == []
    other = channel.new_ledger()
    other.follow(channel.forged.blocks[1:])
    other.follow([channel.forged.make(channel.forged.put(("k", b"other"), chaincode="plain").build())])
    channel.add_block(channel.forged.make(channel.forged.put(("k", b"value"), chaincode="plain").build()))
    channel.hosts[1].ledger = other
    channel.hosts[1].connect()
    await ann.evaluate("get", "x")
    await bob.evaluate("get", "x")
    (fork,) = find_forks(load_known(ours), load_known(theirs), channel.trust)
    assert fork.proven


def test_a12_validation_flags_that_say_the_contrary_change_nothing(report: Report) -> None:
    came_to(report, Attack.FLAGS_FLIPPED, Verdict.NO_EFFECT)


async def test_a13_a_revocation_holds_and_one_that_is_withheld_leads_nowhere(channel: ConfidentialChannel) -> None:
    ann, bob = channel.client("ann"), channel.client("bob", "Org2MSP")
    await ann.submit("put", "x", "1")
    lists = channel.forged.authorities[0].revoke(ann.signer.certificate_pem)
    attack(channel, Attack.BLOCK_DROPPED)
    channel.reconfigure(["Application", "Org1MSP"], revocations(lists))
    with pytest.raises(CloisterError):
        await bob.submit("put", "x", "2")
    ledger = channel.new_ledger()
    ledger.follow(channel.forged.blocks[1:])
    channel.replace_ledger(ledger)
    assert await channel.client("bob", "Org2MSP").evaluate("get", "x") in (b"1", b"2")
    with pytest.raises(CloisterError, match="enclave refused: creator"):
        await ann.evaluate("get", "x")


async def test_a14_one_transaction_id_counts_once(channel: ConfidentialChannel) -> None:
    """In one block and in a later one; that all verdicts are a real peer's is compared elsewhere, on real Fabric."""
    ann = channel.client("ann")
    await ann.submit("put", "x", "1")
    captured: list[bytes] = []

    class Keeping(Behaviour):
        def ordered(self, envelope: bytes) -> bytes:
            captured.append(envelope)
            return envelope

    channel.behaviour = Keeping()
    await ann.submit("put", "x", "2")
    await ann.submit("put", "x", "3")
    channel.add_block(channel.forged.make(captured[0], captured[0]))
    assert await ann.evaluate("get", "x") == b"3"


def test_a15_a_ledger_enclave_set_back_answers_nothing_below_what_was_seen(report: Report) -> None:
    came_to(report, Attack.LEDGER_SET_BACK)


async def test_a15_once_it_has_caught_up_it_answers(channel: ConfidentialChannel) -> None:
    ann = channel.client("ann")
    await ann.submit("put", "x", "1")
    adversary = attack(channel, Attack.LEDGER_SET_BACK)
    with pytest.raises(CloisterError, match="ledger-behind"):
        await ann.evaluate("get", "x")
    adversary.after = 10**9
    channel.ledger.follow(channel.forged.blocks[-1:])
    assert await ann.evaluate("get", "x") == b"1"


async def test_a16_a_client_of_another_genesis_block_refuses(channel: ConfidentialChannel) -> None:
    ann, elsewhere = channel.client("ann"), ConfidentialChannel(Board)
    assert await ann.submit("put", "x", "1") == b""

    class Redirecting(Behaviour):
        def key_set(self, answer: bytes) -> bytes:
            return elsewhere.key_set_answer()

    channel.behaviour = Redirecting()
    with pytest.raises(Refused):
        await channel.client("bob", "Org2MSP").submit("put", "x", "2")
    foreign = channel.new_enclave()
    foreign.handle(1, replace(channel.provision("Org1MSP"), genesis_hash=bytes(32)))
    host = channel.hosts[0]
    host.enclave = foreign
    assert isinstance(host.connect(), Refusal)


async def test_a17_an_old_definition_does_not_run_any_more(channel: ConfidentialChannel) -> None:
    """The next one is committed; a host that withholds that block gets no further."""
    ann = channel.client("ann")
    await ann.submit("put", "x", "1")
    definition = ForgedDefinition(channel.chaincode, 2, bytes([7] * 32).hex())
    commit = channel.forged.draft(definition.write(), chaincode=LIFECYCLE).build()
    channel.add_block(channel.forged.make(commit))
    with pytest.raises(CloisterError, match="enclave refused: definition"):
        await ann.evaluate("get", "x")


async def test_a17_a_withheld_definition_leads_nowhere(channel: ConfidentialChannel) -> None:
    ann = channel.client("ann")
    await ann.submit("put", "x", "1")
    attack(channel, Attack.LEDGER_BEHIND)
    definition = ForgedDefinition(channel.chaincode, 2, bytes([7] * 32).hex())
    channel.add_block(channel.forged.make(channel.forged.draft(definition.write(), chaincode=LIFECYCLE).build()))
    with pytest.raises(CloisterError):
        await ann.submit("put", "x", "2")
