"""A15, C5: what was sealed comes back whole, for the same channel, registry and policy; parts cannot be rearranged."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.errors import MalformedInput, Refused
from cloister.testing.channel import (
    CHAINCODE,
    NEXT_MEASUREMENT,
    PARAMETER,
    REGISTRY,
    Channel,
    Effects,
    KeyHolder,
    follow,
    new_answers_for,
)
from cloister.testing.configs import batch_timeout
from cloister.testing.definitions import ForgedDefinition, collection
from cloister.testing.forge import hashed_rwset, rwset
from cloister.trusted.ledger import sealing
from cloister.trusted.ledger.answers import Answers
from cloister.trusted.ledger.checkpoint import CheckpointScope, dump, load
from cloister.trusted.ledger.sealing import PartOpener, seal_parts
from cloister.trusted.protocol.questions import (
    AskBlock,
    AskKey,
    AskKeySet,
    AskParameter,
    AskRange,
    AskTransaction,
    Question,
    SegmentsAnswer,
)
from cloister.wire.framing import encode_frame

SECRET = bytes(range(32))
Parts = list[tuple[bytes, bool]]


@pytest.fixture(scope="module")
def channel() -> Channel:
    """With a bit of everything: upgrades, marks, parameters, private data that expires, configurations."""
    channel = Channel()
    keys = channel.prepare()
    channel.add(keys.draft(Effects(writes=[("a", b"1"), ("b", b"1")], parameters=[("a", PARAMETER)])))
    channel.add(channel.put(("b", None)), channel.put(("c", b"rogue")))
    private = ForgedDefinition("private", 1, collections=[collection("c", "OR('Org1MSP.member')", block_to_live=3)])
    channel.add(channel.draft(private.write(), chaincode="_lifecycle"))
    part = hashed_rwset("private", "c", writes=[("k", b"v")], metadata=[("k", PARAMETER)])
    channel.add(channel.draft(("private", part), chaincode="private"))
    channel.reconfigure(["Orderer"], batch_timeout("2s"))
    renewed = KeyHolder.new(channel, 2, NEXT_MEASUREMENT, earlier=keys)
    channel.add(channel.define(2, NEXT_MEASUREMENT), channel.register(renewed))
    channel.add(channel.put(("d", b"v"), endorsers=[]), channel.put(("e", b"v"), client=channel.clients[1]))
    return channel


@pytest.fixture(scope="module")
def answers(channel: Channel) -> Answers:
    found = new_answers_for(channel)
    follow(found, *channel.blocks[1:])
    return found


@pytest.fixture(scope="module")
def scope(channel: Channel) -> CheckpointScope:
    return CheckpointScope(channel.genesis_hash, REGISTRY, bytes(32))


def facts(answers: Answers) -> list[object]:
    """Everything that is kept, but for the history."""
    judge, coverage = answers.judge, answers.coverage
    return [
        (judge.channel, judge.height, judge.last_hash, judge.config_block, judge.config.sequence),
        judge.config.group.SerializeToString(deterministic=True),
        judge.state.fingerprint(),
        [(key, entry) for key, entry in judge.state.range(("_lifecycle", ""), b"", b"", inclusive=True)],
        judge.transaction_ids.records(),
        judge.expiry,
        answers.hashes.hashes,
        answers.time.latest,
        list(coverage.suspects()),
        coverage.key_sets.first,
        coverage.key_sets.used,
        [coverage.key_sets.find(CHAINCODE, sequence) for sequence in range(4)],
        coverage.watched,
        coverage.current,
    ]


def test_a_checkpoint_brings_everything_back(answers: Answers, scope: CheckpointScope) -> None:
    again = load(dump(answers, scope), scope)
    assert facts(again) == facts(answers)
    assert answers.judge.expiry
    assert len(answers.time.latest) == 2
    assert again.coverage.history.floor == answers.judge.height
    assert list(dump(again, scope)) == list(dump(answers, scope))


def test_an_older_checkpoint_catches_up_to_the_same_answers(channel: Channel, scope: CheckpointScope) -> None:
    straight = new_answers_for(channel)
    follow(straight, *channel.blocks[1:])
    for height in range(1, len(channel.blocks)):
        older = new_answers_for(channel)
        follow(older, *channel.blocks[1:height])
        older = load(dump(older, scope), scope)
        follow(older, *channel.blocks[height:])
        assert facts(older) == facts(straight)
        for other in (AskBlock(height), AskKeySet(2), AskTransaction("0" * 64)):
            assert older.answer(CHAINCODE, other) == straight.answer(CHAINCODE, other)
        for question in (AskKey("a"), AskKey("b"), AskParameter("a"), AskRange("", "", 0), AskRange("a", "b", 1)):
            assert newest(older, question) == newest(straight, question)


def newest(answers: Answers, question: Question) -> tuple[bytes, str]:
    answer = answers.answer(CHAINCODE, question)
    assert isinstance(answer, SegmentsAnswer)
    return answer.segments[0][1], answer.writer


@pytest.mark.parametrize(
    "change",
    [{"genesis_hash": bytes(32)}, {"registry": "other"}, {"policy_id": bytes([1]) * 32}],
    ids=["channel", "registry", "policy"],
)
def test_a_checkpoint_of_another_channel_registry_or_policy_is_refused(
    answers: Answers, scope: CheckpointScope, change: dict[str, object]
) -> None:
    with pytest.raises(MalformedInput):
        load(dump(answers, scope), dataclasses.replace(scope, **change))  # type: ignore[arg-type]


def test_missing_doubled_and_unknown_records_are_refused(answers: Answers, scope: CheckpointScope) -> None:
    records = list(dump(answers, scope))
    hashes = next(item for item in records if item[4:10] == b"hashes")
    for broken in (
        [],
        records[1:],
        [records[0], *records],
        [item for item in records if item is not hashes],
        [*records, hashes],
        [*records, encode_frame(b"other", ())],
        [*records, encode_frame(b"ids", (b"x",))],
        [*records, b""],
    ):
        with pytest.raises(MalformedInput):
            load(broken, scope)


def test_metadata_with_many_entries_comes_back(channel: Channel, scope: CheckpointScope) -> None:
    """Anybody's chaincode may commit that; then the checkpoint must not be in vain."""
    from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2

    odd = channel.fork()
    part = rwset(writes=[("k", b"v")], metadata=[("k", None)])
    part.metadata_writes[0].entries.extend(kv_rwset_pb2.KVMetadataEntry(name=f"{i}", value=b"v") for i in range(5000))
    odd.add(odd.draft(("plain", part), chaincode="plain"))
    answers = new_answers_for(odd)
    follow(answers, *odd.blocks[1:])
    assert answers.judge.state.get(("plain", ""), b"k") is not None
    assert facts(load(dump(answers, scope), scope)) == facts(answers)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_records_never_raise_anything_else(
    answers: Answers, scope: CheckpointScope, data: st.DataObject
) -> None:
    records = list(dump(answers, scope))
    position = data.draw(st.integers(0, len(records) - 1))
    record = bytearray(records[position])
    record[data.draw(st.integers(0, len(record) - 1))] = data.draw(st.integers(0, 255))
    records[position] = bytes(record)[: data.draw(st.integers(0, len(record)))]
    with contextlib.suppress(MalformedInput, Refused):
        load(records, scope)


