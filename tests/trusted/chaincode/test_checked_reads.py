"""A1 to A5: whatever mixture of heights a host serves, what is accepted was true together, and what was is accepted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.testing.channel import (
    CHAINCODE,
    CHANNEL,
    Channel,
    Effects,
    KeyHolder,
    follow,
    new_answers_for,
    transaction_id,
)
from cloister.trusted.chaincode.ask import Task, TaskRefused
from cloister.trusted.chaincode.checked_reads import CheckedReads
from cloister.trusted.protocol.sealing import Place, SealedHeader, ValueCipher
from cloister.trusted.protocol.statement import NO_CHECKPOINT, Checkpoint
from cloister.wire.messages import AskLedger, GetParameter, GetRange, GetState, LedgerReplied, RowsAnswer, ValueAnswer
from trusted.chaincode.test_ledger_session import Ledger

KEYS = ("a", "b", "c")
FIRST, LAST = 3, 11
"""Heights that the chain below has states for."""


@dataclass
class Story:
    """A chain whose keys change now and then, with the state at each height."""

    channel: Channel
    states: dict[int, dict[str, bytes]]


def sealed(keys: KeyHolder, key: str, transaction: str, value: bytes) -> bytes:
    """A stored value, as an enclave seals it."""
    current = keys.ring.current
    header = SealedHeader(keys.ring.key_set_id(current), transaction, bytes(32))
    place = Place(keys.ring.genesis_hash, CHANNEL, CHAINCODE)
    return ValueCipher(current.value_key, place).seal(header, stored_key=key, key=key, value=value)


def _tell() -> Story:
    channel = Channel()
    keys = channel.prepare()
    state: dict[str, bytes] = {}
    states = {FIRST: dict(state)}
    changes: list[dict[str, bytes | None]] = [
        {"a": b"1", "b": b"1"},
        {"a": b"2"},
        {},
        {"b": None},
        {"c": b"1"},
        {"a": b"1", "c": None},
        {"b": b"2"},
        {"a": None, "b": None},
    ]
    for change in changes:
        nonce = len(states).to_bytes(24, "big")
        draft = keys.draft(Effects(), nonce=nonce)
        writes = {
            key: sealed(keys, key, transaction_id(draft), value) if value is not None else None
            for key, value in change.items()
        }
        channel.add(keys.draft(Effects(writes=list(writes.items())), nonce=nonce))
        for key, value in writes.items():
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value
        states[len(channel.blocks)] = dict(state)
    assert max(states) == LAST
    return Story(channel, states)


STORY = _tell()
PLAIN = new_answers_for(STORY.channel)
follow(PLAIN, *STORY.channel.blocks[1:])


def ledger_at(height: int) -> Ledger:
    return Ledger(STORY.channel, height=height)


def rows(height: int, start: str, end: str) -> tuple[tuple[str, bytes], ...]:
    return tuple(sorted((key, value) for key, value in STORY.states[height].items() if start <= key < end))


@dataclass(frozen=True)
class Read:
    """`what`: a key, or a range (start, end). The peer serves it as of `height`; the ledger goes on `after` blocks."""

    what: str | tuple[str, str]
    height: int
    after: int = 0


def run(reads: list[Read], *, ledger: Ledger, minimum: int = 0) -> tuple[str, Checkpoint | None]:
    """(`holds` or the refusal's reason, the checkpoint)."""
    place = Checkpoint(minimum, PLAIN.hashes.get(minimum - 1)) if minimum else NO_CHECKPOINT
    checked = CheckedReads(ledger.session, STORY.channel.clients[0].creator, place)

    async def execute() -> Checkpoint:
        await checked.admit()
        for read in reads:
            if isinstance(read.what, str):
                await checked.value(read.what)
            else:
                await checked.rows(*read.what, 0, "")
        await checked.settle()
        return await checked.checkpoint()

    task: Task[Checkpoint] = Task(execute())
    waiting = iter(reads)
    answer: Any = None
    try:
        while not isinstance(asked := task.step(answer), Checkpoint):
            reply = ledger.reply(asked.ledger)
            if isinstance(asked, AskLedger):
                answer = LedgerReplied(reply)
                continue
            read = next(item for item in waiting if item.what == _what(asked))
            answer = _peer(asked, read.height, reply)
            height = ledger.answers.judge.height
            follow(ledger.answers, *STORY.channel.blocks[height : height + read.after])
    except TaskRefused as refused:
        return refused.reason, None
    return "holds", asked


def _what(asked: Any) -> str | tuple[str, str]:
    return asked.key if isinstance(asked, GetState | GetParameter) else (asked.start, asked.end)


def _peer(asked: Any, height: int, ledger: bytes) -> ValueAnswer | RowsAnswer:
    if isinstance(asked, GetRange):
        return RowsAnswer(rows(height, asked.start, asked.end), "", ledger)
    return ValueAnswer(STORY.states[height].get(asked.key), ledger)


def seen(read: Read, height: int) -> object:
    if isinstance(read.what, str):
        return STORY.states[height].get(read.what)
    return rows(height, *read.what)


WHATS = st.one_of(st.sampled_from(KEYS), st.sampled_from([("a", "c"), ("a", "z"), ("b", "d"), ("x", "y")]))
READS = st.lists(st.builds(Read, WHATS, st.integers(FIRST, LAST), st.integers(0, 2)), min_size=1, max_size=5)


def unique(reads: list[Read]) -> list[Read]:
    """The first read of each key or range: the same is not asked again."""
    return list({read.what: read for read in reversed(reads)}.values())[::-1]


@settings(max_examples=60, deadline=None)
@given(READS, st.integers(FIRST, LAST), st.integers(0, LAST))
def test_a2_what_is_accepted_was_true_together_at_the_checkpoint(reads: list[Read], begin: int, minimum: int) -> None:
    reads, ledger = unique(reads), ledger_at(begin)
    outcome, checkpoint = run(reads, ledger=ledger, minimum=minimum)
    known = range(max(FIRST, minimum), ledger.answers.judge.height + 1)
    together = [height for height in known if all(seen(read, height) == seen(read, read.height) for read in reads)]
    if outcome == "holds":
        assert checkpoint is not None
        assert checkpoint.height in together
        assert checkpoint.block_hash == PLAIN.hashes.get(checkpoint.height - 1)
    else:
        assert outcome in ("ledger-behind", "stale", "integrity", "fork")


@settings(max_examples=40, deadline=None)
@given(READS, st.integers(FIRST, LAST), st.integers(FIRST, LAST), st.integers(0, LAST))
def test_an_honest_peer_at_one_height_is_accepted_however_the_chain_goes_on(
    reads: list[Read], peer: int, begin: int, minimum: int
) -> None:
    honest = [Read(read.what, peer, read.after) for read in unique(reads)]
    begin, minimum = max(begin, peer), min(minimum, peer)
    outcome, checkpoint = run(honest, ledger=ledger_at(begin), minimum=minimum)
    assert outcome == "holds"
    assert checkpoint is not None


@settings(max_examples=30, deadline=None)
@given(READS, st.integers(FIRST + 1, LAST))
def test_e4_a_peer_ahead_of_the_ledger_enclave_is_told_to_retry_never_accused(reads: list[Read], peer: int) -> None:
    honest = [Read(read.what, peer) for read in unique(reads)]
    outcome, _ = run(honest, ledger=ledger_at(peer - 1))
    assert outcome in ("holds", "ledger-behind")


@pytest.mark.parametrize(
    ("reads", "ledger", "minimum", "expected"),
    [
        ([Read("a", 5), Read("b", 7)], 8, 0, "holds"),
        ([Read("a", 4), Read("b", 7)], 8, 0, "integrity"),
        ([Read("a", 4)], 8, 0, "holds"),
        ([Read("a", 4)], 8, 6, "stale"),
        ([Read("a", 8)], 8, 6, "holds"),
        ([Read("a", 9)], 8, 0, "ledger-behind"),
        ([Read(("a", "z"), 5), Read("c", 8)], 8, 0, "ledger-behind"),
        ([Read(("a", "z"), 4), Read("a", 8)], 8, 0, "ledger-behind"),
        ([Read("a", 4), Read(("a", "z"), 8)], 8, 0, "integrity"),
        ([Read("b", 3), Read("a", 6)], 6, 0, "ledger-behind"),
        ([Read("b", 3), Read("a", 6)], 8, 0, "holds"),
        ([Read("a", 5, 3), Read("b", 10)], 8, 0, "integrity"),
    ],
    ids=[
        "one height",
        "mixed",
        "older, alone",
        "below the minimum",
        "above it",
        "ahead",
        "a row too few, or a block ahead",
        "an old range",
        "an old value and a range",
        "absent before, or again in a block ahead",
        "absent again",
        "late",
    ],
)
def test_a1_a2_a3_by_example(reads: list[Read], ledger: int, minimum: int, expected: str) -> None:
    assert run(reads, ledger=ledger_at(ledger), minimum=minimum)[0] == expected


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a5_pages_are_whole_up_to_their_bookmark(size: int) -> None:
    whole = rows(8, "a", "z")
    assert [key for key, _ in whole] == ["a", "c"]
    page, bookmark = whole[:size], whole[size][0] if size < len(whole) else ""
    assert page_of(size, page, bookmark) == (page, bookmark)
    for lie in ((page[1:], bookmark), (whole[-1:], ""), ((*page, ("d", b"v")), bookmark), ((), "b"), ((), "")):
        assert page_of(size, *lie) == "refused"
    if bookmark:
        assert page_of(size, page, "d") == page_of(size, page, "") == page_of(size, page, "a") == "refused"


def test_a5_a_bookmark_after_the_last_page_that_would_repeat_rows_is_ignored() -> None:
    whole = rows(8, "a", "z")
    assert page_of(3, whole, "a") == page_of(3, whole, "") == (whole, "")


def page_of(size: int, served: tuple[tuple[str, bytes], ...], bookmark: str) -> Any:
    """(rows, bookmark) as the contract gets them, or `refused`; the caller's minimum is height 8."""
    ledger = ledger_at(8)
    minimum = Checkpoint(8, PLAIN.hashes.get(7))
    checked = CheckedReads(ledger.session, STORY.channel.clients[0].creator, minimum)
    task: Task[RowsAnswer] = Task(checked.rows("a", "z", size, ""))
    try:
        asked = task.step(None)
        assert isinstance(asked, GetRange)
        asked = task.step(RowsAnswer(served, bookmark, b""))
        while isinstance(asked, AskLedger):
            asked = task.step(LedgerReplied(ledger.reply(asked.ledger)))
    except TaskRefused:
        return "refused"
    assert isinstance(asked, RowsAnswer)
    return asked.rows, asked.bookmark


def test_the_same_key_is_asked_about_once_and_read_alike() -> None:
    ledger = ledger_at(8)
    checked = CheckedReads(ledger.session, STORY.channel.clients[0].creator, NO_CHECKPOINT)

    async def execute() -> tuple[bytes | None, bytes | None]:
        return await checked.value("a"), await checked.value("a")

    task: Task[tuple[bytes | None, bytes | None]] = Task(execute())
    asked = task.step(None)
    assert isinstance(asked, GetState)
    found = task.step(ValueAnswer(STORY.states[8]["a"], ledger.reply(asked.ledger)))
    assert found == (STORY.states[8]["a"],) * 2
    assert checked.read_list().keys == ("a",)
