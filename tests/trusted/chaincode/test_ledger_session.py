"""What a chaincode enclave makes of its ledger enclave's answers: one chain, going on, of its own definition."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from cloister.testing.channel import CHAINCODE, MEASUREMENT, NEXT_MEASUREMENT, Channel, follow, new_answers_for
from cloister.trusted.attest.session import Answerer
from cloister.trusted.chaincode import ledger_session
from cloister.trusted.chaincode.ask import Task, TaskRefused
from cloister.trusted.chaincode.ledger_session import LedgerSession
from cloister.trusted.ledger.answers import Answers
from cloister.trusted.protocol.questions import (
    ANSWERS,
    QUESTIONS,
    AskBlock,
    AskKey,
    BlockAnswer,
    SegmentsAnswer,
)
from cloister.trusted.protocol.statement import NO_CHECKPOINT, Checkpoint
from cloister.wire.messages import AskLedger, LedgerReplied
from trusted.attest.test_session import made

DEFINITION = (1, MEASUREMENT.hex())
Relay = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def prepared() -> Channel:
    channel = Channel()
    channel.prepare()
    return channel


@pytest.fixture
def channel(prepared: Channel) -> Channel:
    return prepared.fork()


class Ledger:
    """A session, and a ledger enclave's inner part that answers at its other end."""

    def __init__(self, channel: Channel, floor: Checkpoint = NO_CHECKPOINT, *, height: int | None = None) -> None:
        asker, self.answerer = made()
        self.answers: Answers = new_answers_for(channel)
        follow(self.answers, *channel.blocks[1:height])
        self.session = LedgerSession(asker, DEFINITION, floor)

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self.answers.judge.height, self.answers.judge.last_hash)

    def reply(self, sealed: bytes) -> bytes:
        number, question = self.answerer.open(sealed)
        answer = self.answers.answer(CHAINCODE, QUESTIONS.decode(question)[1])
        return self.answerer.seal(number, ANSWERS.encode(answer))

    def run(self, coroutine: Coroutine[Any, Any, Any], relay: Relay | None = None) -> Any:
        """The coroutine's result, or the reason of its refusal."""
        task: Task[Any] = Task(coroutine)
        try:
            asked = task.step(None)
            while isinstance(asked, AskLedger):
                asked = task.step(LedgerReplied((relay or self.reply)(asked.ledger)))
        except TaskRefused as refused:
            return refused.reason
        return asked


def admit(ledger: Ledger, channel: Channel, minimum: Checkpoint = NO_CHECKPOINT) -> Any:
    return ledger.run(ledger.session.admit(channel.clients[0].creator, minimum))


def test_an_honest_ledger_enclave_admits_a_member_once_per_configuration(channel: Channel) -> None:
    ledger = Ledger(channel)
    head = admit(ledger, channel)
    assert (head.height, head.sequence) == (3, 1)
    assert admit(ledger, channel) is None
    assert admit(ledger, channel, ledger.checkpoint) is None  # where it stood is on its chain
    assert ledger.session.admitted_under(channel.clients[0].creator) == 0
    assert ledger.session.highest == ledger.checkpoint


def test_b12_a_minimum_that_is_not_on_the_chain_is_refused(channel: Channel) -> None:
    ledger = Ledger(channel)
    for minimum, reason in (
        (Checkpoint(9, bytes(32)), "ledger-behind"),
        (Checkpoint(2**63, bytes(32)), "ledger-behind"),
        (Checkpoint(2, bytes(32)), "fork"),
        (Checkpoint(3, b""), "fork"),
    ):
        assert admit(ledger, channel, minimum) == reason
    stranger = Channel().clients[0].creator
    assert ledger.run(ledger.session.admit(stranger, NO_CHECKPOINT)) == "creator"


def test_a11_a_fork_is_refused_at_every_try_and_the_chain_before_goes_on(channel: Channel) -> None:
    """Ledger enclaves on both sides of a fork are genuine. The refused one must not become the next one's floor."""
    fork = channel.fork()
    for _ in range(3):
        fork.add(fork.put(("x", b"fork"), chaincode="plain"))
    channel.add(channel.put(("x", b"v"), chaincode="plain"))
    first = Ledger(channel)
    admit(first, channel)
    highest = first.session.highest
    for _ in range(3):
        forked = Ledger(fork, highest)
        assert admit(forked, channel) == "fork"
        highest = forked.session.highest
        assert highest == first.checkpoint
    channel.add(channel.put(("x", b"w"), chaincode="plain"))
    honest = Ledger(channel, highest)
    assert admit(honest, channel).height == 5
    assert honest.session.highest == honest.checkpoint


def test_a15_a_ledger_enclave_below_the_floor_is_behind_until_it_has_caught_up(channel: Channel) -> None:
    channel.add(channel.put(("x", b"v"), chaincode="plain"))
    floor = Ledger(channel).checkpoint
    restarted = Ledger(channel, floor, height=3)
    assert admit(restarted, channel) == "ledger-behind"
    follow(restarted.answers, channel.blocks[-1])
    assert admit(restarted, channel).height == 4


def test_two_hashes_at_one_height_are_a_fork(channel: Channel) -> None:
    ledger = Ledger(channel)
    admit(ledger, channel)
    ledger.answers.judge.last_hash = bytes(32)
    assert ledger.run(ledger.session.ask(AskBlock(0), BlockAnswer)) == "fork"


def test_c8_another_definition_than_its_own_ends_the_execution(channel: Channel) -> None:
    channel.add(channel.define(2, NEXT_MEASUREMENT))
    ledger = Ledger(channel)
    assert ledger.run(ledger.session.ask(AskKey("k"), SegmentsAnswer)) == "definition"
    head, _ = ledger.run(ledger.session.ask(AskBlock(0), BlockAnswer, any_definition=True))
    assert head.sequence == 2


def test_no_answer_garbage_and_answers_of_another_kind_end_the_execution(channel: Channel) -> None:
    ledger = Ledger(channel)

    def as_other_kind(sealed: bytes) -> bytes:
        number, _ = ledger.answerer.open(sealed)
        answer = ledger.answers.answer(CHAINCODE, AskBlock(0))
        return ledger.answerer.seal(number, ANSWERS.encode(answer))

    def as_garbage(sealed: bytes) -> bytes:
        number, _ = ledger.answerer.open(sealed)
        return ledger.answerer.seal(number, b"garbage")

    kept: list[bytes] = []

    def replayed(sealed: bytes) -> bytes:
        kept.append(ledger.reply(sealed))
        return kept[0]

    def foreign(sealed: bytes) -> bytes:
        other: Answerer = made()[1]
        return other.seal(0, b"")

    def question() -> Coroutine[Any, Any, Any]:
        return ledger.session.ask(AskKey("k"), SegmentsAnswer)

    assert ledger.run(question(), lambda sealed: b"") == "no-ledger"
    for relay in (as_other_kind, as_garbage, foreign, lambda sealed: sealed, lambda sealed: b"garbage"):
        assert ledger.run(question(), relay) == "session"
    assert not isinstance(ledger.run(question(), replayed), str)
    assert ledger.run(question(), replayed) == "session"


def test_e5_what_is_remembered_is_bounded(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_session, "MAX_REMEMBERED", 3)
    ledger = Ledger(channel)
    for authority in channel.authorities * 3:
        from cloister.testing.signers import Wanted

        creator = authority.issue(Wanted("user", ("client",))).creator
        ledger.run(ledger.session.admit(creator, Checkpoint(2, ledger.answers.hashes.get(1))))
    assert len(ledger.session._callers) <= 3
    assert len(ledger.session._checkpoints) <= 3
