"""Pages of a range: a bookmark is its caller's word, or the peer's, and leads nowhere outside the range."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from cloister.trusted.chaincode.contract_image import load_contract_image
from cloister.wire.messages import GetRange, Refusal, Result, RowsAnswer, ValueAnswer
from support import pager
from support.enclaves import Session, World, session_of


@pytest.fixture
def session() -> Session:
    session = session_of(load_contract_image(pager.__file__))
    for key in ("master key", "note/ann/1", "note/ann/2", "note/bob/1", "note/bob/2", "note/bob/3", "note/cid/1"):
        session.call("write", key, f"value of {key}")
    return session


def notes(session: Session, bookmark: str, size: str = "2") -> Any:
    outcome = session.call("notes", "bob", size, bookmark).outcome
    return json.loads(outcome.payload) if outcome.status == 200 else outcome.message


def test_pages_follow_each_other_to_the_end(session: Session) -> None:
    first = notes(session, "")
    assert first["notes"] == ["value of note/bob/1", "value of note/bob/2"]
    assert notes(session, first["bookmark"]) == {"notes": ["value of note/bob/3"], "bookmark": ""}


@pytest.mark.parametrize("bookmark", ["0", "\x00", "=", "=note/", "=note/ann/1", "=note/cid/1", "=note/bob", "x"])
def test_a5_a_bookmark_outside_the_range_gives_nothing(session: Session, bookmark: str) -> None:
    """A peer takes it for the beginning: it would show other owners' notes and, in front of them, sealed key spaces."""
    assert notes(session, bookmark, "1000") == "page: the bookmark lies outside the range"


@pytest.mark.parametrize("argument", ["bookmark", "owner"])
def test_e1_half_a_surrogate_pair_is_the_callers_error(session: Session, argument: str) -> None:
    """It has no encoding: sent to the host as it is it would end the enclave."""
    half = json.dumps(["\ud800"])
    arguments = {"owner": '["bob"]', "bookmark": '[""]', argument: half}
    outcome = session.call("odd_notes", arguments["owner"], arguments["bookmark"]).outcome
    assert (outcome.status, outcome.message) == (500, "key: not valid Unicode")


class Host(World):
    """Its peer names another bookmark than the next row's."""

    def __init__(self, honest: World, bookmark: str) -> None:
        super().__init__(honest.chain)
        self.ledger = honest.ledger
        self._bookmark = bookmark

    def peer(self, question: Any, sealed: bytes) -> ValueAnswer | RowsAnswer:
        answer = super().peer(question, sealed)
        assert isinstance(question, GetRange)
        assert isinstance(answer, RowsAnswer)
        return dataclasses.replace(answer, bookmark=self._bookmark)


@pytest.mark.parametrize("bookmark", ["=note/bob/1", "=note/bob/2", "=note/bob/\U0010ffff", "=note/c", "0"])
def test_a5_a_page_that_ends_where_no_page_can_is_refused(session: Session, bookmark: str) -> None:
    signed, _, _ = session.propose("notes", "bob", "2", "")
    assert isinstance(session.world.run(session.enclave, signed), Result)
    reply = Host(session.world, bookmark).run(session.enclave, signed)
    assert isinstance(reply, Refusal)
