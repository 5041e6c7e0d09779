"""Repairs inside the enclave: what is offered for a marked key is taken if, and only if, it was last covered."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import pytest

from cloister.fabric.proposal import NONCE_BYTES, compute_transaction_id
from cloister.trusted.chaincode.repair import REPAIR
from cloister.trusted.protocol.questions import MarksAnswer
from cloister.trusted.protocol.reads import ReadList, decode_read_list
from cloister.trusted.protocol.request import Request, seal_request
from cloister.wire.messages import Refusal, Result
from support.enclaves import OpenedResult, Session, new_session

ROGUE = "ab" * 32


@pytest.fixture
def session() -> Session:
    return new_session("kv")


def written(session: Session, key: str, value: str) -> tuple[str, bytes]:
    """Stored key and value of an honest write."""
    return session.call("put_state", key, value).result.puts[0]


def run(session: Session, *arguments: str | bytes) -> tuple[bytes, Result | Refusal, bytes]:
    """(signed proposal, what the enclave answers, response key) of a repair."""
    nonce, response_key = os.urandom(NONCE_BYTES), os.urandom(32)
    encoded = tuple(item.encode() if isinstance(item, str) else item for item in arguments)
    caller = session.caller
    sealed = seal_request(
        Request(REPAIR, encoded, response_key),
        session.descriptor,
        transaction_id=compute_transaction_id(nonce, caller.creator),
        creator=caller.creator,
    )
    signed = caller.signed_proposal(sealed, nonce=nonce)
    return signed, session.world.run(session.enclave, signed), response_key


def repaired(session: Session, *arguments: str | bytes) -> OpenedResult:
    """Run, verify, commit, open."""
    signed, result, response_key = run(session, *arguments)
    assert isinstance(result, Result), result
    sealed, statement = session.verify(result)
    outcome = session.open_endorsed(sealed, statement, response_key)
    if outcome.status == 200:
        session.chain.commit(signed, result)
    return OpenedResult(outcome, statement, result, sealed)


def test_the_last_covered_value_is_put_back_under_a_new_seal(session: Session) -> None:
    key, sealed = written(session, "k", "good")
    session.chain.rogue({key: b"rogue"}, ROGUE)
    session.chain.rogue({key: None}, ROGUE)
    done = repaired(session, key, sealed, b"")
    assert json.loads(done.outcome.payload) == {"deleted": 0, "not_marked": 0, "parameters": 0, "restored": 1}
    assert dict(done.result.puts)[key] != sealed
    assert decode_read_list(done.sealed.reads) == ReadList((), (), (), (key,), ())
    assert session.call("get_state", "k").outcome.payload == b"good"


def test_a_key_that_was_never_covered_is_deleted(session: Session) -> None:
    session.chain.rogue({"planted": b"value"}, ROGUE)
    done = repaired(session, "planted", b"", b"")
    assert done.result.deletes == ("planted",)
    assert "planted" not in session.chain.state


@pytest.mark.parametrize("offered", ["older", "of another key", "the rogue's own", "garbage", "nothing"])
def test_a7_anything_else_than_the_last_covered_value_is_refused(session: Session, offered: str) -> None:
    key, older = written(session, "k", "older")
    key, newest = written(session, "k", "newest")
    _, elsewhere = written(session, "other", "newest")
    session.chain.rogue({key: older}, ROGUE)
    value = {"older": older, "of another key": elsewhere, "the rogue's own": older, "garbage": b"x", "nothing": b""}
    refused = repaired(session, key, value[offered], b"")
    assert refused.outcome.status == 500
    assert "not what was last covered" in refused.outcome.message
    assert not refused.result.puts
    assert not refused.result.deletes
    assert repaired(session, key, newest, b"").outcome.status == 200
    assert session.call("get_state", "k").outcome.payload == b"newest"


def test_a6_a_value_whose_hash_a_ledger_enclave_took_for_another_key_does_not_open(session: Session) -> None:
    """It cannot happen; and if it did, the seal is bound to its key."""
    key, _ = written(session, "k", "mine")
    other, elsewhere = written(session, "other", "theirs")
    session.chain.rogue({key: b"rogue"}, ROGUE)
    session.chain.rogue({other: b"rogue"}, ROGUE)
    session.chain.covered[key] = session.chain.covered[other]
    assert run(session, key, elsewhere, b"")[1] == Refusal("integrity", "")


def test_what_is_not_marked_is_not_touched(session: Session) -> None:
    key, sealed = written(session, "k", "good")
    assert repaired(session, key, sealed, b"").outcome.status == 500
    session.chain.rogue({"planted": b"value"}, ROGUE)
    done = repaired(session, key, sealed, b"", "planted", b"", b"")
    assert json.loads(done.outcome.payload)["not_marked"] == 1
    assert not done.result.puts
    assert session.call("get_state", "k").outcome.payload == b"good"


def test_parameters_are_put_back_or_emptied(session: Session) -> None:
    """The double tells of no marked parameters, so its answers are bent."""
    key, _ = written(session, "k", "good")

    def bend(question: object, answer: Any) -> Any:
        return replace(answer, parameter_marked=1) if isinstance(answer, MarksAnswer) else answer

    session.ledger.tamper = bend
    assert repaired(session, key, b"", b"policy").outcome.status == 500
    done = repaired(session, key, b"", b"")
    assert done.result.parameters == ((key, b""),)
    assert decode_read_list(done.sealed.reads) == ReadList((), (), (), (), (key,))


def test_b2_who_may_not_write_may_not_repair(session: Session) -> None:
    key, sealed = written(session, "k", "good")
    session.chain.rogue({key: b"rogue"}, ROGUE)
    session.chain.revoked.add(session.caller.creator)
    session.chain.config_block += 1
    assert run(session, key, sealed, b"")[1] == Refusal("creator", "")
    session.chain.revoked.clear()
    session.chain.config_block += 1
    assert repaired(session, key, sealed, b"").outcome.status == 200


@pytest.mark.parametrize("arguments", [[], ["k"], ["k", b"", b"", "k", b"", b""], ["", b"", b""]])
def test_e1_malformed_arguments_write_nothing(session: Session, arguments: list[str | bytes]) -> None:
    assert repaired(session, *arguments).outcome.status == 500
