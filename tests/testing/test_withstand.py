"""`assert_withstands` passes sound contracts, and catches what careless ones give away; a naive build falls to it."""

from __future__ import annotations

import pytest

from cloister.contract import Contract, TransactionContext, query, transaction
from cloister.errors import CloisterError, UsageError
from cloister.samples.auction import Auction
from cloister.testing import Attack, ConfidentialChannel, Verdict, assert_withstands, attack, attack_all, cease
from cloister.testing.switches import ADVERSARIES
from support.without import checked_reads as naive_build

LOW, HIGH = "1", "1000000000"
READS = tuple(item for item in Attack if item.row in {"A1", "A2", "A3", "A4", "A5", "A7", "A8", "P6"})


async def auction(channel: ConfidentialChannel, secret: str) -> bytes:
    ann, bob = channel.client("ann"), channel.client("bob", "Org2MSP")
    await ann.submit("init", "house")
    await ann.submit("create", "a")
    await ann.submit("submit", "a", "ann", "40")
    await ann.submit("submit", "a", "ann", secret)
    await bob.submit("submit", "a", "bob", "50")
    await bob.submit("close", "a")
    return await bob.submit("eval", "a")


async def test_a_sound_contract_withstands_what_is_done_to_its_state() -> None:
    """All switches at once: tests/adversary, and the example in docs/testing.md."""
    report = await assert_withstands(Auction, auction, secrets=(LOW, HIGH), attacks=READS)
    idle = {item.name for item in report.findings if item.verdict is Verdict.NOT_APPLICABLE}
    assert idle == {"MIXED_SNAPSHOT"}, "the auction reads nothing that it writes beside another key"
    assert "A5  ROW_LEFT_OUT" in str(report)


class Board(Auction):
    """Asked by a query, so that nothing but what is read protects: a transaction's reads are judged again at commit."""

    @query
    async def best(self, ctx: TransactionContext, auction: str) -> str:
        return await self.eval(ctx, auction)


async def board(channel: ConfidentialChannel, secret: str) -> bytes:
    await auction(channel, secret)
    return await channel.client("ann").evaluate("best", "a")


async def test_the_attacks_are_real_a_naive_build_falls_to_them() -> None:
    with naive_build():
        report = await attack_all(Board, board, attacks=READS)
    fallen = {item.name for item in report.failures}
    assert {"STALE_VALUE", "ABSENT_FOR_PRESENT", "ROW_LEFT_OUT"} <= fallen, str(report)
    assert not (await attack_all(Board, board, attacks=READS)).failures


class Pair(Contract):
    """Two keys that are read together and written one after the other."""

    async def put(self, ctx: TransactionContext, key: str, value: str) -> str:
        await ctx.get_stub().put_state(key, value)
        return "OK"

    @query
    async def both(self, ctx: TransactionContext) -> str:
        stub = ctx.get_stub()
        return f"{(await stub.get_state('x')).decode()}/{(await stub.get_state('y')).decode()}"


async def test_a2_a_mixed_snapshot_is_refused_and_believed_by_a_naive_build() -> None:
    async def swapped(channel: ConfidentialChannel, secret: str) -> bytes:
        ann = channel.client("ann")
        for key, value in (("y", "1"), ("y", secret), ("x", "2")):
            await ann.submit("put", key, value)
        return await ann.evaluate("both")

    wanted = (Attack.MIXED_SNAPSHOT,)
    report = await attack_all(Pair, swapped, secrets=("2", "3"), attacks=wanted)
    assert report.verdict(Attack.MIXED_SNAPSHOT) is Verdict.REFUSED, str(report)
    with naive_build():
        report = await attack_all(Pair, swapped, secrets=("2", "3"), attacks=wanted)
    assert report.verdict(Attack.MIXED_SNAPSHOT) is Verdict.ACCEPTED, str(report)


class SecretKey(Contract):
    """Careless: the amount is part of the key."""

    async def bid(self, ctx: TransactionContext, amount: str) -> str:
        await ctx.get_stub().put_state(f"bid/{amount}", "x")
        return "OK"


