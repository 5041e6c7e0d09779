"""Attacks on requests, state and results of one enclave; each with the honest run that passes."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cloister.trusted.chaincode.contract_image import load_contract_image
from cloister.wire.messages import (
    Abandon,
    GetParameter,
    GetRange,
    GetState,
    Invoke,
    Refusal,
    Result,
    RowsAnswer,
    ValueAnswer,
)
from support.enclaves import Caller, Session, World, new_session, session_of, status_of


@pytest.fixture
def session() -> Session:
    session = new_session()
    session.call("init", "house")
    session.call("create", "a")
    return session


def run(session: Session, signed: bytes) -> Result | Refusal:
    return session.world.run(session.enclave, signed)


# --- requests ---------------------------------------------------------------------------------------------------------


def test_b1_a_request_replayed_under_another_transaction_id_is_refused(session: Session) -> None:
    signed, sealed, _ = session.propose("submit", "a", "ann", "1")
    replayed = session.caller.signed_proposal(sealed, nonce=os.urandom(24))
    assert run(session, replayed) == Refusal("sealed", "")
    assert isinstance(run(session, signed), Result)


def test_b1_a_request_replayed_by_another_client_is_refused(session: Session) -> None:
    _, sealed, _ = session.propose("submit", "a", "ann", "1", nonce=bytes(24))
    thief = Caller(name="Mallory")
    assert run(session, thief.signed_proposal(sealed, nonce=bytes(24))) == Refusal("sealed", "")


def test_b1_the_same_request_again_gives_the_same_bytes(session: Session) -> None:
    signed, _, _ = session.propose("submit", "a", "ann", "1")
    assert run(session, signed) == run(session, signed)


def test_a_request_for_another_key_set_is_refused(session: Session) -> None:
    stranger = new_session()
    signed, _, _ = dataclasses.replace(session, descriptor=stranger.descriptor).propose("create", "b")
    assert run(session, signed) == Refusal("key-set", "")


def test_a_request_for_another_measurement_does_not_open(session: Session) -> None:
    other = dataclasses.replace(session.descriptor, measurement=bytes(32))
    signed, _, _ = dataclasses.replace(session, descriptor=other).propose("create", "b")
    assert run(session, signed) == Refusal("sealed", "")


def test_a_request_that_is_no_request_is_refused(session: Session) -> None:
    assert run(session, session.caller.signed_proposal(b"create", nonce=os.urandom(24))) == Refusal("malformed", "")


# --- state ------------------------------------------------------------------------------------------------------------


class LyingWorld(World):
    """A world whose peer's answers pass through a function of the test's."""

    def __init__(self, honest: World, lie: Callable[[object, object], object]) -> None:
        super().__init__(honest.chain)
        self.ledger = honest.ledger
        self._lie = lie

    def peer(self, question: GetState | GetParameter | GetRange, sealed: bytes) -> ValueAnswer | RowsAnswer:
        changed = self._lie(question, super().peer(question, sealed))
        assert isinstance(changed, ValueAnswer | RowsAnswer)
        return changed


def lied(session: Session, lie: Callable[[object, object], object], function: str, *arguments: str) -> Result | Refusal:
    signed, _, _ = session.propose(function, *arguments)
    return LyingWorld(session.world, lie).run(session.enclave, signed)


def refused(reply: Result | Refusal) -> None:
    """What the ledger enclave has never seen may also be newer than its last block: then the reason says so."""
    assert reply in (Refusal("integrity", ""), Refusal("ledger-behind", ""))


def test_a6_ciphertext_of_one_key_under_another_is_refused(session: Session) -> None:
    session.call("create", "b")
    values = list(session.world.state.values())

    def swap(question: object, answer: object) -> object:
        if isinstance(answer, ValueAnswer) and answer.value is not None:
            return replace(answer, value=next(value for value in values if value != answer.value))
        return answer

    assert lied(session, swap, "create", "a") == Refusal("integrity", "")


def test_a6_ciphertext_of_another_chaincode_is_refused(session: Session) -> None:
    other = new_session()
    other.call("init", "house")
    stolen = next(iter(other.world.state.values()))

    def steal(question: object, answer: object) -> object:
        return replace(answer, value=stolen) if isinstance(answer, ValueAnswer) and answer.value else answer

    refused(lied(session, steal, "create", "b"))


@pytest.mark.parametrize("position", [0, 5, 40, 70, 100, -1])
def test_a_flipped_bit_in_a_value_is_refused(session: Session, position: int) -> None:
    def flip(question: object, answer: object) -> object:
        if isinstance(answer, ValueAnswer) and answer.value:
            broken = bytearray(answer.value)
            broken[position] ^= 1
            return replace(answer, value=bytes(broken))
        return answer

    refused(lied(session, flip, "create", "b"))


@pytest.mark.parametrize("kind", ["reordered", "doubled", "out of bounds", "empty value", "swapped values"])
def test_a5_rows_that_no_range_can_have_are_refused(session: Session, kind: str) -> None:
    for bidder in ("ann", "bob", "cid"):
        session.call("submit", "a", bidder, "1")
    session.call("close", "a")

    def lie(question: object, answer: object) -> object:
        if not isinstance(answer, RowsAnswer):
            return answer
        rows = answer.rows
        changed = {
            "reordered": rows[::-1],
            "doubled": (rows[0], *rows),
            "out of bounds": (*rows, ("\U0010ffff", rows[0][1])),
            "empty value": ((rows[0][0], b""), *rows[1:]),
            "swapped values": ((rows[0][0], rows[1][1]), (rows[1][0], rows[0][1]), rows[2]),
        }[kind]
        return replace(answer, rows=changed)

    refused(lied(session, lie, "eval", "a"))
    assert session.call("eval", "a").outcome.payload == b"DRAW"


def test_an_answer_of_the_wrong_kind_is_refused(session: Session) -> None:
    assert lied(session, lambda question, answer: RowsAnswer((), "", b""), "create", "b") == Refusal("integrity", "")


def test_a_refused_execution_is_forgotten(session: Session) -> None:
    signed, _, _ = session.propose("create", "b")
    question = session.enclave.handle(7, Invoke(signed))
    assert isinstance(question, GetState)
    sealed = session.ledger.reply(question.ledger)
    classified = session.enclave.handle(7, ValueAnswer(b"garbage", sealed))
    assert classified == Refusal("integrity", "")
    assert session.enclave.handle(7, ValueAnswer(None, b"")) is None


# --- results ----------------------------------------------------------------------------------------------------------


def test_p3_two_requests_under_one_transaction_id_show_no_equality(session: Session) -> None:
    """The same write, once by a guess and once by the real bid, under one nonce: ciphertexts must not match."""
    nonce = os.urandom(24)
    first = run(session, session.propose("submit", "a", "ann", "42", nonce=nonce)[0])
    second = run(session, session.propose("submit", "a", "ann", "42", nonce=nonce)[0])
    assert isinstance(first, Result)
    assert isinstance(second, Result)
    assert [key for key, _ in first.puts] == [key for key, _ in second.puts]
    assert first.puts != second.puts


def test_b6_the_same_request_on_two_snapshots_uses_two_key_streams() -> None:
    session = new_session()
    signed, _, _ = session.propose("init", "house")
    before = run(session, signed)
    session.call("init", "house")
    after = run(session, signed)
    assert isinstance(before, Result)
    assert isinstance(after, Result)
    assert before.puts[0][0] == after.puts[0][0]
    assert before.puts[0][1][-300:] != after.puts[0][1][-300:]


def test_p4_an_error_outcome_writes_nothing_and_looks_like_success(session: Session) -> None:
    failed = session.call("submit", "a", "ann", "-1")
    worked = session.call("submit", "a", "ann", "1")
    assert (failed.outcome.status, failed.result.puts, failed.result.deletes) == (500, (), ())
    assert len(failed.result.payload) == len(worked.result.payload)


def test_nothing_but_stored_names_leaves_before_the_result(session: Session) -> None:
    session.world.trace.clear()
    session.call("submit", "secret-auction-name", "secret-bidder", "123456789")
    for message in session.world.trace:
        text = repr(message)
        assert "secret" not in text
        assert "123456789" not in text
        assert "house" not in text


def test_plaintext_is_nowhere_in_a_result(session: Session) -> None:
    result = session.call("submit", "a", "ann-the-bidder", "123456789").result
    everything = b"".join([result.payload, *(key.encode() + value for key, value in result.puts)])
    for secret in (b"ann-the-bidder", b"123456789", b"submit", b"bid"):
        assert secret not in everything


# --- robustness -------------------------------------------------------------------------------------------------------


def test_e1_text_without_encoding_is_an_error_of_that_call_alone() -> None:
    """Half a surrogate pair in an argument reaches the contract's error text: no crash, a sealed error."""
    session = new_session("secret_keeper")
    session.call("init")
    outcome = session.call("remove_user", "\udcff".encode("utf-8", "surrogatepass").decode("latin-1")).outcome
    assert outcome.status == 500
    session = new_session()
    failed = session.call('no such function "\\ud800"').outcome
    assert failed.status == 500
    assert session.call("init", "house").outcome.status == 200


