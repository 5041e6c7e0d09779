"""Rows B of the threat list: requests replayed, looked at, altered; results swapped, spliced, opened by others."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import replace

import pytest

from cloister.client.checkpoints import InMemoryCheckpoints
from cloister.client.receipt import make_receipt, verify_receipt
from cloister.client.results import PendingOutcome
from cloister.errors import CloisterError, Refused
from cloister.fabric.proposal import NONCE_BYTES
from cloister.testing import Attack, ConfidentialChannel, Report, Verdict, attack, attack_all, cease
from cloister.testing.beside import propose, seal
from cloister.trusted.protocol.request import Request
from cloister.trusted.protocol.statement import Checkpoint
from cloister.wire.messages import Opened, Result

from .scenes import SECRETS, Board, came_to


def test_b1_a_request_replayed_by_another_client_or_under_another_id(report: Report) -> None:
    came_to(report, Attack.REQUEST_REPLAYED)


async def test_b1_the_same_again_gives_the_same_and_is_committed_once(channel: ConfidentialChannel) -> None:
    ann = channel.client("ann")
    await ann.submit("put", "x", "1")
    nonce = os.urandom(NONCE_BYTES)
    sealed = await seal(ann, Request("put", (b"x", b"2"), os.urandom(32)), nonce, ann.signer)
    signed = propose(channel.name, channel.chaincode, ann.signer, sealed, nonce=nonce)
    runs = [await channel.hosts[number % 2].execute(signed) for number in range(4)]
    assert len({run.outcome for run in runs}) == 1
    assert isinstance(runs[0].outcome, Result)


def test_b2_a_creator_without_its_key_or_of_a_self_made_authority(report: Report) -> None:
    came_to(report, Attack.CREATOR_FORGED)


async def test_b3_what_is_endorsed_and_never_submitted_tells_nothing(report: Report) -> None:
    came_to(report, Attack.NEVER_SUBMITTED, Verdict.NO_EFFECT)


async def test_b3_the_twin_what_is_revealed_at_endorsement_is_told_early() -> None:
    """A secret in a function marked so is found: that is what the comparison is there for."""

    async def saying(channel: ConfidentialChannel, secret: str) -> None:
        await channel.client("ann").submit("say", secret)

    found = await attack_all(Board, saying, secrets=SECRETS, attacks=(Attack.NEVER_SUBMITTED,))
    assert found.verdict(Attack.NEVER_SUBMITTED) is Verdict.LEAKED


@pytest.mark.parametrize(
    ("switch", "expected"),
    [(Attack.OPENED_BY_ANOTHER, Verdict.NO_EFFECT), (Attack.ORDERED_INVALID, Verdict.REFUSED)],
)
def test_b4_the_outcome_of_an_invalid_or_foreign_transaction(report: Report, switch: Attack, expected: Verdict) -> None:
    came_to(report, switch, expected)


async def test_b4_its_own_client_opens_a_valid_one(channel: ConfidentialChannel) -> None:
    ann, kept = channel.client("ann"), list[PendingOutcome]()
    await (await ann.contract()).submit("put", "x", "1", on_pending=kept.append)
    assert (await ann.open(kept[0])).outcome.payload == b""
    with pytest.raises(Refused):
        await ann.open(replace(kept[0], response_key=bytes(32)))


def test_b5_running_again_on_one_snapshot_gives_the_same_and_shows_nothing(report: Report) -> None:
    came_to(report, Attack.RUN_AGAIN, Verdict.NO_EFFECT)


def test_b6_another_snapshot_another_key_stream(report: Report) -> None:
    assert report.verdict(Attack.OTHER_SNAPSHOT).withstood


async def test_b6_one_proposal_on_two_snapshots_gives_unlike_ciphertexts(channel: ConfidentialChannel) -> None:
    """Without a checkpoint of its own the client's request runs on both."""
    ann = channel.client("ann")
    await ann.submit("put", "x", "1")
    await ann.submit("put", "x", "2")
    nonce = os.urandom(NONCE_BYTES)
    sealed = await seal(ann, Request("put", (b"x", b"3"), os.urandom(32)), nonce, ann.signer)
    signed = propose(channel.name, channel.chaincode, ann.signer, sealed, nonce=nonce)
    outcomes = [
        (await channel.hosts[0].execute(signed, height=height)).outcome
        for height in (channel.height, channel.height, channel.height - 1)
    ]
    same, again, other = (dict(item.puts) if isinstance(item, Result) else {} for item in outcomes)
    assert same
    assert same == again
    assert set(same) == set(other)
    assert not set(same.values()) & set(other.values())