class SecretSize(Contract):
    """Careless: as many keys as the amount has digits."""

    async def bid(self, ctx: TransactionContext, amount: str) -> str:
        for position, digit in enumerate(amount):
            await ctx.get_stub().put_state(f"digit{position}", digit)
        return "OK"


class SecretEvent(Contract):
    """Careless: an event is public."""

    @transaction(reveal="at-endorsement")
    async def bid(self, ctx: TransactionContext, amount: str) -> str:
        ctx.get_stub().set_event("bid", amount.encode())
        await ctx.get_stub().put_state("bid", amount)
        return "OK"


class SecretBranch(Contract):
    """Careless: reads another key if the bid is high."""

    async def bid(self, ctx: TransactionContext, amount: int) -> str:
        if amount > 100:
            await ctx.get_stub().get_state("limit")
        await ctx.get_stub().put_state("bid", str(amount))
        return "OK"


async def bid(channel: ConfidentialChannel, secret: str) -> bytes:
    return await channel.client("ann").submit("bid", secret)


@pytest.mark.parametrize(
    ("contract", "told"),
    [
        (SecretKey, "writes .* under key"),
        (SecretSize, "writes|answers"),
        (SecretEvent, "sends the event"),
        (SecretBranch, "reads state of key"),
    ],
)
async def test_a_contract_whose_traces_tell_the_secret_is_caught(contract: type[Contract], told: str) -> None:
    with pytest.raises(AssertionError, match=f"D4 TRACES: LEAKED: .*({told})"):
        await assert_withstands(contract, bid, secrets=(LOW, HIGH), attacks=())


async def test_d1_a_secret_that_stands_readable_in_a_block_is_found() -> None:
    with pytest.raises(AssertionError, match="D1 PLAINTEXT: LEAKED: a secret stands readable in block 3"):
        await assert_withstands(SecretEvent, bid, secrets=(LOW, HIGH), attacks=())


class Early(Contract):
    """Careless: closing tells the highest bid at endorsement. Look, do not submit, bid a little more."""

    async def bid(self, ctx: TransactionContext, amount: str) -> str:
        await ctx.get_stub().put_state("bid", amount)
        return "OK"

    @transaction(reveal="at-endorsement")
    async def close(self, ctx: TransactionContext) -> str:
        amount = (await ctx.get_stub().get_state("bid")).decode()
        await ctx.get_stub().put_state("closed", "yes")
        return amount


class Late(Early):
    """The same, told once it is committed."""

    async def close(self, ctx: TransactionContext) -> str:
        return await Early.close(self, ctx)


async def closing(channel: ConfidentialChannel, secret: str) -> None:
    await channel.client("ann").submit("bid", secret)
    await channel.client("bob", "Org2MSP").submit("close")


async def test_b3_what_is_told_before_the_commit_is_caught() -> None:
    wanted = (Attack.NEVER_SUBMITTED, Attack.EVALUATED)
    with pytest.raises(AssertionError, match="B3 NEVER_SUBMITTED: LEAKED: close tells what depends on the secret"):
        await assert_withstands(Early, closing, attacks=wanted)
    await assert_withstands(Late, closing, attacks=wanted)


async def test_a_single_switch_is_turned_on_and_off() -> None:
    channel = ConfidentialChannel(Auction, patience_s=0.0)
    ann = channel.client("ann")
    await ann.submit("init", "house")
    adversary = attack(channel, Attack.ABSENT_FOR_PRESENT)
    with pytest.raises(CloisterError, match="enclave refused"):
        await ann.submit("create", "a")
    assert adversary.struck
    cease(channel)
    assert await ann.submit("create", "a") == b"OK"


def test_every_attack_has_a_switch() -> None:
    assert set(ADVERSARIES) == set(Attack)


async def test_secrets_must_differ_and_scenarios_must_repeat_themselves() -> None:
    with pytest.raises(UsageError, match="two or more different"):
        await attack_all(Auction, auction, secrets=(LOW, LOW))
    count = iter(range(100))

    async def forgetful(channel: ConfidentialChannel, secret: str) -> int:
        return next(count)

    with pytest.raises(UsageError, match="two honest runs"):
        await attack_all(Auction, forgetful)