def test_a_contract_that_quotes_half_a_surrogate_pair_stays_alive(tmp_path: Path) -> None:
    contract = tmp_path / "quoting.py"
    contract.write_text(
        "from cloister.contract import Contract, TransactionContext, TransactionError\n"
        "class Quoting(Contract):\n"
        "    async def quote(self, ctx: TransactionContext, words: list[str]) -> str:\n"
        "        raise TransactionError(words[0])\n"
        "    async def emit(self, ctx: TransactionContext, words: list[str]) -> str:\n"
        "        ctx.get_stub().set_event(words[0], 'x')\n"
        "        return 'OK'\n"
        "    async def leave(self, ctx: TransactionContext) -> str:\n"
        "        raise SystemExit(1)\n"
    )
    session = session_of(load_contract_image(str(contract)))
    for function in ("quote", "emit"):
        assert session.call(function, '["\\ud800"]').outcome.status == 500
    assert session.call("leave").outcome.message == "the contract ended with SystemExit"
    assert status_of(session.enclave).state == "ready"


def test_executions_in_flight_are_bounded(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloister.trusted.chaincode.enclave.MAX_TASKS", 3)
    signed = [session.propose("create", f"x{number}")[0] for number in range(4)]
    session.call("create", "warm")  # from here on the caller is known, and the first question is about state
    replies = [session.enclave.handle(500 + number, Invoke(item)) for number, item in enumerate(signed)]
    assert [type(reply) for reply in replies] == [GetState, GetState, GetState, Refusal]
    session.enclave.handle(500, Abandon())
    assert isinstance(session.enclave.handle(600, Invoke(signed[3])), GetState)
    session.enclave.drop_tasks()
