"""The poll in an enclave: one ballot each, no tally before the close, every voter's ballot in the tally."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from support.enclaves import Caller, Session, new_session

CHOICES = '["yes", "no"]'


@pytest.fixture
def owner() -> Session:
    session = new_session("voting")
    answer(session, "create", "p", CHOICES)
    return session


def voter(owner: Session, name: str) -> Session:
    """The same enclave and channel, another caller."""
    return replace(owner, caller=Caller("Org2MSP", name))


def answer(session: Session, function: str, *arguments: str) -> str:
    outcome = session.call(function, *arguments).outcome
    assert outcome.status == 200, outcome.message
    return outcome.payload.decode()


def error(session: Session, function: str, *arguments: str) -> str:
    outcome = session.call(function, *arguments).outcome
    assert outcome.status == 500
    return outcome.message


def test_every_ballot_is_in_the_tally_and_its_voter_finds_it(owner: Session) -> None:
    voters = [voter(owner, name) for name in ("Ann", "Bob", "Cid")]
    receipts = [answer(item, "vote", "p", choice) for item, choice in zip(voters, ("yes", "no", "yes"), strict=True)]
    answer(owner, "close", "p")
    assert json.loads(answer(owner, "tally", "p")) == {"yes": 2, "no": 1}
    assert [answer(item, "check", "p", receipt) for item, receipt in zip(voters, receipts, strict=True)] == [
        "yes",
        "no",
        "yes",
    ]
    assert "no ballot of yours" in error(voters[0], "check", "p", receipts[1])


def test_nobody_votes_twice_or_after_the_close_or_for_something_else(owner: Session) -> None:
    ann = voter(owner, "Ann")
    answer(ann, "vote", "p", "yes")
    assert "voted already" in error(ann, "vote", "p", "no")
    assert "no such choice" in error(voter(owner, "Bob"), "vote", "p", "maybe")
    answer(owner, "close", "p")
    assert "no such poll is open" in error(voter(owner, "Bob"), "vote", "p", "yes")
    assert json.loads(answer(owner, "tally", "p")) == {"yes": 1, "no": 0}


def test_b3_there_is_no_tally_before_a_committed_close(owner: Session) -> None:
    """Close and tally run on one snapshot: the tally reads the committed state, where the poll is open."""
    answer(voter(owner, "Ann"), "vote", "p", "yes")
    signed, _, _ = owner.propose("close", "p")
    owner.world.run(owner.enclave, signed)  # endorsed, never submitted
    assert "not closed" in error(owner, "tally", "p")
    answer(owner, "close", "p")
    assert json.loads(answer(owner, "tally", "p")) == {"yes": 1, "no": 0}


def test_only_the_owner_closes_a_poll(owner: Session) -> None:
    assert "only the owner" in error(voter(owner, "Ann"), "close", "p")
    answer(owner, "close", "p")


def test_a_poll_needs_choices_and_a_name_of_its_own(owner: Session) -> None:
    assert "two or more" in error(owner, "create", "q", '["one"]')
    assert "such a poll already" in error(owner, "create", "p", CHOICES)
