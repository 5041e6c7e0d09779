"""A host that lies about state, and a chain that goes on meanwhile: what the ledger enclave makes of both.

Rows of the threat list are in the tests' names. Each attack has its honest twin; `naive` is the same enclave without a
ledger enclave, kept as a switch of the tests: it falls to the attack, so the attack is real.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cloister.client.results import PendingOutcome, verify_committed
from cloister.fabric.block import parse_block
from cloister.trusted.chaincode.ask import Task, TaskRefused
from cloister.trusted.chaincode.checked_reads import CheckedReads
from cloister.trusted.chaincode.contract_image import load_contract_image
from cloister.trusted.protocol.statement import NO_CHECKPOINT, Checkpoint
from cloister.wire.messages import (
    Abandon,
    AskLedger,
    GetParameter,
    GetRange,
    GetState,
    Invoke,
    LedgerReplied,
    Opened,
    Refusal,
    Result,
    RowsAnswer,
    ValueAnswer,
)
from support import swallower
from support.chain import MVCC_READ_CONFLICT
from support.enclaves import (
    Answer,
    Caller,
    OpenedResult,
    Question,
    Session,
    World,
    expect,
    make_ledger,
    new_session,
    session_of,
)
from support.without import checked_reads as naive_build

Lie = Callable[[Any, Any], Any]


@pytest.fixture
def session() -> Session:
    session = new_session()
    session.call("init", "house")
    session.call("create", "a")
    return session


class LyingPeer(World):
    """An honest ledger enclave, a peer of the host's own making. `step` runs before each answer of the peer."""

    def __init__(self, session: Session, lie: Lie, step: Callable[[int], None] = lambda number: None) -> None:
        super().__init__(session.chain)
        self.ledger = session.ledger
        self._lie, self._step, self._number = lie, step, 0

    def peer(self, question: GetState | GetParameter | GetRange, sealed: bytes) -> ValueAnswer | RowsAnswer:
        self._step(self._number)
        self._number += 1
        found: ValueAnswer | RowsAnswer = self._lie(question, super().peer(question, sealed))
        return found


def ask(session: Session, lie: Lie, function: str, *arguments: str, **more: Any) -> Result | Refusal:
    signed, _, _ = session.propose(function, *arguments)
    return LyingPeer(session, lie, **more).run(session.enclave, signed)


def at_height(session: Session, height: int) -> Lie:
    """A peer that is still, or again, at an earlier height."""
    state = session.chain.states[height - 1]

    def lie(question: Any, answer: Any) -> Any:
        if isinstance(question, GetState):
            return replace(answer, value=state.get(question.key))
        return answer

    return lie


