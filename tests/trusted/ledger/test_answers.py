"""What a chaincode enclave is told: what was when, who may ask, which keys and administrators count."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloister.errors import Refused
from cloister.fabric.block import parse_block
from cloister.fabric.identity import SerializedIdentity
from cloister.testing.channel import (
    CHAINCODE,
    MEASUREMENT,
    NEXT_MEASUREMENT,
    PARAMETER,
    REGISTRY,
    Channel,
    Effects,
    KeyHolder,
    follow,
    hashed,
    make_authority,
    new_answers_for,
    transaction_id,
)
from cloister.testing.configs import members, organization, revocations
from cloister.testing.forge import Draft, rwset
from cloister.testing.signers import Wanted, stranger
from cloister.trusted.chaincode.heights import intervals_of
from cloister.trusted.ledger import answers as answers_module
from cloister.trusted.ledger.answers import MAX_PAST_STATES, Answers
from cloister.trusted.ledger.checkpoint import CheckpointScope, dump, load
from cloister.trusted.ledger.codes import Code
from cloister.trusted.ledger.history import Fact
from cloister.trusted.protocol.questions import (
    ABSENT,
    ANSWERS,
    HEADS,
    MINIMUM_BEHIND,
    MINIMUM_FORK,
    MINIMUM_HOLDS,
    UNCOVERED,
    AdministratorsAnswer,
    AskAdministrators,
    AskBlock,
    AskCaller,
    AskKey,
    AskKeySet,
    AskParameter,
    AskRange,
    AskTransaction,
    BlockAnswer,
    CallerAnswer,
    KeySetAnswer,
    Question,
    SegmentsAnswer,
    TransactionAnswer,
)
from cloister.trusted.protocol.reads import rows_digest

V1, V2 = b"first", b"second"
Segments = Sequence[tuple[int, bytes]]


@pytest.fixture(scope="module")
def prepared() -> tuple[Channel, KeyHolder]:
    """A channel at height 3 whose chaincode has keys."""
    channel = Channel()
    return channel, channel.prepare()


@pytest.fixture
def channel(prepared: tuple[Channel, KeyHolder]) -> Channel:
    return prepared[0].fork()


@pytest.fixture
def keys(channel: Channel, prepared: tuple[Channel, KeyHolder]) -> KeyHolder:
    return KeyHolder(channel, prepared[1].ring)


def caught_up(channel: Channel, window: int = 256) -> Answers:
    answers = new_answers_for(channel, window=window)
    follow(answers, *channel.blocks[1:])
    return answers


def segments(answers: Answers, question: Question) -> Segments:
    answer = answers.answer(CHAINCODE, question)
    assert isinstance(answer, SegmentsAnswer)
    return answer.segments


def at(found: Segments, height: int) -> bytes:
    """What was there at a height that the segments tell of."""
    return next(value for begin, value in found if begin <= height)


def digest(rows: dict[str, bytes]) -> bytes:
    return rows_digest((key.encode(), hashed(value) or b"") for key, value in sorted(rows.items()))


# --- segments -------------------------------------------------------------------------------------------------------


def test_a_key_made_deleted_and_made_again_has_a_segment_for_each(channel: Channel, keys: KeyHolder) -> None:
    for value in (V1, None, None, V2, V2):
        channel.add(keys.draft(Effects(writes=[("k", value)])))
    found = segments(caught_up(channel), AskKey("k"))
    assert found == ((7, hashed(V2)), (5, ABSENT), (4, hashed(V1)), (2, ABSENT))
    assert intervals_of(found, ABSENT, 8) == ((5, 6), (2, 3))


def test_endorsement_parameters_have_segments_of_their_own(channel: Channel, keys: KeyHolder) -> None:
    channel.add(keys.draft(Effects(writes=[("k", V1)])))
    channel.add(keys.draft(Effects(parameters=[("k", PARAMETER)])))
    channel.add(keys.draft(Effects(writes=[("k", V2)])))
    channel.add(keys.draft(Effects(writes=[("k", None)])))
    answers = caught_up(channel)
    assert segments(answers, AskParameter("k")) == ((7, ABSENT), (5, hashed(PARAMETER)), (2, ABSENT))
    assert [begin for begin, _ in segments(answers, AskKey("k"))] == [7, 6, 4, 2]


def test_an_uncovered_segment_stays_uncovered_when_the_key_is_repaired(channel: Channel, keys: KeyHolder) -> None:
    channel.add(keys.draft(Effects(writes=[("k", V1)])))
    rogue = channel.put(("k", V1))
    channel.add(rogue)
    answers = caught_up(channel)
    answer = answers.answer(CHAINCODE, AskKey("k"))
    assert isinstance(answer, SegmentsAnswer)
    assert answer.segments == ((5, UNCOVERED), (4, hashed(V1)), (2, ABSENT))
    assert answer.writer == transaction_id(rogue)
    follow(answers, channel.add(keys.draft(Effects(writes=[("k", V2)]))))
    assert segments(answers, AskKey("k")) == ((6, hashed(V2)), (5, UNCOVERED), (4, hashed(V1)), (2, ABSENT))


def test_memory_ends_at_its_window(channel: Channel, keys: KeyHolder) -> None:
    for value in (V1, V2, V1, V2):
        channel.add(keys.draft(Effects(writes=[("k", value)])))
    answers = caught_up(channel, window=2)
    assert segments(answers, AskKey("k")) == ((7, hashed(V2)), (6, hashed(V1)), (5, hashed(V2)))
    for _ in range(2):
        follow(answers, channel.add(channel.put(("p", b"v"), chaincode="plain")))
    assert segments(answers, AskKey("k")) == ((7, hashed(V2)),)
    assert answers.coverage.history.floor == 7
    assert not answers.coverage.history.changed_keys(CHAINCODE, b"", b"")


def test_nothing_is_told_of_heights_before_the_namespace_was_confidential(channel: Channel) -> None:
    channel.add(channel.define(1, "1.0", "vote"))
    channel.add(channel.put(("k", V1), chaincode="vote"))
    channel.add(channel.define(2, MEASUREMENT, "vote"))
    answers = caught_up(channel)
    answer = answers.answer("vote", AskKey("k"))
    assert isinstance(answer, SegmentsAnswer)
    assert (answer.segments, answer.writer) == (((6, UNCOVERED),), "before")


# --- ranges ---------------------------------------------------------------------------------------------------------


def test_ranges_are_told_with_their_past_only_when_asked(channel: Channel, keys: KeyHolder) -> None:
    channel.add(keys.draft(Effects(writes=[("a", V1), ("b", V1), ("z", V1)])))
    channel.add(keys.draft(Effects(writes=[("b", None), ("z", V2)])))
    channel.add(keys.draft(Effects(writes=[("aa", V2)])))
    answers = caught_up(channel)
    states: tuple[dict[str, bytes], ...] = ({"a": V1, "aa": V2}, {"a": V1}, {"a": V1, "b": V1}, {})
    told = tuple(zip((6, 5, 4, 2), map(digest, states), strict=True))
    assert segments(answers, AskRange("a", "c", 1)) == told
    assert segments(answers, AskRange("a", "c", 0)) == told[:1]
    assert at(segments(answers, AskRange("", "", 1)), 6) == digest({"a": V1, "aa": V2, "z": V2})
    assert segments(answers, AskRange("c", "a", 1)) == ((2, digest({})),)


@pytest.mark.parametrize("rogue", [V1, None], ids=["a value", "a tombstone"])
@pytest.mark.parametrize("bounds", [("a", "c"), ("a", ""), ("", ""), ("b", "b\0")])
def test_p6_a_range_with_an_uncovered_row_or_tombstone_is_uncovered(
    channel: Channel, keys: KeyHolder, rogue: bytes | None, bounds: tuple[str, str]
) -> None:
    channel.add(keys.draft(Effects(writes=[("a", V1), ("b", V2)])))
    draft = channel.put(("b", rogue))
    channel.add(draft)
    answers = caught_up(channel)
    answer = answers.answer(CHAINCODE, AskRange(*bounds, 1))
    assert isinstance(answer, SegmentsAnswer)
    assert answer.segments[0] == (5, UNCOVERED)
    assert answer.writer == transaction_id(draft)
    assert UNCOVERED not in [value for _, value in answer.segments[1:]]
    assert segments(answers, AskRange("a", "b", 0))[0] == (4, digest({"a": V1}))


def test_a_range_marked_since_before_memory_was_never_to_be_believed(channel: Channel, keys: KeyHolder) -> None:
    channel.add(channel.put(("b", V2)))
    answers = caught_up(channel, window=2)
    for value in (V1, V2, V1, V2):
        follow(answers, channel.add(keys.draft(Effects(writes=[("a", value)]))))
    assert {value for _, value in segments(answers, AskRange("a", "c", 1))} == {UNCOVERED}
    assert UNCOVERED not in {value for _, value in segments(answers, AskRange("a", "b", 1))}


def test_e5_the_past_of_a_range_is_bounded_in_states_and_rows(
    channel: Channel, keys: KeyHolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(MAX_PAST_STATES + 4):
        channel.add(keys.draft(Effects(writes=[("a", b"%d" % number)])))
    answers = caught_up(channel)
    whole = segments(answers, AskRange("a", "b", 1))
    assert len(whole) == 1 + MAX_PAST_STATES
    monkeypatch.setattr(answers_module, "MAX_PAST_ROWS", 6)
    assert segments(answers, AskRange("a", "b", 1)) == whole[:4]


# --- the model ----------------------------------------------------------------------------------------------------


KEYS = ("a", "b", "c")
BOUNDS = (("", ""), ("a", "b"), ("a", "c"), ("b", ""), ("c", "d"), ("x", "y"))
WRITES = st.lists(
    st.tuples(st.sampled_from(KEYS), st.sampled_from([V1, V2, None])), max_size=3, unique_by=lambda item: item[0]
)
PARAMETERS = st.lists(st.sampled_from(KEYS), max_size=1)
TRANSACTIONS = st.tuples(st.sampled_from(["covered", "covered", "rogue", "invalid"]), WRITES, PARAMETERS)
CHAINS = st.lists(st.lists(TRANSACTIONS, min_size=1, max_size=3), min_size=1, max_size=8)


class Model:
    """Every fact at every height, one dictionary after the other."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.parameters: set[str] = set()
        self.marks: set[tuple[str, bool]] = set()
        self.heights: dict[int, dict[tuple[str, bool], bytes]] = {}

    def apply(self, writes: Sequence[tuple[str, bytes | None]], parameters: Sequence[str], covered: bool) -> None:
        for key, value in writes:
            self.mark((key, False), covered)
            if value is None:
                self.values.pop(key, None)
                if covered or key in self.parameters:  # else there was none to take along
                    self.mark((key, True), covered)
                self.parameters.discard(key)
            else:
                self.values[key] = value
        for key in parameters:
            self.mark((key, True), covered)
            if key in self.values:
                self.parameters.add(key)

    def mark(self, fact: tuple[str, bool], covered: bool) -> None:
        (self.marks.discard if covered else self.marks.add)(fact)

    def remember(self, height: int) -> None:
        facts = {}
        for key in KEYS:
            facts[(key, False)] = hashed(self.values.get(key)) or ABSENT
            facts[(key, True)] = (hashed(PARAMETER) or b"") if key in self.parameters else ABSENT
        self.heights[height] = {**facts, **dict.fromkeys(self.marks, UNCOVERED)}

    def rows(self, height: int, start: str, end: str) -> bytes:
        inside = {key: self.heights[height][(key, False)] for key in KEYS if start <= key and (not end or key < end)}
        if UNCOVERED in inside.values():
            return UNCOVERED
        return rows_digest((key.encode(), value) for key, value in inside.items() if value != ABSENT)


