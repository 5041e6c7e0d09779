"""Rows C of the threat list: other code, other policies, cloned enclaves, races for keys, broken sessions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cloister.contract import Contract, TransactionContext
from cloister.errors import CloisterError, Refused
from cloister.testing import Attack, Behaviour, ConfidentialChannel, Report
from cloister.testing.confidential import expect
from cloister.testing.host import Host
from cloister.trusted.attest.evidence import KIND_SIMULATION, Endorsements
from cloister.trusted.attest.policy import AppraisalPolicy
from cloister.wire.messages import (
    Activate,
    Exported,
    ExportKeys,
    GetStatus,
    KeysMade,
    LedgerConfirm,
    MakeKeys,
    Provisioned,
    Refusal,
    Status,
)

from .scenes import Board, came_to

NO_ENDORSEMENTS = Endorsements(KIND_SIMULATION, b"").encode()


class Malicious(Contract):
    """Other code than was approved."""

    async def get(self, ctx: TransactionContext, key: str) -> str:
        return (await ctx.get_stub().get_state(key)).decode()


def newcomer(channel: ConfidentialChannel, *, of: ConfidentialChannel | None = None) -> Host:
    """A host with a new enclave of the channel's code, or of another's."""
    enclave = (of or channel).new_enclave()
    return Host("Org2MSP", enclave, channel.ledger, channel.state, lambda: channel.height)


def evidence_of(host: Host, channel: ConfidentialChannel) -> bytes:
    """Provisioned for this channel and registered; its evidence."""
    evidence = expect(host.enclave.handle(1, channel.provision("Org2MSP")), Provisioned).evidence
    channel.register(evidence)
    return evidence


async def test_c1_other_code_gets_no_session_no_keys_and_no_client(channel: ConfidentialChannel) -> None:
    """Honest twin: an enclave of the approved code gets both."""
    genuine = newcomer(channel)
    evidence = evidence_of(genuine, channel)
    assert isinstance(genuine.connect(), LedgerConfirm)
    exported = channel.hosts[0].drive(ExportKeys(evidence, NO_ENDORSEMENTS, b""))
    assert isinstance(exported, Exported)
    rogue = newcomer(channel, of=ConfidentialChannel(Malicious, template=channel.forged_at_genesis()))
    evidence = evidence_of(rogue, channel)
    assert isinstance(rogue.connect(), Refusal)
    refused = channel.hosts[0].drive(ExportKeys(evidence, NO_ENDORSEMENTS, b""))
    assert isinstance(refused, Refusal)
    other = ConfidentialChannel(Malicious, template=channel.forged_at_genesis())

    class Redirecting(Behaviour):
        def key_set(self, answer: bytes) -> bytes:
            return other.key_set_answer()

    channel.behaviour = Redirecting()
    with pytest.raises(Refused, match="wrong measurement"):
        await channel.client("ann").submit("put", "x", "1")


async def test_c2_simulated_evidence_is_refused_unless_the_policy_names_kind_and_authority(
    channel: ConfidentialChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    await channel.client("ann").submit("put", "x", "1")
    named = channel.policy
    for policy in (AppraisalPolicy(), replace(named, simulation_authorities=()), replace(named, kinds=())):
        monkeypatch.setattr(channel, "policy", policy)
        with pytest.raises(Refused):
            await channel.client("bob", "Org2MSP").submit("put", "x", "2")


async def test_c5_a_cloned_enclave_gives_the_same_or_nothing(channel: ConfidentialChannel) -> None:
    """Twice from one sealed state, at two heights; and from it on another platform not at all."""
    ann = channel.client("ann")
    await ann.submit("put", "x", "1")
    clone = newcomer(channel)
    clone.sealed = channel.hosts[1].sealed
    clone.restart(channel.new_enclave())
    captured: list[bytes] = []

    class Keeping(Behaviour):
        def proposal(self, signed_proposal: bytes) -> bytes:
            captured.append(signed_proposal)
            return signed_proposal

    channel.behaviour = Keeping()
    height = channel.height
    await ann.submit("put", "x", "2")
    again = [await host.execute(captured[0], height=height) for host in (channel.hosts[1], clone)]
    assert again[0].outcome == again[1].outcome
    stranger = ConfidentialChannel(Malicious, template=channel.forged_at_genesis()).new_enclave()
    clone.restart(stranger)
    refused = await clone.execute(captured[0])
    assert isinstance(refused.outcome, Refusal)


async def test_c9_the_loser_of_a_race_for_the_first_keys_does_not_get_to_use_its_own(
    channel: ConfidentialChannel,
) -> None:
    late = newcomer(channel)
    evidence_of(late, channel)
    assert isinstance(late.connect(), LedgerConfirm)
    assert isinstance(late.drive(MakeKeys()), KeysMade)
    assert isinstance(late.drive(Activate()), Refusal)
    status = late.enclave.handle(0, GetStatus())
    assert isinstance(status, Status)
    assert status.state != "ready"
    assert await channel.client("ann").submit("put", "x", "1") == b""


@pytest.mark.parametrize("switch", [item for item in Attack if item.row == "C11"])
def test_c11_answers_of_the_ledger_enclave_changed_or_replayed(report: Report, switch: Attack) -> None:
    came_to(report, switch)


async def test_c11_a_ledger_enclave_of_another_channel_gets_no_session(channel: ConfidentialChannel) -> None:
    """Honest twin: another one of this channel does."""
    ann, own = channel.client("ann"), channel.new_ledger()
    await ann.submit("put", "x", "1")
    own.follow(channel.forged.blocks[1:])
    channel.replace_ledger(own)
    assert await ann.evaluate("get", "x") == b"1"
    host = channel.hosts[0]
    host.ledger = ConfidentialChannel(Board).ledger
    assert isinstance(host.connect(), Refusal)
    with pytest.raises(CloisterError):
        await ann.evaluate("get", "x")
