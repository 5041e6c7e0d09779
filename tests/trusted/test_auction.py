"""The auction in an enclave: the well-known functions and responses."""

from __future__ import annotations

import json

import pytest

from support.enclaves import Session, new_session


@pytest.fixture
def session() -> Session:
    session = new_session()
    session.call("init", "house")
    return session


def answer(session: Session, function: str, *arguments: str) -> str:
    outcome = session.call(function, *arguments).outcome
    assert outcome.status == 200, outcome.message
    return outcome.payload.decode()


def test_every_function_fails_before_init() -> None:
    session = new_session()
    for function, arguments in (
        ("create", ["a"]),
        ("submit", ["a", "x", "1"]),
        ("close", ["a"]),
        ("eval", ["a"]),
    ):
        assert session.call(function, *arguments).outcome.status == 500


def test_responses_follow_the_life_of_an_auction(session: Session) -> None:
    assert answer(session, "submit", "a", "ann", "1") == "AUCTION_NOT_EXISTING"
    assert answer(session, "close", "a") == "AUCTION_NOT_EXISTING"
    assert answer(session, "eval", "a") == "AUCTION_NOT_EXISTING"
    assert answer(session, "create", "a") == "OK"
    assert answer(session, "create", "a") == "AUCTION_ALREADY_EXISTING"
    assert answer(session, "eval", "a") == "AUCTION_STILL_OPEN"
    assert answer(session, "submit", "a", "ann", "10") == "OK"
    assert answer(session, "submit", "a", "bob", "12") == "OK"
    assert answer(session, "close", "a") == "OK"
    assert answer(session, "close", "a") == "AUCTION_ALREADY_CLOSED"
    assert answer(session, "submit", "a", "cid", "99") == "AUCTION_ALREADY_CLOSED"
    assert json.loads(answer(session, "eval", "a")) == {"bidder": "bob", "value": 12}


@pytest.mark.parametrize(
    ("bids", "expected"),
    [
        ([], "NO_BIDS"),
        ([("ann", 5), ("bob", 5)], "DRAW"),
        ([("ann", 5), ("bob", 5), ("cid", 6)], {"bidder": "cid", "value": 6}),
        ([("ann", 9), ("ann", 3), ("bob", 4)], {"bidder": "bob", "value": 4}),
        ([("ann", 0)], {"bidder": "ann", "value": 0}),
    ],
)
def test_winner_no_bids_draw_and_replaced_bid(
    session: Session, bids: list[tuple[str, int]], expected: str | dict[str, object]
) -> None:
    answer(session, "create", "a")
    for bidder, value in bids:
        answer(session, "submit", "a", bidder, str(value))
    answer(session, "close", "a")
    found = answer(session, "eval", "a")
    assert (json.loads(found) if isinstance(expected, dict) else found) == expected


def test_bids_of_different_bidders_do_not_conflict(session: Session) -> None:
    answer(session, "create", "a")
    writes = [{key for key, _ in session.call("submit", "a", bidder, "1").result.puts} for bidder in ("ann", "bob")]
    assert not writes[0] & writes[1]


def test_bids_of_1_and_of_a_billion_look_alike_from_outside(session: Session) -> None:
    answer(session, "create", "a")
    small, large = session.call("submit", "a", "ann", "1"), session.call("submit", "a", "bob", "1000000000")
    assert [len(value) for _, value in small.result.puts] == [len(value) for _, value in large.result.puts]
    assert len(small.result.payload) == len(large.result.payload)


def test_error_and_success_look_alike_from_outside(session: Session) -> None:
    success, failure = session.call("create", "a"), session.call("submit", "a", "ann", "-1")
    assert (success.outcome.status, failure.outcome.status) == (200, 500)
    assert len(success.result.payload) == len(failure.result.payload)
    assert failure.result.puts == ()
