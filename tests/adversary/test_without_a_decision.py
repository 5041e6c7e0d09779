"""Every attack here succeeds on a build that lacks the one decision which answers it: so the attacks are real, and the
tests beside would fail without the decision. The same attack on the whole build comes to nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from cloister.contract import Contract, TransactionContext
from cloister.errors import CloisterError
from cloister.testing import Attack, ConfidentialChannel, Verdict, attack_all
from cloister.testing.withstand import Scenario
from cloister.wire.messages import Refusal, Result
from support import without

from .scenes import SECRETS, Board, everything, move_twice_on_one_snapshot

Build = Callable[[], AbstractContextManager[None]]


class Box(Contract):
    """Whoever puts something in is told what was in it."""

    async def swap(self, ctx: TransactionContext, value: str) -> str:
        before = await ctx.get_stub().get_state("box")
        await ctx.get_stub().put_state("box", value)
        return before.decode()


async def swaps(channel: ConfidentialChannel, secret: str) -> None:
    await channel.client("ann").submit("swap", secret)
    await channel.client("bob", "Org2MSP").submit("swap", "other")


@pytest.mark.parametrize(
    ("switch", "build", "contract", "scenario", "expected"),
    [
        (Attack.STALE_VALUE, without.checked_reads, Board, everything, Verdict.ACCEPTED),
        (Attack.VALUE_PUT_BACK, without.coverage_marks, Board, everything, Verdict.ACCEPTED),
        (Attack.VALUE_DELETED, without.tombstones, Board, everything, Verdict.ACCEPTED),
        (Attack.TWO_REQUESTS_ONE_ID, without.open_from_the_block, Board, everything, Verdict.LEAKED),
        (Attack.EQUAL_REQUESTS, without.reads_in_the_nonce, Board, everything, Verdict.LEAKED),
        (Attack.NEVER_SUBMITTED, without.reveal_on_commit, Box, swaps, Verdict.LEAKED),
        (Attack.EVALUATED, without.reveal_on_commit, Box, swaps, Verdict.LEAKED),
    ],
    ids=lambda value: getattr(value, "__name__", getattr(value, "name", "")),
)
async def test_the_attack_succeeds_without_the_decision_alone(
    switch: Attack, build: Build, contract: type[Contract], scenario: Scenario, expected: Verdict
) -> None:
    with build():
        fallen = await attack_all(contract, scenario, secrets=SECRETS, attacks=(switch,))
    assert fallen.verdict(switch) is expected, str(fallen)
    whole = await attack_all(contract, scenario, secrets=SECRETS, attacks=(switch,))
    assert whole.verdict(switch) in (Verdict.REFUSED, Verdict.NO_EFFECT), str(whole)


async def test_p1_a_signed_double_spend_is_believed_where_signed_reads_need_not_hold() -> None:
    """The twin on the whole build: test_p_colluding_members.py."""
    channel = ConfidentialChannel(Board, patience_s=0.0)
    with without.signed_reads():
        await move_twice_on_one_snapshot(channel)
        assert await channel.client("ann").evaluate("both", "x", "y") == b"2/1"


async def test_p4_success_and_error_differ_where_an_error_is_one_of_the_proposal() -> None:
    async def seen() -> list[type]:
        channel = ConfidentialChannel(Board, patience_s=0.0)
        ann = channel.client("ann")
        await ann.submit("put", "a", "x")
        for source in ("a", "nothing"):
            try:
                await ann.submit("move", source, "b")
            except CloisterError:
                continue
        return [type(item.outcome) for item in channel.hosts[0].executions[-2:]]

    with without.one_status_for_all():
        assert await seen() == [Result, Refusal]
    assert await seen() == [Result, Result]
