"""Rows E of the threat list: garbage, contracts that differ between endorsers, kills at any moment, enclaves behind."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from cloister.client.results import PendingOutcome
from cloister.contract import Contract, TransactionContext
from cloister.errors import CloisterError, UsageError
from cloister.testing import Attack, Behaviour, ConfidentialChannel, Report, attack, cease
from cloister.wire.ledger_messages import SessionHello, SessionQuestion
from cloister.wire.messages import ImportKeys, Invoke, LedgerWelcome, OpenCommitted, Refusal, Restore

from .scenes import came_to


async def test_e1_garbage_is_refused_and_the_enclaves_live(channel: ConfidentialChannel) -> None:
    ann, chooser = channel.client("ann"), random.Random(1)
    await ann.submit("put", "x", "1")
    for length in (0, 1, 7, 100, 5_000):
        garbage = chooser.randbytes(length)
        for message in (
            Invoke(garbage),
            OpenCommitted("ab" * 32, garbage),
            ImportKeys(garbage, garbage, garbage),
            LedgerWelcome(garbage),
            Restore(garbage),
        ):
            assert isinstance(channel.hosts[0].drive(message), Refusal)
        for question in (SessionHello(garbage), SessionQuestion(garbage)):
            assert "Refusal" in type(channel.ledger.call(question)).__name__
    assert await ann.evaluate("get", "x") == b"1"


class Differing(Contract):
    """Counts in the process's memory: endorsers differ."""

    count = itertools.count()

    async def draw(self, ctx: TransactionContext) -> str:
        await ctx.get_stub().put_state("drawn", str(next(self.count)))
        return "OK"


async def test_e2_a_contract_that_differs_between_endorsers_commits_nothing() -> None:
    channel = ConfidentialChannel(Differing, patience_s=0.0)
    with pytest.raises(CloisterError, match="ProposalResponsePayloads do not match"):
        await channel.client("ann").submit("draw")
    assert channel.state.keys(channel.height) == []


@pytest.mark.parametrize("module", ["time", "random", "os", "socket", "threading"])
def test_e2_a_contract_that_imports_what_differs_is_not_loaded(tmp_path: Path, module: str) -> None:
    path = tmp_path / "contract.py"
    source = "from cloister.contract import Contract\nclass Some(Contract):\n    async def do(self, ctx) -> str: ...\n"
    path.write_text(source)
    assert ConfidentialChannel(path).height
    path.write_text(f"import {module}\n{source}")
    with pytest.raises(UsageError, match=f"must not import {module}"):
        ConfidentialChannel(path)


async def test_e3_enclaves_killed_between_endorsement_and_commit_double_nothing(channel: ConfidentialChannel) -> None:
    """Killed before the reply, between reply and commit, and between commit and open: the outcome opens later."""
    ann, kept = channel.client("ann"), list[PendingOutcome]()
    contract = await ann.contract()

    def kill() -> None:
        for host in channel.hosts:
            host.restart(channel.new_enclave())

    def killed_while_pending(pending: PendingOutcome) -> None:
        kept.append(pending)
        kill()

    await contract.submit("put", "x", "1", on_pending=killed_while_pending)
    kill()
    assert (await ann.open(kept[0])).outcome.payload == b""
    (key,) = channel.state.keys(channel.height)
    assert len(channel.state.history(key)) == 1
    assert (await contract.submit("put", "x", "2")).payload == b"1"


async def test_e3_whoever_lost_the_answer_submits_anew_under_another_id(channel: ConfidentialChannel) -> None:
    ann = channel.client("ann")

    class Losing(Behaviour):
        def endorsed(self, proposal: object, payload: bytes) -> bytes:
            raise CloisterError("lost")

    channel.behaviour = Losing()
    with pytest.raises(CloisterError, match="lost"):
        await ann.submit("put", "x", "1")
    cease(channel)
    await ann.submit("put", "x", "1")
    (key,) = channel.state.keys(channel.height)
    assert len(channel.state.history(key)) == 1


@pytest.mark.parametrize("switch", [item for item in Attack if item.row == "E4"])
def test_e4_a_ledger_enclave_that_is_silent_or_behind(report: Report, switch: Attack) -> None:
    came_to(report, switch)


async def test_e4_it_says_so_at_once_and_goes_on_once_it_has_caught_up(channel: ConfidentialChannel) -> None:
    ann = channel.client("ann")
    await ann.submit("put", "x", "1")
    adversary = attack(channel, Attack.LEDGER_BEHIND)
    with pytest.raises(CloisterError, match="ledger-behind"):
        await ann.submit("put", "x", "2")
    adversary.after = 10**9
    channel.ledger.follow(channel.forged.blocks[-1:])
    assert await ann.evaluate("get", "x") == b"2"
