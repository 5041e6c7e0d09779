"""What colluding endorsers commit under a confidential chaincode's name is marked; what its enclave signed is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fabric_protos.peer import chaincode_event_pb2, proposal_pb2

from cloister.fabric.transaction import VALIDATION_PARAMETER
from cloister.lifecycle.policy_dsl import parse_policy_expression
from cloister.testing.channel import (
    CHAINCODE,
    CHANNEL,
    MAKER,
    MEASUREMENT,
    NEXT_MEASUREMENT,
    PARAMETER,
    REGISTRY,
    Channel,
    Effects,
    KeyHolder,
    follow,
    hashed,
    new_answers_for,
    transaction_id,
)
from cloister.testing.definitions import LIFECYCLE
from cloister.testing.forge import Draft, hashed_rwset, rwset
from cloister.trusted.ledger.answers import Answers
from cloister.trusted.ledger.codes import Code
from cloister.trusted.ledger.confidential import KeySets, key_set_key
from cloister.trusted.ledger.coverage import BEFORE, Coverage
from cloister.trusted.ledger.history import Fact
from cloister.trusted.ledger.statements import Position
from cloister.trusted.protocol.key_set import sign_descriptor
from cloister.trusted.protocol.outcome import SealedOutcome, decode_sealed_outcome
from cloister.trusted.protocol.questions import AskKey, AskKeySet, AskMarks, KeySetAnswer, MarksAnswer, SegmentsAnswer
from cloister.trusted.protocol.reads import PointRead, RangeRead, ReadList, RestoredRead, rows_digest
from cloister.trusted.protocol.statement import NO_CHECKPOINT, ResultStatement

OLD, NEW = b"old ciphertext", b"new ciphertext"


@pytest.fixture
def channel() -> Channel:
    return Channel()


@pytest.fixture
def keys(channel: Channel) -> KeyHolder:
    return channel.prepare()


def judged(channel: Channel) -> Answers:
    """All blocks so far; every transaction after the genesis block must be valid."""
    answers = new_answers_for(channel)
    for block in channel.blocks[1:]:
        verdict = answers.judge.follow(block)
        answers.hashes.add(verdict.header_hash)
        assert set(verdict.codes) == {Code.VALID}
    return answers


def marked(answers: Answers) -> dict[str, str]:
    """Marked values: key → transaction."""
    return {fact.key.decode(): mark.transaction_id for fact, mark in answers.coverage.suspects() if not fact.metadata}


def marked_parameters(answers: Answers) -> set[str]:
    return {fact.key.decode() for fact, _ in answers.coverage.suspects() if fact.metadata}


def is_covered(answers: Answers, draft: Draft) -> bool:
    position = answers.judge.transaction_ids.find(transaction_id(draft))
    assert position is not None
    return position.covered


def outcome_of(action: Any) -> SealedOutcome:
    return decode_sealed_outcome(action.response.payload)


def bend_action(draft: Draft, change: Callable[[Any], None]) -> Draft:
    """After the statement was put in: what an endorser changes in the action it endorses."""
    honest = draft.response

    def response(message: Any) -> None:
        honest(message)
        action = proposal_pb2.ChaincodeAction.FromString(message.extension)
        change(action)
        message.extension = action.SerializeToString()

    return draft.but(response=response, nonce=draft.nonce)


def with_writes(draft: Draft, *writes: tuple[str, bytes | None]) -> Draft:
    """The same statement, endorsed with other writes."""
    return draft.but(namespaces=[(CHAINCODE, rwset(writes=writes))], nonce=draft.nonce)


# --- honest ---------------------------------------------------------------------------------------------------------


def test_everything_that_an_enclave_signs_is_covered(channel: Channel, keys: KeyHolder) -> None:
    first = keys.draft(
        Effects(
            writes=[("a", OLD), ("b", OLD), ("gone", OLD)],
            parameters=[("a", PARAMETER)],
            points=[PointRead("a", None), PointRead("a", None, metadata=True)],
            ranges=[RangeRead("a", "z", rows_digest(()))],
            event=("name", b"payload"),
        )
    )
    rows = [(b"a", hashed(OLD) or b""), (b"b", hashed(OLD) or b""), (b"gone", hashed(OLD) or b"")]
    second = keys.draft(
        Effects(
            writes=[("a", NEW), ("gone", None), ("never", None)],
            points=[PointRead("a", hashed(OLD)), PointRead("a", hashed(PARAMETER), metadata=True)],
            ranges=[RangeRead("a", "z", rows_digest(rows)), RangeRead("", "", rows_digest(rows))],
        )
    )
    reader = keys.draft(Effects(points=[PointRead("a", hashed(NEW)), PointRead("gone", None)]))
    channel.add(first)
    channel.add(second, reader)  # in one block: the reader's position is after the second
    answers = judged(channel)
    assert [is_covered(answers, item) for item in (first, second, reader)] == [True] * 3
    assert not list(answers.coverage.suspects())


# --- A7, A8, P6: written without the enclave --------------------------------------------------------------------------


def test_a7_an_old_ciphertext_put_back_is_marked_and_a_covered_rewrite_clears_it(
    channel: Channel, keys: KeyHolder
) -> None:
    channel.add(keys.draft(Effects(writes=[("a", OLD)])))
    channel.add(keys.draft(Effects(writes=[("a", NEW)])))
    rogue = channel.put(("a", OLD))
    channel.add(rogue)
    assert marked(judged(channel)) == {"a": transaction_id(rogue)}
    channel.add(keys.draft(Effects(writes=[("a", b"repaired")])))
    assert not marked(judged(channel))


def test_p1_a_stale_result_is_not_covered_by_putting_back_what_it_had_read(channel: Channel, keys: KeyHolder) -> None:
    """Two payments out of one balance: both executed on it, one committed, the balance put back for the other one."""
    channel.add(keys.draft(Effects(writes=[("balance", OLD)])))
    read = [PointRead("balance", hashed(OLD))]
    first = keys.draft(Effects(writes=[("balance", NEW), ("ann", b"paid")], points=read))
    second = keys.draft(Effects(writes=[("balance", NEW), ("bob", b"paid")], points=read))
    channel.add(first)
    rogue = channel.put(("balance", OLD))
    channel.add(rogue, second)  # in one block, and in a later one
    third = keys.draft(Effects(writes=[("balance", NEW), ("cid", b"paid")], points=read))
    channel.add(channel.put(("balance", OLD)))
    channel.add(third)
    answers = judged(channel)
    assert [is_covered(answers, item) for item in (first, second, third)] == [True, False, False]
    assert set(marked(answers)) == {"balance", "bob", "cid"}


def test_p6_a_stale_result_is_not_covered_by_deleting_what_it_had_not_found(channel: Channel, keys: KeyHolder) -> None:
    spent = keys.draft(Effects(writes=[("spent", NEW)], points=[PointRead("spent", None)]))
    again = keys.draft(Effects(writes=[("spent", NEW), ("bob", b"paid")], points=[PointRead("spent", None)]))
    channel.add(spent)
    channel.add(channel.put(("spent", None)))
    channel.add(again)
    answers = judged(channel)
    assert is_covered(answers, spent)
    assert not is_covered(answers, again)
    assert set(marked(answers)) == {"spent", "bob"}


@pytest.mark.parametrize("together", [True, False], ids=["in one block", "one after the other"])
def test_p6_a_stale_result_is_not_covered_by_putting_a_range_back(
    channel: Channel, keys: KeyHolder, *, together: bool
) -> None:
    channel.add(keys.draft(Effects(writes=[("bid/a", OLD)])))
    rows = [RangeRead("bid/", "bid0", rows_digest([(b"bid/a", hashed(OLD) or b"")]))]
    winner = keys.draft(Effects(writes=[("winner", b"a")], ranges=rows))
    channel.add(keys.draft(Effects(writes=[("bid/b", NEW)])))
    rogue = channel.put(("bid/b", None))
    if together:
        channel.add(rogue, winner)
    else:
        channel.add(rogue)
        channel.add(winner)
    answers = judged(channel)
    assert not is_covered(answers, winner)
    assert set(marked(answers)) == {"bid/b", "winner"}


def test_p1_a_parameter_put_back_covers_no_stale_result(channel: Channel, keys: KeyHolder) -> None:
    other = parse_policy_expression("OR('Org1MSP.peer')")
    channel.add(keys.draft(Effects(writes=[("k", OLD)], parameters=[("k", PARAMETER)])))
    stale = keys.draft(Effects(writes=[("x", NEW)], points=[PointRead("k", hashed(PARAMETER), metadata=True)]))
    channel.add(keys.draft(Effects(parameters=[("k", other)])))
    channel.add(channel.draft((CHAINCODE, rwset(metadata=[("k", PARAMETER)]))))
    channel.add(stale)
    assert not is_covered(judged(channel), stale)


def test_what_a_covered_transaction_wrote_anew_may_be_read_again(channel: Channel, keys: KeyHolder) -> None:
    """The honest twin: the mark is gone, in the same block too."""
    channel.add(channel.put(("k", OLD), ("r/1", OLD)))
    repair = keys.draft(Effects(writes=[("k", NEW), ("r/1", None)]))
    reads = [PointRead("k", hashed(NEW))]
    reader = keys.draft(Effects(writes=[("x", NEW)], points=reads, ranges=[RangeRead("r/", "r0", rows_digest(()))]))
    later = keys.draft(Effects(writes=[("y", NEW)], points=reads, ranges=[RangeRead("r/", "r0", rows_digest(()))]))
    channel.add(repair, reader)
    channel.add(later)
    answers = judged(channel)
    assert [is_covered(answers, item) for item in (repair, reader, later)] == [True] * 3
    assert not list(answers.coverage.suspects())


def test_p6_a_rogue_delete_leaves_a_marked_tombstone_until_a_covered_transaction_deletes_too(
    channel: Channel, keys: KeyHolder
) -> None:
    channel.add(keys.draft(Effects(writes=[("vote", OLD)], parameters=[("vote", PARAMETER)])))
    rogue = channel.put(("vote", None))
    channel.add(rogue)
    answers = judged(channel)
    assert marked(answers) == {"vote": transaction_id(rogue)}
    assert marked_parameters(answers) == {"vote"}
    channel.add(keys.draft(Effects(writes=[("vote", None)])))
    answers = judged(channel)
    assert not list(answers.coverage.suspects())


def test_a_covered_put_after_a_rogue_delete_leaves_the_lost_parameter_marked(channel: Channel, keys: KeyHolder) -> None:
    channel.add(keys.draft(Effects(writes=[("k", OLD)], parameters=[("k", PARAMETER)])))
    channel.add(channel.put(("k", None)))
    channel.add(keys.draft(Effects(writes=[("k", NEW)])))
    answers = judged(channel)
    assert not marked(answers)
    assert marked_parameters(answers) == {"k"}
    channel.add(keys.draft(Effects(parameters=[("k", PARAMETER)])))
    assert not marked_parameters(judged(channel))


def test_a8_an_empty_value_is_a_delete(channel: Channel, keys: KeyHolder) -> None:
    channel.add(keys.draft(Effects(writes=[("k", OLD)])))
    rogue = channel.put(("k", b""))
    channel.add(rogue)
    assert marked(judged(channel)) == {"k": transaction_id(rogue)}


def test_a8_a_rogue_endorsement_parameter_is_marked_and_the_value_is_not(channel: Channel, keys: KeyHolder) -> None:
    channel.add(keys.draft(Effects(writes=[("k", OLD)])))
    channel.add(channel.draft((CHAINCODE, rwset(metadata=[("k", b"rogue policy")]))))
    answers = judged(channel)
    assert not marked(answers)
    assert marked_parameters(answers) == {"k"}


@pytest.mark.parametrize(
    "writes",
    [
        [("a", NEW)],
        [("a", NEW), ("b", NEW), ("c", NEW)],
        [("a", NEW), ("b", OLD)],
        [("a", NEW), ("b", None)],
        [("a", NEW), ("b", NEW), ("b", NEW)],
        [],
    ],
    ids=["partial", "enlarged", "altered", "turned to a delete", "doubled", "none"],
)
def test_a8_other_writes_than_the_signed_ones_are_marked(
    channel: Channel, keys: KeyHolder, writes: list[tuple[str, bytes | None]]
) -> None:
    honest = keys.draft(Effects(writes=[("a", NEW), ("b", NEW)]))
    bent = with_writes(honest, *writes)
    channel.add(bent)
    answers = judged(channel)
    assert not is_covered(answers, bent)
    assert set(marked(answers)) == {key for key, _ in writes}


def test_the_order_of_writes_does_not_matter(channel: Channel, keys: KeyHolder) -> None:
    draft = with_writes(keys.draft(Effects(writes=[("a", NEW), ("b", NEW)])), ("b", NEW), ("a", NEW))
    channel.add(draft)
    assert is_covered(judged(channel), draft)


@pytest.mark.parametrize(
    "parameters", [[], [("a", b"other")], [("b", PARAMETER)], [("a", PARAMETER), ("b", PARAMETER)], [("a", None)]]
)
def test_a8_other_parameters_than_the_signed_ones_are_marked(
    channel: Channel, keys: KeyHolder, parameters: list[tuple[str, bytes | None]]
) -> None:
    honest = keys.draft(Effects(writes=[("a", NEW)], parameters=[("a", PARAMETER)]))
    part = rwset(writes=[("a", NEW)], metadata=parameters)
    bent = honest.but(namespaces=[(CHAINCODE, part)], nonce=honest.nonce)
    channel.add(bent)
    answers = judged(channel)
    assert not is_covered(answers, bent)
    assert marked_parameters(answers) == {key for key, _ in parameters}


def _other_event(action: Any) -> None:
    event = chaincode_event_pb2.ChaincodeEvent(chaincode_id=CHAINCODE, event_name="name", payload=b"another")
    action.events = event.SerializeToString()


def _no_event(action: Any) -> None:
    action.events = b""


def _other_ciphertext(action: Any) -> None:
    sealed = dataclasses.replace(outcome_of(action), ciphertext=b"another response")
    action.response.payload = sealed.encode()


def _other_signature(action: Any) -> None:
    sealed = dataclasses.replace(outcome_of(action), signature=bytes(64))
    action.response.payload = sealed.encode()


def _garbage(action: Any) -> None:
    action.response.payload = b"garbage"


def _garbage_reads(action: Any) -> None:
    action.response.payload = dataclasses.replace(outcome_of(action), reads=b"garbage").encode()


@pytest.mark.parametrize(
    "change", [_other_event, _no_event, _other_ciphertext, _other_signature, _garbage, _garbage_reads]
)
def test_b10_an_outcome_that_is_not_the_signed_one_is_not_covered(
    channel: Channel, keys: KeyHolder, change: Callable[[Any], None]
) -> None:
    bent = bend_action(keys.draft(Effects(writes=[("a", NEW)], event=("name", b"payload"))), change)
    channel.add(bent)
    answers = judged(channel)
    assert not is_covered(answers, bent)
    assert marked(answers) == {"a": transaction_id(bent)}


def test_private_data_beside_signed_writes_is_not_covered(channel: Channel, keys: KeyHolder) -> None:
    honest = keys.draft(Effects(writes=[("a", NEW)]))
    public = rwset(writes=[("a", NEW)])
    part = hashed_rwset(CHAINCODE, "_implicit_org_Org1MSP", writes=[("k", b"v")], public=public)
    bent = honest.but(namespaces=[(CHAINCODE, part)], nonce=honest.nonce)
    channel.add(bent)
    assert not is_covered(judged(channel), bent)


# --- statements of something else -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"genesis_hash": bytes(32)},
        {"channel": "another"},
        {"chaincode": "another"},
        {"sequence": 2},
        {"measurement": NEXT_MEASUREMENT},
        {"key_set_id": bytes(32)},
        {"transaction_id": "0" * 64},
        {"proposal_hash": bytes(32)},
        {"creator_hash": bytes(32)},
        {"request_hash": bytes(32)},
        {"reads_digest": bytes(32)},
        {"read_list_hash": bytes(32)},
        {"checkpoint": NO_CHECKPOINT},
    ],
    ids=lambda change: next(iter(change)),
)
def test_p1_a_statement_about_something_else_covers_nothing(
    channel: Channel, keys: KeyHolder, change: dict[str, Any]
) -> None:
    def bend(statement: ResultStatement) -> ResultStatement:
        return dataclasses.replace(statement, **change)

    draft = keys.draft(Effects(writes=[("a", NEW)], bend=bend))
    channel.add(draft)
    answers = judged(channel)
    assert not is_covered(answers, draft)
    assert marked(answers) == {"a": transaction_id(draft)}


def test_the_statement_of_another_transaction_covers_nothing(channel: Channel, keys: KeyHolder) -> None:
    first = keys.draft(Effects(writes=[("a", NEW)]))
    taken: list[bytes] = []
    first = bend_action(first, lambda action: taken.append(action.response.payload))
    first.build()

    def put_in(action: Any) -> None:
        action.response.payload = taken[0]

    second = channel.put(("a", NEW), arguments=first.arguments, action=put_in)
    channel.add(second)
    assert marked(judged(channel)) == {"a": transaction_id(second)}


def test_another_request_or_more_arguments_than_one_are_not_covered(channel: Channel, keys: KeyHolder) -> None:
    honest = keys.draft(Effects(writes=[("a", NEW)]))
    for arguments in ([b"another"], [], [*honest.arguments, b"more"]):
        bent = keys.draft(Effects(writes=[("a", NEW)])).but(arguments=arguments)
        channel.add(bent)
        assert not is_covered(judged(channel), bent)


def test_p10_a_call_through_another_chaincode_marks_both_ways(channel: Channel, keys: KeyHolder) -> None:
    """The transaction is the caller's; a covered one that also writes elsewhere marks what it writes there."""
    part = (CHAINCODE, rwset(writes=[("a", NEW)]))
    through = channel.draft(("plain", rwset(writes=[("p", b"v")])), part, chaincode="plain")
    channel.add(through)
    other = KeyHolder.new(channel, chaincode="vote")
    channel.add(channel.define(name="vote"), channel.register(other))
    both = keys.draft(Effects(writes=[("b", NEW)]))
    both = both.but(namespaces=[*both.namespaces, ("vote", rwset(writes=[("v", NEW)]))], nonce=both.nonce)
    channel.add(both)
    answers = judged(channel)
    assert is_covered(answers, both)
    assert marked(answers) == {"a": transaction_id(through), "v": transaction_id(both)}