def transaction(
    kind: str, writes: Sequence[tuple[str, bytes | None]], parameters: Sequence[str], keys: KeyHolder
) -> Draft:
    channel = keys.channel
    pairs = [(key, PARAMETER) for key in parameters]
    if kind == "covered":
        return keys.draft(Effects(writes=writes, parameters=pairs))
    endorsers = channel.peers if kind == "rogue" else []
    return channel.draft((CHAINCODE, rwset(writes=writes, metadata=pairs)), endorsers=endorsers)


def agree(answers: Answers, model: Model) -> None:
    height = answers.judge.height
    floor = max(answers.coverage.history.floor, answers.coverage.watched_from[CHAINCODE])
    for told in range(floor, height + 1):
        for (key, metadata), wanted in model.heights[told].items():
            question: Any = AskParameter(key) if metadata else AskKey(key)
            assert at(segments(answers, question), told) == wanted, (told, key, metadata)
        for bounds in BOUNDS:
            found = segments(answers, AskRange(*bounds, 1))
            if told >= found[-1][0]:
                assert at(found, told) == model.rows(told, *bounds), (told, bounds)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chain=CHAINS, restart=st.integers(0, 8), window=st.sampled_from([1, 3, 256]))
def test_segments_equal_those_of_a_model_that_keeps_everything(
    prepared: tuple[Channel, KeyHolder],
    chain: list[list[tuple[str, list[tuple[str, bytes | None]], list[str]]]],
    restart: int,
    window: int,
) -> None:
    channel = prepared[0].fork()
    keys = KeyHolder(channel, prepared[1].ring)
    answers, model = caught_up(channel, window), Model()
    model.remember(2)
    model.remember(3)
    for number, block in enumerate(chain):
        if number == restart:
            answers = again(answers, channel)
        gone: set[str] = set()  # metadata of a key that the block deletes halts peers
        parts = []
        for kind, writes, wanted in block:
            gone |= {key for key, value in writes if value is None}
            parts.append((kind, writes, [key for key in wanted if key not in gone]))
        encoded = channel.add(*[transaction(*part, keys) for part in parts])
        verdict = answers.judge.follow(encoded)
        answers.hashes.add(verdict.header_hash)
        for (kind, writes, parameters), code in zip(parts, verdict.codes, strict=True):
            if code is Code.VALID:
                model.apply(writes, parameters, covered=kind == "covered")
        model.remember(answers.judge.height)
        agree(answers, model)
    agree(again(answers, channel), model)