class CheckedReadsOf:
    """Reads of stored keys, checked by themselves: no sample reads two keys that never were there together."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def outcome(self, served: dict[str, bytes], keys: list[str]) -> str:
        """`holds`, or why not."""
        ledger, enclave = self._session.ledger, self._session.enclave
        reads = CheckedReads(enclave._ledger(), self._session.caller.creator, NO_CHECKPOINT)

        async def read() -> str:
            await reads.admit()
            for key in keys:
                await reads.value(key)
            await reads.settle()
            return "holds"

        task: Task[str] = Task(read())
        answer: Any = None
        try:
            while not isinstance(asked := task.step(answer), str):
                sealed = ledger.reply(asked.ledger) if asked.ledger else b""
                answer = (
                    ValueAnswer(served.get(asked.key), sealed) if isinstance(asked, GetState) else LedgerReplied(sealed)
                )
        except TaskRefused as refused:
            return refused.reason
        return asked


def nothing(question: Any, answer: Any) -> Any:
    del question
    return answer


def everything_absent(question: Any, answer: Any) -> Any:
    del question
    return replace(answer, value=None) if isinstance(answer, ValueAnswer) else replace(answer, rows=())


# --- state that was never there, or is gone ---------------------------------------------------------------------------


def test_honest_reads_are_answered(session: Session) -> None:
    assert isinstance(ask(session, nothing, "submit", "a", "ann", "1"), Result)


def test_a1_an_older_value_than_the_ledger_enclave_remembers_is_refused(session: Session) -> None:
    """Of one key, `close` undone: bids would be taken again."""
    before_close = session.chain.height
    session.call("close", "a")
    session.ledger.floor = session.chain.height
    refused = ask(session, at_height(session, before_close), "submit", "a", "late", "9")
    assert refused == Refusal("ledger-window", "")
    with naive_build():
        assert isinstance(ask(session, at_height(session, before_close), "submit", "a", "late", "9"), Result)


def test_a2_a_mixed_snapshot_is_refused() -> None:
    """Both rows were true once, never together: one moved away before the other one came."""
    session = new_session("kv")
    first = session.call("put_state", "x", "1").result.puts[0][0]
    with_first = session.chain.state
    session.call("del_state", "x")
    second = session.call("put_state", "y", "1").result.puts[0][0]
    contract_reads = [first, second]
    mixed = {first: with_first[first], second: session.chain.state[second]}
    reads = CheckedReadsOf(session)
    assert reads.outcome(dict(session.chain.state), contract_reads) == "holds"
    assert reads.outcome(mixed, contract_reads) == "integrity"


def test_a4_absent_for_a_present_key_is_refused(session: Session) -> None:
    session.chain.add()
    session.ledger.floor = session.chain.height - 1
    assert ask(session, everything_absent, "create", "a") == Refusal("ledger-behind", "")
    with naive_build():
        assert isinstance(ask(session, everything_absent, "create", "a"), Result)


def test_a4_a_value_for_a_deleted_key_is_refused() -> None:
    session = new_session("kv")
    session.call("put_state", "k", "old")
    present = session.chain.height
    session.call("del_state", "k")
    session.ledger.floor = session.chain.height
    assert ask(session, at_height(session, present), "get_state", "k") == Refusal("ledger-window", "")
    assert session.call("get_state", "k").outcome.payload == b""


@pytest.mark.parametrize("kind", ["left out", "doubled", "reordered", "added"])
def test_a5_a_range_with_other_rows_is_refused(session: Session, kind: str) -> None:
    for bidder in ("ann", "bob", "cid"):
        session.call("submit", "a", bidder, "5")
    session.call("close", "a")
    honest = session.call("eval", "a").outcome.payload

    def lie(question: Any, answer: Any) -> Any:
        del question
        if not isinstance(answer, RowsAnswer):
            return answer
        rows = answer.rows
        other = next(value for key, value in session.chain.state.items() if key not in dict(rows))
        changed = {
            "left out": rows[:1] + rows[2:],
            "doubled": (rows[0], *rows),
            "reordered": rows[::-1],
            "added": (*rows, (rows[-1][0] + "0", other)),
        }[kind]
        return replace(answer, rows=changed)

    refused = ask(session, lie, "eval", "a")
    assert isinstance(refused, Refusal)
    assert refused.reason in {"integrity", "ledger-behind"}
    assert honest == b"DRAW"


def test_a5_a_left_out_bid_wins_on_the_naive_build(session: Session) -> None:
    """The attack is real: without the highest bid another one wins."""
    session.call("submit", "a", "ann", "5")
    session.call("submit", "a", "bob", "9")
    session.call("close", "a")

    def drop(question: Any, answer: Any) -> Any:
        del question
        return replace(answer, rows=answer.rows[:1]) if isinstance(answer, RowsAnswer) else answer

    with naive_build():
        assert isinstance(ask(session, drop, "eval", "a"), Result)
    assert isinstance(ask(session, drop, "eval", "a"), Refusal)


# --- what nobody signed -----------------------------------------------------------------------------------------------


def test_a7_a_value_put_back_by_a_rogue_transaction_fails_closed_and_names_it(session: Session) -> None:
    key = next(key for key in session.chain.states[-1] if key not in session.chain.states[-2])
    opened = session.chain.states[-1][key]
    session.call("close", "a")
    session.chain.rogue({key: opened}, "ab" * 32)
    assert ask(session, nothing, "submit", "a", "late", "9") == Refusal("uncovered", "ab" * 32)
    with naive_build():
        assert isinstance(ask(session, nothing, "submit", "a", "late", "9"), Result)


def test_p6_a_rogue_delete_fails_closed_in_reads_and_in_ranges(session: Session) -> None:
    bid = session.call("submit", "a", "ann", "5").result.puts[0][0]
    session.call("submit", "a", "bob", "4")
    session.call("close", "a")
    session.chain.rogue({bid: None}, "cd" * 32)
    assert ask(session, nothing, "eval", "a") == Refusal("uncovered", "cd" * 32)


def test_a_covered_rewrite_heals_what_a_rogue_transaction_wrote() -> None:
    session = new_session("kv")
    key = session.call("put_state", "k", "good").result.puts[0][0]
    session.chain.rogue({key: b"garbage"})
    assert ask(session, nothing, "get_state", "k") == Refusal("uncovered", "ee" * 32)
    assert session.call("put_state", "k", "better").outcome.status == 200
    assert session.call("get_state", "k").outcome.payload == b"better"


# --- the host-visible next step ---------------------------------------------------------------------------------------


def test_p5_no_further_question_follows_a_false_answer(session: Session) -> None:
    """Else a host could steer the contract with stale values and watch which key it reads next."""
    world = LyingPeer(session, everything_absent)
    session.ledger.floor = session.chain.height
    signed, _, _ = session.propose("create", "a")
    world.run(session.enclave, signed)
    asked = [item for item in world.trace if isinstance(item, GetState | GetRange | GetParameter)]
    assert len(asked) == 1


def test_p5_a_contract_that_catches_everything_does_not_go_on_after_a_false_answer() -> None:
    """Neither a signature nor the next question: a bare `except` must not make absence of a refusal."""
    session = session_of(load_contract_image(swallower.__file__))
    session.call("put", "k", "taken")
    assert session.call("claim", "k", "x").outcome.payload == b"TAKEN"
    session.ledger.floor = session.chain.height
    world = LyingPeer(session, everything_absent)
    signed, _, _ = session.propose("claim", "k", "x")
    assert world.run(session.enclave, signed) == Refusal("ledger-behind", "")
    assert len([item for item in world.trace if isinstance(item, GetState)]) == 1


def test_an_abandoned_contract_that_catches_everything_is_forgotten() -> None:
    session = session_of(load_contract_image(swallower.__file__))
    signed, _, _ = session.propose("claim", "k", "x")
    question = session.enclave.handle(7, Invoke(signed))
    assert isinstance(question, AskLedger | GetState)
    while isinstance(question, AskLedger):
        question = session.enclave.handle(7, session.world.answer(question))
    assert session.enclave.handle(7, Abandon()) is None
    assert session.call("claim", "k", "x").outcome.payload == b"CLAIMED"


# --- a chain that goes on ---------------------------------------------------------------------------------------------


def test_commits_between_two_reads_cause_no_error(session: Session) -> None:
    """Blocks that touch other keys, and one that touches a key already read: still one height holds."""

    def step(number: int) -> None:
        session.chain.add(lambda state, parameters: state.update({f"other{number}": b"x"}))

    assert isinstance(ask(session, nothing, "submit", "a", "ann", "1", step=step), Result)


def test_at_one_height_the_ledger_enclave_is_asked_about_a_key_once_and_after_the_next_block_again(
    session: Session,
) -> None:
    def asked() -> list[bool]:
        """Of each read of the next execution: was the ledger enclave asked too?"""
        session.world.trace.clear()
        signed, _, _ = session.propose("submit", "a", "ann", "1")
        assert isinstance(session.world.run(session.enclave, signed), Result)
        return [bool(item.ledger) for item in session.world.trace if isinstance(item, GetState)]

    assert asked() == [True, True]
    assert asked() == [True, False]
    session.chain.add()
    assert asked() == [True, True]


def test_a1_a4_what_was_told_before_is_compared_all_the_same(session: Session) -> None:
    """The peer lies about the second key, about which the ledger enclave has been asked at this height."""
    status = session.call("close", "a").result.puts[0][0]
    honest, before_close = session.chain.state, session.chain.states[-2]
    assert isinstance(ask(session, nothing, "submit", "a", "ann", "1"), Result)
    session.ledger.floor = session.chain.height

    def lie(value: bytes | None) -> Lie:
        def told(question: Any, answer: Any) -> Any:
            return replace(answer, value=value) if getattr(question, "key", "") == status else answer

        return told

    assert isinstance(ask(session, lie(honest[status]), "submit", "a", "ann", "1"), Result)
    for value in (before_close[status], None, honest[status][:-1] + b"x"):
        refused = ask(session, lie(value), "submit", "a", "ann", "1")
        assert isinstance(refused, Refusal)
        assert refused.reason in ("integrity", "ledger-behind", "ledger-window")


def test_a_peer_one_block_behind_is_no_error_where_the_block_touched_nothing_read(session: Session) -> None:
    height = session.chain.height
    session.call("create", "elsewhere")
    assert isinstance(ask(session, at_height(session, height), "submit", "a", "ann", "1"), Result)


def test_e4_a_ledger_enclave_that_is_behind_says_so_and_a_retry_succeeds(session: Session) -> None:
    session.call("close", "a")
    session.ledger.lag = 1
    refused = ask(session, nothing, "eval", "a")
    assert refused == Refusal("ledger-behind", "")
    session.ledger.lag = 0
    assert session.call("eval", "a").outcome.payload == b"NO_BIDS"


def test_e4_a_ledger_enclave_that_goes_on_between_two_questions_accuses_nobody() -> None:
    """It has not the value yet as it is asked for it, and has it as it is asked for the transaction that wrote it."""
    session = new_session("kv")
    session.call("put_state", "k", "old")
    session.call("put_state", "k", "new")
    session.ledger.lag = 1

    class CatchesUp(World):
        def answer(self, question: Question) -> Answer:
            answer = super().answer(question)
            if isinstance(question, GetState):
                self.ledger.lag = 0
            return answer

    world = CatchesUp(session.chain)
    world.ledger = session.ledger
    signed, _, _ = session.propose("get_state", "k")
    assert world.run(session.enclave, signed) == Refusal("ledger-behind", "")
    assert session.call("get_state", "k").outcome.payload == b"new"


# --- freshness and forks ----------------------------------------------------------------------------------------------


def with_minimum(session: Session, minimum: Checkpoint) -> Result | Refusal:
    signed, _, _ = session.propose("submit", "a", "ann", "1", minimum=minimum)
    return session.world.run(session.enclave, signed)


def test_b12_a_checkpoint_above_the_ledger_enclave_is_refused_and_one_on_its_chain_is_not(session: Session) -> None:
    height = session.chain.height
    known = Checkpoint(height, session.chain.hash_of(height - 1))
    assert isinstance(with_minimum(session, known), Result)
    session.ledger.lag = 1
    assert with_minimum(session, Checkpoint(height + 7, bytes(32))) == Refusal("ledger-behind", "")
    session.ledger.lag = 0
    assert with_minimum(session, Checkpoint(2**64 - 1, bytes(32))) == Refusal("ledger-behind", "")


def test_a11_a_checkpoint_of_another_chain_is_refused(session: Session) -> None:
    assert with_minimum(session, Checkpoint(2, b"\1" * 32)) == Refusal("fork", "")


def test_a3_a_snapshot_below_the_clients_checkpoint_is_refused() -> None:
    session = new_session("kv")
    session.call("put_state", "k", "old")
    old = session.chain.height
    session.call("put_state", "k", "new")
    height = session.chain.height
    lie = at_height(session, old)
    signed, _, _ = session.propose("get_state", "k", minimum=Checkpoint(height, session.chain.hash_of(height - 1)))
    assert LyingPeer(session, lie).run(session.enclave, signed) == Refusal("stale", "")
    without, _, _ = session.propose("get_state", "k")
    told = LyingPeer(session, lie).run(session.enclave, without)
    assert isinstance(told, Result)
    _, statement = session.verify(told)
    assert statement.checkpoint is not None, "a client without checkpoint is told of which height the answer is"
    assert statement.checkpoint.height == old


def test_a15_a_ledger_enclave_behind_the_one_before_is_refused(session: Session) -> None:
    session.call("create", "b")
    session.ledger.connect(session.enclave)
    session.ledger.lag = 2
    assert ask(session, nothing, "create", "c") == Refusal("ledger-behind", "")
    session.ledger.lag = 0
    assert isinstance(ask(session, nothing, "create", "c"), Result)


def test_c11_a_ledger_enclave_of_another_channel_or_measurement_gets_no_session(session: Session) -> None:
    for change in ({"channel": "other"}, {"genesis_hash": bytes(32)}, {"registry": "other"}, {"role": "chaincode"}):
        stranger = make_ledger(session.chain)
        stranger.attested = replace(stranger.attested, **change)
        assert isinstance(stranger.connect(session.enclave), Refusal)
    assert isinstance(ask(session, nothing, "create", "c"), Result), "the session before stands"


# --- who asks ---------------------------------------------------------------------------------------------------------


def test_b2_a_creator_that_the_channel_does_not_know_is_refused_and_one_it_revoked(session: Session) -> None:
    stranger = Caller("Org9MSP", "Mallory")
    session.chain.revoked.add(stranger.creator)
    foreign = replace(session, caller=stranger)
    assert ask(foreign, nothing, "create", "c") == Refusal("creator", "")
    assert isinstance(ask(session, nothing, "create", "c"), Result)
    session.chain.revoked.add(session.caller.creator)
    session.chain.config_block = session.chain.add()
    assert ask(session, nothing, "create", "c") == Refusal("creator", "")


# --- reveal on commit -------------------------------------------------------------------------------------------------


def endorsed(session: Session, function: str, *arguments: str) -> tuple[bytes, Result, bytes]:
    signed, _, response_key = session.propose(function, *arguments)
    result = session.world.run(session.enclave, signed)
    assert isinstance(result, Result)
    return signed, result, response_key


def test_b3_an_endorsed_result_opens_only_once_its_transaction_is_committed(session: Session) -> None:
    session.call("close", "a")
    signed, result, response_key = endorsed(session, "eval", "a")
    _, statement = session.verify(result)
    refused = session.ask_open(statement.transaction_id, session.chain.blocks[-1])
    assert refused == Refusal("ledger-behind", "")
    with pytest.raises(Exception, match="does not belong"):
        session.open_endorsed(session.verify(result)[0], statement, response_key)
    session.chain.commit(signed, result)
    assert session.open_committed(statement, response_key).payload == b"NO_BIDS"


def test_b4_an_invalid_transaction_is_never_opened(session: Session) -> None:
    signed, result, _ = endorsed(session, "create", "b")
    session.chain.commit(signed, result, code=MVCC_READ_CONFLICT)
    transaction_id = session.verify(result)[1].transaction_id
    assert session.ask_open(transaction_id) == Refusal("not-committed", "")


def test_b4_only_the_holder_of_the_response_key_reads_an_opened_outcome(session: Session) -> None:
    signed, result, response_key = endorsed(session, "create", "b")
    session.chain.commit(signed, result)
    statement = session.verify(result)[1]
    assert isinstance(session.ask_open(statement.transaction_id), Opened)
    with pytest.raises(Exception, match="does not belong"):
        session.open_committed(statement, bytes(32))
    assert session.open_committed(statement, response_key).payload == b"OK"


def test_p2_the_request_in_the_block_is_opened_and_no_other_under_the_same_transaction_id(session: Session) -> None:
    """Two requests under one nonce, hence one transaction id: the harmless one is committed."""
    nonce = b"n" * 24
    session.call("close", "a")
    harmless, _, _ = session.propose("create", "b", nonce=nonce)
    secret, _, secret_key = session.propose("eval", "a", nonce=nonce)
    first, second = session.world.run(session.enclave, harmless), session.world.run(session.enclave, secret)
    assert isinstance(first, Result)
    assert isinstance(second, Result)
    session.chain.commit(harmless, first)
    statement = session.verify(second)[1]
    committed = session.chain.blocks[-1]
    # A block of the host's own making with the other one in it is not the block.
    other = new_session()
    other.chain.commit(secret, second)
    assert session.ask_open(statement.transaction_id, other.chain.blocks[-1]) == Refusal("block", "")
    with pytest.raises(Exception, match="response hash"):
        session.open_committed(statement, secret_key)
    assert isinstance(session.ask_open(statement.transaction_id, committed), Opened)


def test_p2_the_envelope_that_the_ledger_enclave_judged_is_opened_and_no_other(session: Session) -> None:
    """The same as above, with one transaction instead of its block: its hash is the ledger enclave's word."""
    nonce = b"n" * 24
    session.call("close", "a")
    harmless, _, harmless_key = session.propose("create", "b", nonce=nonce)
    secret, _, _ = session.propose("eval", "a", nonce=nonce)
    first, second = session.world.run(session.enclave, harmless), session.world.run(session.enclave, secret)
    assert isinstance(first, Result)
    assert isinstance(second, Result)
    session.chain.commit(harmless, first)
    statement = session.verify(first)[1]
    [committed] = parse_block(session.chain.blocks[-1]).transactions
    other = new_session()
    other.chain.commit(secret, second)
    [swapped] = parse_block(other.chain.blocks[-1]).transactions
    assert session.ask_open(statement.transaction_id, committed) == Refusal("malformed", "")  # no hash: no envelope
    session.ledger.remembers_envelopes = True
    for false in (swapped, committed[:-1] + bytes([committed[-1] ^ 1]), b""):
        assert isinstance(session.ask_open(statement.transaction_id, false), Refusal)
    opened = expect(session.ask_open(statement.transaction_id, committed), Opened)
    pending = PendingOutcome(statement.transaction_id, statement.response_hash, harmless_key)
    assert verify_committed(opened.payload, session.descriptor, pending).outcome.payload == b"OK"
    assert isinstance(session.ask_open(statement.transaction_id), Opened)  # the whole block does as well