# --- P1: stale reads --------------------------------------------------------------------------------------------------


def test_p1_two_transfers_of_one_snapshot_are_not_both_covered(channel: Channel, keys: KeyHolder) -> None:
    """Fabric would refuse the second by its read versions; colluders leave these out of the read/write set."""
    channel.add(keys.draft(Effects(writes=[("balance", OLD)])))
    spends = [
        keys.draft(Effects(writes=[("balance", NEW), (to, NEW)], points=[PointRead("balance", hashed(OLD))]))
        for to in ("first", "second")
    ]
    channel.add(*spends)
    answers = judged(channel)
    assert [is_covered(answers, item) for item in spends] == [True, False]
    assert marked(answers) == dict.fromkeys(("balance", "second"), transaction_id(spends[1]))


@pytest.mark.parametrize(
    "reads",
    [
        ReadList((), (), ()),
        ReadList(("balance", "balance"), (), ()),
        ReadList(("other",), (), ()),
        ReadList((), ("balance",), ()),
        ReadList(("balance",), (), (("", ""),)),
    ],
    ids=["stripped", "doubled", "of another key", "of the parameter", "enlarged"],
)
def test_p1_a_read_list_that_is_not_the_signed_one_covers_nothing(
    channel: Channel, keys: KeyHolder, reads: ReadList
) -> None:
    channel.add(keys.draft(Effects(writes=[("balance", OLD)])))
    channel.add(keys.draft(Effects(writes=[("balance", NEW)])))
    stale = keys.draft(Effects(writes=[("x", NEW)], points=[PointRead("balance", hashed(OLD))], read_list=reads))
    channel.add(stale)
    assert not is_covered(judged(channel), stale)