def again(answers: Answers, channel: Channel) -> Answers:
    """Through a checkpoint."""
    scope = CheckpointScope(channel.genesis_hash, REGISTRY, bytes(32))
    return load(list(dump(answers, scope)), scope)


# --- transactions, blocks, key sets, administrators ------------------------------------------------------------------


def test_a_transaction_stands_where_it_was_first(channel: Channel, keys: KeyHolder) -> None:
    covered, rogue = keys.draft(Effects(writes=[("a", V1)])), channel.put(("b", V1))
    failed = channel.put(("c", V1), endorsers=[])
    channel.add(covered, rogue, failed)
    channel.add(covered, channel.put(("d", V1)))
    answers = caught_up(channel)

    def ask(identifier: str) -> TransactionAnswer:
        answer = answers.answer(CHAINCODE, AskTransaction(identifier))
        assert isinstance(answer, TransactionAnswer)
        return answer

    found = [ask(transaction_id(item)) for item in (covered, rogue, failed)]
    assert [(item.known, item.block, item.index, item.covered) for item in found] == [
        (1, 3, 0, 1),
        (1, 3, 1, 0),
        (1, 3, 2, 0),
    ]
    assert [item.code for item in found] == [Code.VALID, Code.VALID, Code.ENDORSEMENT_POLICY_FAILURE]
    assert {item.block_hash for item in found} == {answers.hashes.get(3)}
    envelopes = parse_block(channel.blocks[3]).transactions
    assert [item.envelope_hash for item in found] == [hashlib.sha256(envelopes[0]).digest(), b"", b""]
    answers.envelopes.blocks.clear()  # as after a restart, or long ago
    assert ask(transaction_id(covered)).envelope_hash == b""
    assert ask("0" * 63 + "1") == TransactionAnswer(found[0].head, 0, 0, 0, 0, 0, b"", b"")