def test_p4_errors_and_successes_open_alike(session: Session) -> None:
    outcomes: list[OpenedResult] = [session.call("submit", "a", "ann", "-1"), session.call("submit", "a", "ann", "1")]
    assert [item.outcome.status for item in outcomes] == [500, 200]
    assert len({len(item.result.payload) for item in outcomes}) == 1


# --- sessions that break ----------------------------------------------------------------------------------------------


def test_a_lost_ledger_enclave_refuses_the_call_and_the_next_session_goes_on(session: Session) -> None:
    session.ledger.forget_sessions()
    assert ask(session, nothing, "create", "c") == Refusal("no-ledger", "")
    session.ledger.connect(session.enclave)
    assert isinstance(ask(session, nothing, "create", "c"), Result)


def test_c11_a_replayed_answer_is_refused(session: Session) -> None:
    session.call("create", "warm")
    signed, _, _ = session.propose("create", "b")
    question = session.enclave.handle(7, Invoke(signed))
    assert isinstance(question, GetState)
    sealed = session.ledger.reply(question.ledger)
    following = session.enclave.handle(7, session.world.peer(question, sealed))
    assert isinstance(following, GetState)
    replayed = session.enclave.handle(7, session.world.peer(following, sealed))
    assert replayed == Refusal("session", "")


def test_c11_a_forged_answer_is_refused(session: Session) -> None:
    session.call("create", "warm")
    signed, _, _ = session.propose("create", "b")
    question = session.enclave.handle(7, Invoke(signed))
    assert isinstance(question, GetState)
    sealed = bytearray(session.ledger.reply(question.ledger))
    sealed[-1] ^= 1
    assert session.enclave.handle(7, session.world.peer(question, bytes(sealed))) == Refusal("session", "")


def test_the_host_may_answer_a_question_for_the_ledger_enclave_with_nothing_only(session: Session) -> None:
    fresh = Caller("Org1MSP", "Fresh")
    signed, _, _ = replace(session, caller=fresh).propose("create", "b")
    question = session.enclave.handle(9, Invoke(signed))
    assert isinstance(question, AskLedger)
    assert session.enclave.handle(9, LedgerReplied(b"yes, believe me")) == Refusal("session", "")