@pytest.mark.parametrize("change", [("b", NEW), ("b", None), ("bb", NEW)], ids=["altered", "deleted", "phantom"])
def test_p1_a_range_that_changed_since_covers_nothing(
    channel: Channel, keys: KeyHolder, change: tuple[str, bytes | None]
) -> None:
    channel.add(keys.draft(Effects(writes=[("a", OLD), ("b", OLD)])))
    rows = rows_digest([(b"a", hashed(OLD) or b""), (b"b", hashed(OLD) or b"")])
    draft = keys.draft(Effects(writes=[("count", NEW)], ranges=[RangeRead("a", "c", rows)]))
    twin = keys.draft(Effects(writes=[("count", NEW)], ranges=[RangeRead("a", "c", rows)]))
    channel.add(draft)
    channel.add(keys.draft(Effects(writes=[change])), twin)
    answers = judged(channel)
    assert is_covered(answers, draft)
    assert not is_covered(answers, twin)


def test_p1_an_absent_key_that_is_there_now_covers_nothing(channel: Channel, keys: KeyHolder) -> None:
    once = [keys.draft(Effects(writes=[("voted", NEW)], points=[PointRead("voted", None)])) for _ in range(2)]
    channel.add(*once)
    answers = judged(channel)
    assert [is_covered(answers, item) for item in once] == [True, False]