def test_a_failed_transaction_filed_under_anothers_id_in_its_block_hides_nothing(
    channel: Channel, keys: KeyHolder
) -> None:
    """Whoever sees a transaction before its block can do that; its outcome could never be opened."""
    victim = keys.draft(Effects(writes=[("a", V1)]))
    stolen = transaction_id(victim)
    thief = channel.put(("b", V1), client=channel.clients[1], header=lambda header: setattr(header, "tx_id", stolen))
    channel.add(thief, victim, thief.but())
    answers = caught_up(channel)
    answer = answers.answer(CHAINCODE, AskTransaction(stolen))
    assert isinstance(answer, TransactionAnswer)
    assert (answer.index, answer.code, answer.covered) == (1, Code.VALID, 1)


def test_block_hashes_are_those_of_the_chain(channel: Channel, keys: KeyHolder) -> None:
    answers = caught_up(channel)
    head = answers.head(CHAINCODE)
    assert (head.height, head.block_hash, head.config_block) == (3, answers.hashes.get(2), 0)
    for number, expected in ((0, channel.genesis_hash), (2, head.block_hash), (3, b""), (2**64 - 1, b"")):
        answer = answers.answer(CHAINCODE, AskBlock(number))
        assert isinstance(answer, BlockAnswer)
        assert answer.block_hash == expected


