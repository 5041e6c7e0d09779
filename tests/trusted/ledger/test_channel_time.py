"""The channel's time: no single organisation moves it, it never goes back, and only valid transactions count."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.testing.channel import CHAINCODE, Channel, follow, make_authority, new_answers_for
from cloister.testing.configs import members, organization
from cloister.testing.forge import Bend
from cloister.testing.signers import Wanted
from cloister.trusted.ledger.channel_time import MAX_SECONDS, ChannelTime


def told(seconds: int) -> Bend:
    def change(header: Any) -> None:
        header.timestamp.seconds = seconds

    return change


def now(channel: Channel) -> int:
    answers = new_answers_for(channel)
    follow(answers, *channel.blocks[1:])
    return answers.head(CHAINCODE).time_s


def put(channel: Channel, seconds: int, client: int = 0, **more: Any) -> bytes:
    return channel.put(
        ("k", b"v"), chaincode="plain", client=channel.clients[client], header=told(seconds), **more
    ).build()


@pytest.fixture
def channel() -> Channel:
    """Both organisations have committed something in second 100, the definitions are of that time too."""
    channel = Channel()
    channel.add(
        *[
            channel.define(1, "1.0", name).but(header=told(100), client=client).build()
            for name, client in (("plain", channel.clients[0]), ("other", channel.clients[1]))
        ]
    )
    return channel


def test_the_time_is_the_lesser_of_two_and_the_middle_of_three(channel: Channel) -> None:
    assert now(channel) == 100
    channel.add(put(channel, 300))
    assert now(channel) == 100
    channel.add(put(channel, 200, client=1))
    assert now(channel) == 200
    third = make_authority("Org3MSP")
    channel.reconfigure(["Application"], members(Org3MSP=organization(third)))
    channel.clients.append(third.issue(Wanted("user", ("client",))))
    channel.add(put(channel, 250, client=2))
    assert now(channel) == 250


def test_one_organisation_alone_cannot_commit_the_year_2100(channel: Channel) -> None:
    channel.add(put(channel, 4_102_444_800))
    assert now(channel) == 100


def test_time_does_not_go_back_and_invalid_transactions_tell_none(channel: Channel) -> None:
    channel.add(put(channel, 300), put(channel, 300, client=1))
    channel.add(put(channel, 200), put(channel, 200, client=1))
    channel.add(put(channel, 999, endorsers=[]), put(channel, 999, client=1, endorsers=[]))
    assert now(channel) == 300


@pytest.mark.parametrize("seconds", [0, -1, MAX_SECONDS, 2**62])
def test_impossible_times_are_ignored(channel: Channel, seconds: int) -> None:
    channel.add(put(channel, seconds), put(channel, seconds, client=1))
    assert now(channel) == 100


def test_ordering_organisations_and_those_that_left_do_not_count() -> None:
    time = ChannelTime()
    time.latest = {"Org1MSP": 10, "Org2MSP": 20, "Org3MSP": 30, "OrdererMSP": 99}
    assert time.now_s({"Org1MSP", "Org2MSP", "Org3MSP"}) == 20
    assert time.now_s({"Org1MSP", "Org3MSP"}) == 10
    assert time.now_s({"Org9MSP"}) == time.now_s(set()) == 0


@given(st.lists(st.integers(1, MAX_SECONDS - 1), min_size=1, max_size=7), st.integers(1, MAX_SECONDS - 1), st.data())
def test_one_liar_among_three_or_more_moves_the_time_only_between_honest_ones(
    honest: list[int], lie: int, data: st.DataObject
) -> None:
    time = ChannelTime()
    time.latest = {f"Org{index}": seconds for index, seconds in enumerate(honest)}
    time.latest["liar"] = lie
    found = time.now_s(set(time.latest))
    assert found <= max(honest)
    if len(honest) > 1:
        assert min(honest) <= found
