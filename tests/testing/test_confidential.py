"""The channel in this process, as authors of contracts use it: what honest members see is what real ones would see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from cloister.client.errors import ConfidentialCallFailed
from cloister.client.results import PendingOutcome
from cloister.contract import Contract, TransactionContext, query, transaction
from cloister.errors import CommitRefused, UsageError
from cloister.samples.auction import Auction
from cloister.testing import ConfidentialChannel
from support.counter import Counter
from support.enclaves import SAMPLES

NewChannel = Callable[..., ConfidentialChannel]


async def test_an_auction_from_a_class_and_from_a_file(confidential_channel: NewChannel) -> None:
    for source in (Auction, SAMPLES / "auction.py", f"{SAMPLES / 'auction.py'}:Auction"):
        channel = confidential_channel(source)
        ann, bob = channel.client("ann"), channel.client("bob", "Org2MSP")
        assert await ann.submit("init", "house") == b"OK"
        await ann.submit("create", "a")
        await ann.submit("submit", "a", "ann", "5")
        await bob.submit("submit", "a", "bob", "7")
        await ann.submit("close", "a")
        assert await bob.submit("eval", "a") == b'{"bidder": "bob", "value": 7}'


async def test_errors_are_the_contracts_and_write_nothing(confidential_channel: NewChannel) -> None:
    channel = confidential_channel(Auction)
    with pytest.raises(ConfidentialCallFailed, match="not initialised"):
        await channel.client().submit("create", "a")
    assert channel.state.keys(channel.height) == []


async def test_concurrent_changes_of_one_key_conflict_and_nothing_is_lost(confidential_channel: NewChannel) -> None:
    channel = confidential_channel(Counter)
    clients = [channel.client(f"user{number}", f"Org{number % 2 + 1}MSP") for number in range(6)]
    for host in channel.hosts:
        host.interleave = True

    async def increment(index: int) -> int:
        try:
            return int(await clients[index].submit("increment", "n"))
        except CommitRefused as refused:
            return 0 if refused.validation_code == "MVCC_READ_CONFLICT" else -1

    done = await asyncio.gather(*map(increment, range(6)))
    assert 0 < sum(1 for value in done if value) < 6
    assert await clients[0].evaluate("value", "n") == str(max(done)).encode()


class Odds(Contract):
    """What samples do not have: transient data, an event, clear keys, pages, endorsement parameters."""

    clear_key_spaces = ("lot/",)

    @transaction(reveal="at-endorsement")
    async def announce(self, ctx: TransactionContext, name: str) -> str:
        stub = ctx.get_stub()
        await stub.put_state(f"lot/{name}", stub.get_transient()["secret"])
        stub.set_event("announced", name.encode())
        return "OK"

    @query
    async def lots(self, ctx: TransactionContext) -> list[str]:
        rows = await ctx.get_stub().get_state_by_range("lot/", "lot/z")
        return [row.key + "=" + row.value.decode() async for row in rows]


async def test_events_transient_data_and_ranges_of_clear_keys(confidential_channel: NewChannel) -> None:
    channel = confidential_channel(Odds)
    ann = channel.client("ann")
    for name in ("b", "a"):
        await ann.submit("announce", name, transient={"secret": f"hidden-{name}".encode()})
    assert await ann.evaluate("lots") == b'["lot/a=hidden-a", "lot/b=hidden-b"]'
    assert channel.state.keys(channel.height) == ["=lot/a", "=lot/b"]


async def test_an_outcome_is_opened_later_by_whoever_kept_what_opens_it(confidential_channel: NewChannel) -> None:
    channel = confidential_channel(Counter)
    ann, kept = channel.client("ann"), list[PendingOutcome]()
    await (await ann.contract()).submit("increment", "n", on_pending=kept.append)
    assert (await channel.client("bob", "Org2MSP").open(kept[0])).outcome.payload == b"1"


async def test_two_channels_of_one_seed_touch_equal_keys(confidential_channel: NewChannel) -> None:
    first = confidential_channel(Counter, seed=b"seed")
    second = confidential_channel(Counter, seed=b"seed", template=first.forged_at_genesis())
    for channel in (first, second):
        await channel.client().submit("increment", "n")
    assert first.state.keys(first.height) == second.state.keys(second.height)
    other = confidential_channel(Counter)
    await other.client().submit("increment", "n")
    assert first.state.keys(first.height) != other.state.keys(other.height)


def test_there_are_two_organisations(confidential_channel: NewChannel) -> None:
    with pytest.raises(UsageError, match="expected one of Org1MSP, Org2MSP"):
        confidential_channel(Counter).client("ann", "Org9MSP")