def test_key_sets_are_told_with_the_measurement_of_their_sequence(channel: Channel, keys: KeyHolder) -> None:
    channel.add(channel.define(2, NEXT_MEASUREMENT))
    answers = caught_up(channel)
    expected = {
        1: (keys.descriptor.key_set_id, MEASUREMENT, keys.descriptor.result_key),
        2: (b"", NEXT_MEASUREMENT, b""),
        0: (b"", b"", b""),
        2**64 - 1: (b"", b"", b""),
    }
    for sequence, told in expected.items():
        answer = answers.answer(CHAINCODE, AskKeySet(sequence))
        assert isinstance(answer, KeySetAnswer)
        assert (answer.key_set_id, answer.measurement, answer.result_key) == told


def test_administrators_are_those_of_application_organisations_now(channel: Channel, keys: KeyHolder) -> None:
    orderer_admin = channel.ordering_authority.issue(Wanted("admin", ("admin",)))
    third = make_authority("Org3MSP")
    third_admin = third.issue(Wanted("admin", ("admin",)))

    def ask(*signers: Any) -> AdministratorsAnswer:
        answer = caught_up(channel).answer(CHAINCODE, AskAdministrators(tuple(item.creator for item in signers)))
        assert isinstance(answer, AdministratorsAnswer)
        return answer

    both = ("Org1MSP", "Org2MSP")
    assert ask(*channel.admins).signed == ask(*channel.admins).all == both
    forged = stranger(channel.authorities[0]).issue(Wanted("admin", ("admin",)))
    for nobody in (*channel.clients, *channel.peers, orderer_admin, third_admin, forged, channel.admins[0].under("X")):
        assert ask(nobody, channel.admins[1]).signed == ("Org2MSP",)
    channel.reconfigure(["Application"], members(Org3MSP=organization(third)))
    assert ask(*channel.admins, third_admin).signed == ("Org1MSP", "Org2MSP", "Org3MSP")
    revoked = channel.authorities[0].revoke(channel.admins[0].certificate_pem)
    channel.reconfigure(["Application", "Org1MSP"], revocations(revoked), channel.admins)
    assert ask(*channel.admins).signed == ("Org2MSP",)
    answer = caught_up(channel).answer(CHAINCODE, AskAdministrators((b"garbage", b"")))
    assert isinstance(answer, AdministratorsAnswer)
    assert answer.signed == ()


# --- callers --------------------------------------------------------------------------------------------------------


def may_write(answers: Answers, creator: bytes) -> bool:
    answer = answers.answer(CHAINCODE, AskCaller(creator, 0, b""))
    assert isinstance(answer, CallerAnswer)
    return bool(answer.may_write)


def test_b2_only_members_that_are_valid_now_may_write(channel: Channel, keys: KeyHolder) -> None:
    answers = caught_up(channel)
    user = channel.clients[0]
    own = stranger(channel.authorities[0]).issue(Wanted("user", ("client",)))
    unknown = make_authority("Org9MSP").issue(Wanted("user", ("client",)))
    two_roles = channel.authorities[0].issue(Wanted("user", ("client", "peer")))
    ordering = channel.ordering_authority.issue(Wanted("user", ("client",)))
    assert may_write(answers, user.creator)
    for identity in (own, unknown, two_roles, ordering, user.under("Org2MSP"), user.under("")):
        assert not may_write(answers, identity.creator)
    for garbage in (b"", b"garbage", SerializedIdentity("Org1MSP", b"-----BEGIN").encode(), user.creator[:-9]):
        assert not may_write(answers, garbage)
    lists = channel.authorities[0].revoke(user.certificate_pem)
    follow(answers, channel.reconfigure(["Application", "Org1MSP"], revocations(lists)))
    assert not may_write(answers, user.creator)
    assert may_write(answers, channel.clients[1].creator)
    assert answers.head(CHAINCODE).config_block == 3