# --- sealed parts -----------------------------------------------------------------------------------------------------


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Parts:
    monkeypatch.setattr(sealing, "PART_BYTES", 64)
    found = list(seal_parts([bytes([i]) * 50 for i in range(6)], secret=SECRET, random_bytes=os.urandom))
    assert len(found) > 4
    assert [last for _, last in found] == [False] * (len(found) - 1) + [True]
    return found


def opened(parts: Parts, secret: bytes = SECRET) -> list[bytes]:
    opener = PartOpener(secret)
    records = [record for part, last in parts for record in opener.records(part, last=last)]
    if not opener.done:
        raise Refused("not all of it", reason="sealed-state")
    return records


def flipped(parts: Parts, position: int, bit: int) -> Parts:
    content = bytearray(parts[position][0])
    content[bit // 8 % len(content)] ^= 1 << bit % 8
    return [*parts[:position], (bytes(content), parts[position][1]), *parts[position + 1 :]]


def test_sealed_parts_open_in_order(parts: Parts) -> None:
    assert opened(parts) == [bytes([i]) * 50 for i in range(6)]
    assert opened(list(seal_parts([], secret=SECRET, random_bytes=os.urandom))) == []


@pytest.mark.parametrize(
    "attack",
    [
        lambda parts: parts[1:],
        lambda parts: parts[:-1],
        lambda parts: [*parts[:2], *parts[3:]],
        lambda parts: [*parts[:2], parts[1], *parts[2:]],
        lambda parts: [parts[1], parts[0], *parts[2:]],
        lambda parts: [*parts, parts[-1]],
        lambda parts: [*parts[:2], (parts[2][0], True)],
        lambda parts: [*parts[:-1], (parts[-1][0], False)],
        lambda parts: [(part[:-1], last) for part, last in parts],
        lambda parts: [(b"", False), *parts],
        lambda parts: [(bytes(16) + part[16:], last) for part, last in parts],
    ],
    ids=[
        "first missing",
        "last missing",
        "one missing",
        "doubled",
        "reordered",
        "after the end",
        "cut off early",
        "never ending",
        "truncated",
        "empty",
        "of another file id",
    ],
)
def test_a15_rearranged_parts_do_not_open(parts: Parts, attack: Callable[[Parts], Parts]) -> None:
    with pytest.raises(Refused):
        opened(attack(parts))


def test_a15_parts_of_two_files_do_not_mix(parts: Parts) -> None:
    other = list(seal_parts([bytes([i]) * 50 for i in range(6)], secret=SECRET, random_bytes=os.urandom))
    with pytest.raises(Refused):
        opened([*parts[:2], *other[2:]])


def test_sealed_parts_of_another_platform_do_not_open(parts: Parts) -> None:
    with pytest.raises(Refused):
        opened(parts, bytes(32))


@settings(deadline=None)
@given(position=st.integers(0, 3), bit=st.integers(0, 8 * 60))
def test_a_flipped_bit_is_refused(position: int, bit: int) -> None:
    sealed: Parts = list(seal_parts([b"record"] * 3, secret=SECRET, random_bytes=os.urandom))
    with pytest.raises(Refused):
        opened(flipped(sealed, position % len(sealed), bit))


def test_parts_tell_nothing_in_clear(answers: Answers, scope: CheckpointScope) -> None:
    for part, _ in seal_parts(dump(answers, scope), secret=SECRET, random_bytes=os.urandom):
        assert CHAINCODE.encode() not in part
        assert b"Org1MSP" not in part