def test_e5_a_list_of_reads_that_the_enclave_did_not_make_is_not_evaluated(
    channel: Channel, keys: KeyHolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few kilobytes of open ranges over a big state would stop every ledger enclave for hours."""
    asked: list[str] = []
    rows = Position.rows

    def counted(position: Position, namespace: str, start: str, end: str) -> bytes:
        asked.append(start)
        return rows(position, namespace, start, end)

    monkeypatch.setattr(Position, "rows", counted)
    empty = [RangeRead("x", "y", rows_digest(()))]
    bomb = keys.draft(Effects(ranges=empty, read_list=ReadList((), (), (("", ""),) * 1000)))
    honest = keys.draft(Effects(ranges=empty))
    channel.add(bomb, honest)
    answers = judged(channel)
    assert [is_covered(answers, item) for item in (bomb, honest)] == [False, True]
    assert asked == ["x"]


# --- definitions and key sets -----------------------------------------------------------------------------------------


def test_what_was_there_before_the_first_confidential_definition_is_marked(channel: Channel) -> None:
    channel.add(channel.define(1, "1.0", REGISTRY), channel.define(1, "1.0"))
    channel.add(channel.put(("early", OLD), ("rewritten", OLD)))
    channel.add(channel.define(2))
    keys = KeyHolder.new(channel, 2)
    channel.add(channel.register(keys))
    channel.add(keys.draft(Effects(writes=[("rewritten", NEW)])))
    assert marked(judged(channel)) == {"early": BEFORE}


def test_definition_and_transaction_in_one_block_count_by_position(channel: Channel) -> None:
    """The key set was there early: the transaction before the definition is rogue, the one after it covered."""
    keys = KeyHolder.new(channel)
    channel.add(channel.define(1, "1.0", REGISTRY), channel.define(1, "1.0", "plain"), channel.define(1, "1.0"))
    keys2 = KeyHolder.new(channel, 2)
    channel.add(channel.register(keys2))
    before = keys2.draft(Effects(writes=[("before", NEW)]))
    after = keys2.draft(Effects(writes=[("after", NEW)]))
    rogue = channel.put(("rogue", NEW))
    channel.add(before, channel.define(2), after, rogue)
    answers = judged(channel)
    assert [is_covered(answers, item) for item in (before, after)] == [False, True]
    assert marked(answers) == {"before": BEFORE, "rogue": transaction_id(rogue)}
    assert keys.descriptor.sequence == 1


def test_p7_after_an_upgrade_the_old_key_set_covers_nothing_from_its_position_on(
    channel: Channel, keys: KeyHolder
) -> None:
    renewed = KeyHolder.new(channel, 2, NEXT_MEASUREMENT, earlier=keys)
    channel.add(channel.register(renewed))
    old = [keys.draft(Effects(writes=[(key, NEW)])) for key in ("a", "b")]
    new = [renewed.draft(Effects(writes=[(key, NEW)])) for key in ("c", "d")]
    channel.add(old[0], new[0], channel.define(2, NEXT_MEASUREMENT), old[1], new[1])
    answers = judged(channel)
    assert [is_covered(answers, item) for item in (*old, *new)] == [True, False, False, True]
    channel.add(old[1].but(), renewed.draft(Effects(writes=[("b", NEW), ("c", NEW)])))
    assert not marked(judged(channel))


def test_before_the_key_set_is_committed_nothing_is_covered(channel: Channel) -> None:
    keys = KeyHolder.new(channel)
    channel.add(channel.define(1, "1.0", REGISTRY), channel.define())
    early, same = (keys.draft(Effects(writes=[(key, NEW)])) for key in ("early", "same"))
    channel.add(early)
    channel.add(channel.register(keys), same)
    late = keys.draft(Effects(writes=[("late", NEW)]))
    channel.add(late)
    answers = judged(channel)
    assert [is_covered(answers, item) for item in (early, same, late)] == [False, False, True]


@pytest.mark.parametrize("rogue", [b"garbage", b"", "another"], ids=["garbage", "a delete", "of another maker"])
def test_p7_a_rogue_first_key_set_leaves_the_sequence_without_keys(channel: Channel, rogue: bytes | str) -> None:
    keys = KeyHolder.new(channel)
    other = KeyHolder.new(channel, measurement=NEXT_MEASUREMENT)
    value = sign_descriptor(other.descriptor, MAKER) if isinstance(rogue, str) else rogue
    channel.add(channel.define(1, "1.0", REGISTRY), channel.define())
    channel.add(channel.register(keys, value), channel.register(keys))
    draft = keys.draft(Effects(writes=[("a", NEW)]))
    channel.add(draft)
    assert not is_covered(judged(channel), draft)


@pytest.mark.parametrize("later", [b"garbage", b""], ids=["overwritten", "deleted"])
def test_the_first_key_set_counts_whatever_the_registry_says_later(
    channel: Channel, keys: KeyHolder, later: bytes
) -> None:
    channel.add(channel.register(keys, later))
    draft = keys.draft(Effects(writes=[("a", NEW)]))
    channel.add(draft)
    assert is_covered(judged(channel), draft)


def test_p7_a_key_set_that_its_predecessor_did_not_sign_covers_nothing(channel: Channel, keys: KeyHolder) -> None:
    """Colluders commit a definition and a key set of their own, put old values back, and define the real thing again.

    Without the predecessor's signature the enclaves of sequence 3, which hold the keys of 1, would believe all that.
    """
    rogue = KeyHolder.new(channel, 2, NEXT_MEASUREMENT)
    channel.add(keys.draft(Effects(writes=[("a", OLD), ("flag", OLD)])))
    channel.add(keys.draft(Effects(writes=[("a", NEW)])))
    channel.add(channel.define(2, NEXT_MEASUREMENT), channel.register(rogue))
    back = rogue.draft(Effects(writes=[("a", OLD), ("flag", None)]))
    channel.add(back)
    honest = KeyHolder.new(channel, 3, earlier=keys)
    channel.add(channel.define(3), channel.register(honest))
    repair = honest.draft(Effects(writes=[("a", NEW)]))
    channel.add(repair)
    answers = judged(channel)
    assert not is_covered(answers, back)
    assert is_covered(answers, repair)
    assert marked(answers) == {"flag": transaction_id(back)}
    sequences = [number for number in range(5) if answers.coverage.key_sets.find(CHAINCODE, number) is not None]
    assert sequences == [1, 3]


def test_a_key_set_that_only_claims_a_predecessor_does_not_count(channel: Channel, keys: KeyHolder) -> None:
    first = keys.ring.key_sets[0].result_key
    other = KeyHolder.new(channel, 2, NEXT_MEASUREMENT, earlier=keys)
    another = KeyHolder.new(channel, 2, bytes(32), earlier=keys)
    spliced = sign_descriptor(other.descriptor, MAKER, previous=Ed25519PrivateKey.generate())
    key_sets = KeySets(channel.genesis_hash, CHANNEL)
    key_sets.note(key_set_key(CHAINCODE, 1), keys.signed)
    key_sets.use(CHAINCODE, 1)
    key_sets.note(key_set_key(CHAINCODE, 2), spliced)
    assert key_sets.find(CHAINCODE, 2) is None
    key_sets.note(key_set_key(CHAINCODE, 2), sign_descriptor(another.descriptor, MAKER, previous=first))
    assert key_sets.find(CHAINCODE, 2) is None  # the first write was another one
    third = KeyHolder.new(channel, 3, earlier=keys)
    key_sets.note(key_set_key(CHAINCODE, 4), sign_descriptor(third.descriptor, MAKER, previous=first))
    assert key_sets.find(CHAINCODE, 3) is key_sets.find(CHAINCODE, 4) is None  # under another key than its own
    key_sets.note(key_set_key(CHAINCODE, 3), sign_descriptor(third.descriptor, MAKER, previous=first))
    assert key_sets.find(CHAINCODE, 3) == third.descriptor


def test_c9_a_key_set_that_nothing_was_covered_under_may_be_passed_over_and_no_other(
    channel: Channel, keys: KeyHolder
) -> None:
    """Whoever wins the race for a key set and keeps it for himself would have the chaincode for ever."""
    channel.add(keys.draft(Effects(writes=[("a", OLD)])))
    kept = KeyHolder.new(channel, 2, NEXT_MEASUREMENT, earlier=keys)
    channel.add(channel.define(2, NEXT_MEASUREMENT), channel.register(kept))
    onward = KeyHolder.new(channel, 3, earlier=keys)
    channel.add(channel.define(3), channel.register(onward))
    channel.add(late := kept.draft(Effects(writes=[("a", NEW)])))
    channel.add(first := onward.draft(Effects(writes=[("a", NEW)])))
    skipping = KeyHolder.new(channel, 4, NEXT_MEASUREMENT, earlier=kept)
    channel.add(channel.define(4, NEXT_MEASUREMENT), channel.register(skipping))
    channel.add(never := skipping.draft(Effects(writes=[("a", OLD)])))
    answers = judged(channel)
    assert [is_covered(answers, item) for item in (late, first, never)] == [False, True, False]
    told = [answers.answer(CHAINCODE, AskKeySet(number)) for number in (1, 2, 3, 4)]
    assert [item.used for item in told if isinstance(item, KeySetAnswer)] == [1, 0, 1, 0]


def test_p7_a_key_set_brought_before_anything_was_covered_does_not_follow_what_was(
    channel: Channel, keys: KeyHolder
) -> None:
    """Colluders register one for the next definition early. In the same block and later: it covers nothing."""
    rogue = KeyHolder.new(channel, 2, NEXT_MEASUREMENT)
    channel.add(channel.register(rogue))
    genuine = keys.draft(Effects(writes=[("a", OLD)]))
    at_once = rogue.draft(Effects(writes=[("a", NEW)]))
    channel.add(genuine, channel.define(2, NEXT_MEASUREMENT), at_once)
    later = rogue.draft(Effects(writes=[("a", None)]))
    channel.add(later)
    answers = judged(channel)
    assert [is_covered(answers, item) for item in (genuine, at_once, later)] == [True, False, False]
    onward = KeyHolder.new(channel, 3, earlier=keys)
    channel.add(channel.define(3), channel.register(onward))
    channel.add(repair := onward.draft(Effects(writes=[("a", NEW)])))
    assert is_covered(judged(channel), repair)


@pytest.mark.parametrize("change", [{"channel": "x"}, {"genesis_hash": bytes(32)}])
def test_a_key_set_of_another_channel_does_not_count(channel: Channel, change: dict[str, Any]) -> None:
    keys = KeyHolder.new(channel)
    foreign = sign_descriptor(dataclasses.replace(keys.descriptor, **change), MAKER)
    key_sets = KeySets(channel.genesis_hash, CHANNEL)
    key_sets.note(key_set_key(CHAINCODE, 1), foreign)
    assert key_sets.find(CHAINCODE, 1) is None


def _versions(*steps: tuple[int, bytes | str]) -> Sequence[tuple[int, bytes | str]]:
    return steps


@pytest.mark.parametrize(
    ("steps", "counts"),
    [
        (_versions((2, NEXT_MEASUREMENT)), True),
        (_versions((2, NEXT_MEASUREMENT), (1, bytes([0xA1]) * 32)), False),
        (_versions((2, NEXT_MEASUREMENT), (2, bytes([0xA1]) * 32)), False),
        (_versions((2, NEXT_MEASUREMENT), (1, bytes([0xA1]) * 32), (2, NEXT_MEASUREMENT)), True),
        (_versions((2, "1.0")), True),
        (_versions((1, NEXT_MEASUREMENT)), False),
    ],
    ids=["upgrade", "downgrade", "same sequence", "there and back", "no longer confidential", "replaced"],
)
@pytest.mark.parametrize("together", [False, True], ids=["in blocks", "in one block"])
def test_c8_definitions_only_go_forward(
    channel: Channel, keys: KeyHolder, steps: Sequence[tuple[int, bytes | str]], counts: bool, together: bool
) -> None:
    """The lifecycle chaincode counts sequences up; a majority can write its state without it."""
    drafts = [channel.define(*step) for step in steps]
    stale = keys.draft(Effects(writes=[("a", NEW)]))
    if together:
        channel.add(*drafts, stale)
    else:
        for draft in drafts:
            channel.add(draft)
        channel.add(stale)
    answers = judged(channel)
    head = answers.head(CHAINCODE)
    sequence, version = steps[-1]
    text = version if isinstance(version, str) else version.hex()
    assert (head.sequence, head.measurement) == ((sequence, text) if counts else (0, ""))
    assert not is_covered(answers, stale)
    assert answers.coverage.watched[CHAINCODE][1].measurement == bytes([0xA1]) * 32


def test_a_deleted_definition_covers_nothing_and_its_namespace_stays_watched(channel: Channel, keys: KeyHolder) -> None:
    gone = rwset(writes=[(f"namespaces/fields/{CHAINCODE}/Sequence", None)])
    channel.add(channel.draft((LIFECYCLE, gone), chaincode=LIFECYCLE))
    draft = keys.draft(Effects(writes=[("a", NEW)]))
    channel.add(draft)
    answers = judged(channel)
    assert answers.head(CHAINCODE).sequence == 0
    assert marked(answers) == {"a": transaction_id(draft)}


def test_plain_chaincode_is_not_watched(channel: Channel, keys: KeyHolder) -> None:
    channel.add(channel.put(("k", b"v"), chaincode="plain"))
    answers = judged(channel)
    assert set(answers.coverage.watched) == {CHAINCODE}
    assert not list(answers.coverage.suspects())


# --- the judge's side ---------------------------------------------------------------------------------------------


def test_a_block_that_was_judged_and_not_committed_leaves_nothing(channel: Channel, keys: KeyHolder) -> None:
    answers = judged(channel)
    coverage: Coverage = answers.coverage
    rogue = channel.make(channel.put(("a", OLD)).build(), channel.define(2, NEXT_MEASUREMENT).build())
    prepared = answers.judge._prepare(rogue, _checker())
    answers.judge.judge(prepared)
    follow(answers, channel.add(keys.draft(Effects(writes=[("a", NEW)]))))
    assert not list(coverage.suspects())
    assert coverage.current[CHAINCODE].sequence == 1


def _checker() -> Any:
    from cloister.trusted.ledger.identities import SignatureChecker

    return SignatureChecker()


def previous_values(answers: Answers, fact: Fact) -> list[bytes]:
    """What a fact was before each of its changes, oldest first."""
    return [value for _, value in reversed(answers.coverage.history.segments(fact, b"now")[1:])]


def test_a_write_that_fabric_drops_is_noted_with_its_height(channel: Channel, keys: KeyHolder) -> None:
    """Metadata of a key that does not exist: the state stays as it was, and the answer about earlier heights too."""
    answers = judged(channel)
    fact = Fact(CHAINCODE, b"never", metadata=True)
    follow(answers, channel.add(channel.draft((CHAINCODE, rwset(metadata=[("never", PARAMETER)])))))
    assert answers.coverage.mark(fact) is not None
    assert previous_values(answers, fact) == [b""]
    follow(answers, channel.add(keys.draft(Effects(parameters=[("never", PARAMETER)]))))
    assert answers.coverage.mark(fact) is None
    assert previous_values(answers, fact) == [b"", b"!"]


# --- repair: what was last covered is put back, and nothing else ----------------------------------------------------


def restore(keys: KeyHolder, covered: bytes | None, **more: Any) -> Draft:
    """What an enclave signs for a repair of the value of "k", whatever stands there now."""
    content = b"resealed" if covered is not None else None
    return keys.draft(Effects(writes=[("k", content)], restored=[RestoredRead("k", hashed(covered))], **more))


def covered_of(answers: Answers, key: str, *, metadata: bool = False) -> bytes | None:
    mark = answers.coverage.mark(Fact(CHAINCODE, key.encode(), metadata))
    return mark.covered if mark is not None else None


def newest(answers: Answers, key: str) -> bytes:
    answer = answers.answer(CHAINCODE, AskKey(key))
    assert isinstance(answer, SegmentsAnswer)
    return answer.segments[0][1]


def test_a_repair_restores_the_last_covered_value_after_any_number_of_rogue_writes(
    channel: Channel, keys: KeyHolder
) -> None:
    channel.add(keys.draft(Effects(writes=[("k", OLD)])))
    channel.add(keys.draft(Effects(writes=[("k", NEW)])), channel.put(("k", OLD)))  # in one block
    last = channel.put(("k", b"rogue"))
    channel.add(channel.put(("k", None)), last)
    answers = judged(channel)
    assert marked(answers) == {"k": transaction_id(last)}
    assert covered_of(answers, "k") == hashed(NEW)
    repair = restore(keys, NEW)
    channel.add(repair)
    answers = judged(channel)
    assert is_covered(answers, repair)
    assert not list(answers.coverage.suspects())
    assert newest(answers, "k") == hashed(b"resealed")


@pytest.mark.parametrize("covered", [OLD, b"rogue", None], ids=["older", "the rogue's own", "absent"])
def test_a7_a_repair_with_anything_else_than_the_last_covered_value_covers_nothing(
    channel: Channel, keys: KeyHolder, covered: bytes | None
) -> None:
    """No enclave signs this; should one ever, its word does not count."""
    channel.add(keys.draft(Effects(writes=[("k", OLD)])))
    channel.add(keys.draft(Effects(writes=[("k", NEW)])))
    channel.add(channel.put(("k", b"rogue")))
    repair = restore(keys, covered)
    channel.add(repair)
    answers = judged(channel)
    assert not is_covered(answers, repair)
    assert marked(answers) == {"k": transaction_id(repair)}
    assert covered_of(answers, "k") == hashed(NEW)


def test_a_key_that_was_rogue_from_the_first_on_is_repaired_by_deleting_it(channel: Channel, keys: KeyHolder) -> None:
    channel.add(channel.put(("k", b"rogue")))
    assert covered_of(judged(channel), "k") == b""
    repair = restore(keys, None)
    channel.add(repair)
    answers = judged(channel)
    assert is_covered(answers, repair)
    assert not list(answers.coverage.suspects())


@pytest.mark.parametrize("together", [True, False], ids=["in one block", "one after the other"])
def test_p1_a_repair_does_not_undo_what_was_written_since(channel: Channel, keys: KeyHolder, *, together: bool) -> None:
    """Signed, held back, its reads stripped, and committed once the contract has gone on: a rollback, if it counted."""
    channel.add(keys.draft(Effects(writes=[("k", OLD)])))
    channel.add(channel.put(("k", b"rogue")))
    held_back = restore(keys, OLD)
    honest = keys.draft(Effects(writes=[("k", NEW)]))
    if together:
        channel.add(honest, held_back)
    else:
        channel.add(honest)
        channel.add(held_back)
    answers = judged(channel)
    assert not is_covered(answers, held_back)
    assert covered_of(answers, "k") == hashed(NEW)
    again = restore(keys, OLD)
    channel.add(channel.put(("k", b"rogue again")), again)
    answers = judged(channel)
    assert not is_covered(answers, again)
    assert covered_of(answers, "k") == hashed(NEW)


def test_a_repair_that_a_rogue_write_overtakes_still_restores_the_same(channel: Channel, keys: KeyHolder) -> None:
    """With its reads stripped; else it would not be valid. A rogue write that comes after it marks the key again."""
    channel.add(keys.draft(Effects(writes=[("k", OLD)])))
    channel.add(channel.put(("k", b"rogue")))
    repair, later = restore(keys, OLD), channel.put(("k", b"later still"))
    channel.add(channel.put(("k", b"rogue again")), repair)
    assert not list(judged(channel).coverage.suspects())
    channel.add(later)
    answers = judged(channel)
    assert marked(answers) == {"k": transaction_id(later)}
    assert covered_of(answers, "k") == hashed(b"resealed")


def test_a_repair_of_what_is_not_marked_covers_nothing(channel: Channel, keys: KeyHolder) -> None:
    channel.add(keys.draft(Effects(writes=[("k", OLD)])))
    repair = restore(keys, OLD)
    channel.add(repair)
    assert not is_covered(judged(channel), repair)


def test_parameters_are_repaired_apart_from_values(channel: Channel, keys: KeyHolder) -> None:
    other = parse_policy_expression("OR('Org1MSP.peer')")
    channel.add(keys.draft(Effects(writes=[("k", OLD)], parameters=[("k", PARAMETER)])))
    channel.add(keys.draft(Effects(writes=[("k", NEW)])))
    channel.add(channel.draft((CHAINCODE, rwset(metadata=[("k", other)]))))
    answers = judged(channel)
    assert (covered_of(answers, "k"), covered_of(answers, "k", metadata=True)) == (None, hashed(PARAMETER))
    channel.add(channel.put(("k", None), endorsers=channel.peers[:1]))
    answers = judged(channel)
    assert (covered_of(answers, "k"), covered_of(answers, "k", metadata=True)) == (hashed(NEW), hashed(PARAMETER))
    marks = answers.answer(CHAINCODE, AskMarks("k"))
    assert isinstance(marks, MarksAnswer)
    assert (marks.value_marked, marks.value) == (1, hashed(NEW))
    assert (marks.parameter_marked, marks.parameter) == (1, hashed(PARAMETER))
    parts = [RestoredRead("k", hashed(NEW)), RestoredRead("k", hashed(PARAMETER), metadata=True)]
    effects = Effects(writes=[("k", b"resealed")], parameters=[("k", PARAMETER)], restored=parts)
    channel.add(keys.draft(effects))
    assert not list(judged(channel).coverage.suspects())


def test_a_rogue_parameter_is_taken_away_where_there_was_none(channel: Channel, keys: KeyHolder) -> None:
    channel.add(keys.draft(Effects(writes=[("k", OLD)])))
    channel.add(channel.draft((CHAINCODE, rwset(metadata=[("k", PARAMETER)]))))
    restored = [RestoredRead("k", None, metadata=True)]
    channel.add(keys.draft(Effects(parameters=[("k", b"")], restored=restored)))
    answers = judged(channel)
    assert not list(answers.coverage.suspects())
    assert answers.judge.state.metadata((CHAINCODE, ""), b"k", VALIDATION_PARAMETER) == b""
    empty = keys.draft(Effects(parameters=[("k", b"")]))
    bent = rwset(metadata=[("k", b"x")])
    bent.metadata_writes[0].entries[0].value = b""  # what the Gateway takes for a policy that nobody satisfies
    channel.add(empty.but(namespaces=[(CHAINCODE, bent)], nonce=empty.nonce))
    assert marked_parameters(judged(channel)) == {"k"}


def test_a_delete_takes_no_parameter_where_there_was_none(channel: Channel, keys: KeyHolder) -> None:
    channel.add(keys.draft(Effects(writes=[("k", OLD)])))
    channel.add(channel.put(("k", None)))
    assert not marked_parameters(judged(channel))


def test_what_was_there_before_the_namespace_was_confidential_was_never_covered(channel: Channel) -> None:
    """Nor is it when a rogue transaction writes it in the very block of the first definition."""
    channel.add(channel.define(1, "1.0", "vote"))
    channel.add(channel.put(("k", OLD), chaincode="vote"))
    channel.add(channel.define(2, MEASUREMENT, "vote"), channel.put(("k", NEW), chaincode="vote"))
    mark = judged(channel).coverage.mark(Fact("vote", b"k", metadata=False))
    assert mark is not None
    assert mark.covered == b""