@pytest.mark.parametrize(
    ("height", "number", "minimum"),
    [
        (0, None, MINIMUM_HOLDS),
        (1, 0, MINIMUM_HOLDS),
        (3, 2, MINIMUM_HOLDS),
        (4, 2, MINIMUM_BEHIND),
        (2**64 - 1, 0, MINIMUM_BEHIND),
        (3, 1, MINIMUM_FORK),
        (3, None, MINIMUM_FORK),
    ],
)
def test_b12_a_clients_checkpoint_holds_lies_ahead_or_is_of_a_fork(
    channel: Channel, keys: KeyHolder, height: int, number: int | None, minimum: str
) -> None:
    answers = caught_up(channel)
    block_hash = answers.hashes.get(number) if number is not None else b""
    answer = answers.answer(CHAINCODE, AskCaller(channel.clients[0].creator, height, block_hash))
    assert isinstance(answer, CallerAnswer)
    assert answer.minimum == minimum


def test_e5_identities_of_strangers_are_not_remembered_without_bound(
    channel: Channel, keys: KeyHolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cloister.trusted.ledger import msp

    monkeypatch.setattr(msp, "MAX_REMEMBERED", 8)
    answers = caught_up(channel)
    for _ in range(30):
        assert not may_write(answers, os.urandom(40))
        assert may_write(answers, channel.clients[0].creator)
    assert not may_write(answers, bytes(msp.MAX_REMEMBERED_BYTES + 1))
    known = answers.judge.config.msps._identities
    assert len(known) <= 8
    assert max(map(len, known)) <= msp.MAX_REMEMBERED_BYTES


def test_plain_and_unknown_chaincodes_have_no_answers(channel: Channel, keys: KeyHolder) -> None:
    answers = caught_up(channel)
    for name in ("plain", "nothing", "", "_lifecycle", REGISTRY):
        with pytest.raises(Refused):
            answers.answer(name, AskKey("a"))


@given(
    st.one_of(
        st.builds(AskCaller, st.binary(max_size=60), st.integers(0, 2**64 - 1), st.binary(max_size=33)),
        st.builds(AskKey, st.text(max_size=5)),
        st.builds(AskParameter, st.text(max_size=5)),
        st.builds(AskRange, st.text(max_size=3), st.text(max_size=3), st.integers(0, 2)),
        st.builds(AskTransaction, st.text(max_size=70)),
        st.builds(AskBlock, st.integers(0, 2**64 - 1)),
        st.builds(AskKeySet, st.integers(0, 2**64 - 1)),
        st.builds(AskAdministrators, st.lists(st.binary(max_size=40), max_size=3).map(tuple)),
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_question_has_an_answer_with_a_head(prepared: tuple[Channel, KeyHolder], question: Question) -> None:
    answers = _kept(prepared)
    answer = answers.answer(CHAINCODE, question)
    assert ANSWERS.decode(ANSWERS.encode(answer)) == ((), answer)
    assert HEADS.decode(answer.head)[1] == answers.head(CHAINCODE)
    assert answers.answer(CHAINCODE, question) == answer


_KEPT: list[Answers] = []


def _kept(prepared: tuple[Channel, KeyHolder]) -> Answers:
    if not _KEPT:
        channel = prepared[0].fork()
        keys = KeyHolder(channel, prepared[1].ring)
        channel.add(keys.draft(Effects(writes=[("a", V1), ("b", V1)])), channel.put(("c", V1)))
        _KEPT.append(caught_up(channel))
    return _KEPT[0]


def test_facts_of_one_name_in_two_namespaces_are_two(channel: Channel, keys: KeyHolder) -> None:
    other = KeyHolder.new(channel, chaincode="vote")
    channel.add(channel.define(name="vote"), channel.register(other))
    channel.add(keys.draft(Effects(writes=[("k", V1)])), other.draft(Effects(writes=[("k", V2)])))
    answers = caught_up(channel)
    assert segments(answers, AskKey("k"))[0][1] == hashed(V1)
    answer = answers.answer("vote", AskKey("k"))
    assert isinstance(answer, SegmentsAnswer)
    assert answer.segments[0][1] == hashed(V2)
    assert answers.coverage.mark(Fact("vote", b"k", metadata=False)) is None
