"""Contracts and scenarios that give each attack something to attack, and what must come of it."""

from __future__ import annotations

from cloister.contract import Contract, TransactionContext, TransactionError, query, transaction
from cloister.testing import Attack, ConfidentialChannel, Report, Verdict, cease
from cloister.testing.rogue_transactions import ReadsStripped

SECRETS = ("1000001", "9999999")


class Board(Contract):
    """Values, rows, a public switch: enough to attack whatever can be attacked."""

    async def put(self, ctx: TransactionContext, key: str, value: str) -> str:
        """The value before."""
        stub = ctx.get_stub()
        before = await stub.get_state(key)
        await stub.put_state(key, value)
        return before.decode()

    async def drop(self, ctx: TransactionContext, key: str) -> str:
        await ctx.get_stub().delete_state(key)
        return "OK"

    async def move(self, ctx: TransactionContext, source: str, target: str) -> str:
        """Reads both, writes both."""
        stub = ctx.get_stub()
        values = [await stub.get_state(key) for key in (source, target)]
        if not values[0]:
            raise TransactionError("nothing to move")
        await stub.put_state(source, values[1] or b"none")
        await stub.put_state(target, values[0])
        return "OK"

    async def bid(self, ctx: TransactionContext, bidder: str, value: str) -> str:
        stub = ctx.get_stub()
        await stub.put_state(stub.create_composite_key("bid", [bidder]), value)
        return "OK"

    @query
    async def get(self, ctx: TransactionContext, key: str) -> str:
        return (await ctx.get_stub().get_state(key)).decode()

    @query
    async def both(self, ctx: TransactionContext, one: str, other: str) -> str:
        stub = ctx.get_stub()
        return "/".join([(await stub.get_state(key)).decode() for key in (one, other)])

    @query
    async def bids(self, ctx: TransactionContext) -> str:
        rows = await ctx.get_stub().get_state_by_partial_composite_key("bid", [])
        return ",".join([row.value.decode() async for row in rows])

    @transaction(reveal="at-endorsement")
    async def say(self, ctx: TransactionContext, word: str) -> str:
        await ctx.get_stub().put_state("word", word)
        return word.upper()


async def everything(channel: ConfidentialChannel, secret: str) -> list[bytes]:
    """Values written over, deleted, moved, rows, an answer told at once."""
    ann, bob = channel.client("ann"), channel.client("bob", "Org2MSP")
    await ann.submit("put", "y", "old")
    await ann.submit("put", "y", secret)
    await bob.submit("put", "x", "first")
    await bob.submit("put", "gone", secret)
    await ann.submit("drop", "gone")
    for bidder, value in (("ann", secret), ("bob", "5"), ("cid", "7"), ("bob", "6")):
        await bob.submit("bid", bidder, value)
    await ann.submit("move", "x", "y")
    await bob.submit("say", "hello")
    told = [await member.evaluate("both", "x", "y") for member in (ann, bob)]
    return [*told, await ann.evaluate("bids"), await bob.evaluate("get", "gone")]


async def move_twice_on_one_snapshot(channel: ConfidentialChannel) -> None:
    """Both run before either is committed; the second one's reads are stripped, so that peers call it valid."""
    ann, bob = channel.client("ann"), channel.client("bob", "Org2MSP")
    await ann.submit("put", "x", "1")
    await ann.submit("put", "y", "2")
    await bob.contract()
    before = channel.height
    await ann.submit("move", "x", "y")

    class Stripped(ReadsStripped):
        """On the snapshot of before the other transfer."""

        def snapshot(self, height: int) -> int:
            return before

    adversary = Stripped()
    adversary.channel = channel
    channel.behaviour = adversary
    try:
        await bob.submit("move", "y", "x")
    finally:
        cease(channel)


def came_to(report: Report, attack: Attack, expected: Verdict = Verdict.REFUSED) -> None:
    """The attack has this outcome; nothing that it is told tells the secret. The honest twin ran first, twice."""
    assert report.verdict(attack) is expected, str(report)
    assert not any(secret in finding.detail for finding in report.findings for secret in SECRETS)