def test_b7_evaluating_a_transaction_function_tells_nothing_more(report: Report) -> None:
    came_to(report, Attack.EVALUATED, Verdict.NO_EFFECT)


def test_b8_a_signed_proposal_altered_anywhere(report: Report) -> None:
    came_to(report, Attack.REQUEST_ALTERED)


def test_b9_a_request_key_of_the_attackers_in_the_registry(report: Report) -> None:
    came_to(report, Attack.KEYS_SWAPPED)


def test_b10_a_result_with_the_answer_of_another(report: Report) -> None:
    came_to(report, Attack.RESULT_SPLICED)


async def test_b11_a_receipt_holds_and_whatever_is_changed_breaks_it(channel: ConfidentialChannel) -> None:
    ann, kept = channel.client("ann"), list[PendingOutcome]()
    contract = await ann.contract()
    receipts = []
    for value in ("1", "2"):
        await contract.submit("put", "x", value, on_pending=kept.append)
        opened = await contract.open(kept[-1])
        receipts.append(
            make_receipt(
                channel=channel.name,
                chaincode=channel.chaincode,
                credentials=contract.credentials,
                opened=opened,
                block=channel.block_of(kept[-1].transaction_id) or b"",
                response_key=kept[-1].response_key,
            )
        )
    found = verify_receipt(receipts[0], channel.trust)
    assert found.transaction_id == kept[0].transaction_id
    mine, other = (json.loads(item) for item in receipts)
    for name in mine:
        if mine[name] != other[name]:
            with pytest.raises(Refused, match="receipt refused, link"):
                verify_receipt(json.dumps({**mine, name: other[name]}).encode(), channel.trust)
    block = bytearray(base64.b64decode(mine["block"]))
    block[len(block) // 2] ^= 1
    bent = {**mine, "block": base64.b64encode(bytes(block)).decode()}
    for changed in (bent, {**mine, "channel": "other"}, {**mine, "chaincode": "other"}):
        with pytest.raises(Refused, match="receipt refused, link"):
            verify_receipt(json.dumps(changed).encode(), channel.trust)
    with pytest.raises(Refused, match="link 'credentials'"):
        verify_receipt(receipts[0], replace(channel.trust, genesis_hash=bytes(32)))


@pytest.mark.parametrize(
    ("checkpoint", "reason"),
    [(Checkpoint(900, b"\1" * 32), "ledger-behind"), (Checkpoint(2, b"\1" * 32), "fork")],
    ids=["above", "of another chain"],
)
async def test_b12_a_checkpoint_that_is_not_on_the_chain(
    channel: ConfidentialChannel, checkpoint: Checkpoint, reason: str
) -> None:
    ann = channel.client("ann")
    await ann.submit("put", "x", "1")
    known = InMemoryCheckpoints()
    known.note(channel.forged.genesis_hash, checkpoint)
    bob = channel.client("bob", "Org2MSP")
    bob.checkpoints = known
    with pytest.raises(CloisterError, match=f"enclave refused: {reason}"):
        await bob.evaluate("get", "x")


async def test_b12_what_was_seen_once_is_the_least_that_is_accepted(channel: ConfidentialChannel) -> None:
    ann = channel.client("ann")
    await ann.submit("put", "x", "1")
    await ann.submit("put", "x", "2")
    attack(channel, Attack.OLD_SNAPSHOT)
    with pytest.raises(CloisterError, match="stale"):
        await ann.evaluate("get", "x")
    cease(channel)
    assert await ann.evaluate("get", "x") == b"2"


async def test_b4_anybody_may_ask(channel: ConfidentialChannel) -> None:
    """Anybody may ask an enclave to open; only the holder of the response key reads."""
    result = await channel.client("ann").submit_whole("put", "x", "1")
    block = channel.block_of(result.transaction_id)
    assert isinstance(channel.hosts[1].open(result.transaction_id, block or b""), Opened)
