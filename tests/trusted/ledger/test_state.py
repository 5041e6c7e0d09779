"""State, transaction ids and updates against simple models; vectors of heights from fabric-facts (run upstream)."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.fabric.transaction import Version
from cloister.testing.forge import rwset
from cloister.trusted.ledger.errors import LedgerHalted
from cloister.trusted.ledger.mvcc import merged_range, summarise, summary_of_range
from cloister.trusted.ledger.state import MAX_BOUNDS_BYTES, MAX_SUMMARIES, Entry, Rows, State
from cloister.trusted.ledger.transaction import NamespaceSet
from cloister.trusted.ledger.transaction_ids import Position, TransactionIds
from cloister.trusted.ledger.updates import BlockUpdates, encode_height

SPACE = ("cc", "")
KEYS = st.sampled_from([b"a", b"b", b"ba", b"c", b"\xc3\xa4"])


def entry(value: bytes, block: int = 1) -> Entry:
    return Entry(hashlib.sha256(value).digest(), Version(block, 0))


@given(st.lists(st.tuples(KEYS, st.booleans())), KEYS, st.one_of(st.just(b""), KEYS), st.booleans())
def test_ranges_are_those_of_a_sorted_dictionary(
    changes: list[tuple[bytes, bool]], begin: bytes, end: bytes, inclusive: bool
) -> None:
    state, model = State(), dict[bytes, Entry]()
    for key, put in changes:
        if put:
            state.put(SPACE, key, entry(key))
            model[key] = entry(key)
        else:
            state.delete(SPACE, key)
            model.pop(key, None)
    inside = [
        (key, model[key])
        for key in sorted(model)
        if key >= begin and (not end or key < end or (inclusive and key == end))
    ]
    assert list(state.range(SPACE, begin, end, inclusive=inclusive)) == inside
    assert state.count() == len(model)


BOUNDS = st.tuples(KEYS, st.one_of(st.just(b""), KEYS), st.booleans())


@given(st.lists(st.tuples(KEYS, st.sampled_from(["put", "delete", "elsewhere"]), BOUNDS)))
def test_what_is_remembered_of_ranges_is_what_they_are_now(
    steps: list[tuple[bytes, str, tuple[bytes, bytes, bool]]],
) -> None:
    state, asked = State(), set[tuple[bytes, bytes, bool]]()
    for number, (key, step, bounds) in enumerate(steps):
        if step == "delete":
            state.delete(SPACE, key)
        else:
            state.put(SPACE if step == "put" else ("other", ""), key, entry(b"v", number))
        asked.add(bounds)
        for start, end, inclusive in asked:
            fresh = list(state.range(SPACE, start, end, inclusive=inclusive))
            assert state.summary(SPACE, start, end, list, inclusive=inclusive) == fresh
            updates = BlockUpdates()
            updates.set_public("cc", key.decode(), b"new", Version(number, 1), keep=False)
            now = list(merged_range(SPACE, start, end, state, updates, inclusive=inclusive))
            assert summary_of_range(SPACE, start, end, state, updates, list, inclusive=inclusive) == now


def test_a_range_that_nothing_touched_is_not_gone_through_again() -> None:
    state, seen = State(), list[int]()

    def count(rows: Rows) -> int:
        seen.append(len(list(rows)))
        return seen[-1]

    state.put(SPACE, b"b", entry(b"v"))
    for _ in range(2):
        assert state.summary(SPACE, b"a", b"c", count, inclusive=False) == 1
    state.put(SPACE, b"d", entry(b"v"))
    assert state.summary(SPACE, b"a", b"c", count, inclusive=False) == 1
    assert seen == [1]
    longest = b"c".ljust(MAX_BOUNDS_BYTES - 1, b"c")
    for end, asked in ((longest, 1), (longest + b"c", 2)):  # nor by naming very long ones
        before = len(seen)
        for _ in range(2):
            assert state.summary(SPACE, b"a", end, count, inclusive=False) == 1
        assert len(seen) == before + asked
    state.put(SPACE, b"a", entry(b"v"))
    assert state.summary(SPACE, b"a", b"c", count, inclusive=False) == 2
    for number in range(3 * MAX_SUMMARIES):  # whoever asks about very many ranges gets no more memory
        state.summary(SPACE, str(number).encode(), b"", count, inclusive=False)
    assert state.summary(SPACE, b"a", b"c", count, inclusive=False) == 2


def test_values_are_kept_only_where_asked() -> None:
    updates, state = BlockUpdates(), State(frozenset({"kept"}))
    parts = tuple(NamespaceSet(name, rwset(writes=[("k", b"v")]), ()) for name in ("kept", "other"))
    updates.add(parts, Version(1, 0), state)
    updates.commit(state)
    assert state.value("kept", "k") == b"v"
    assert state.value("other", "k") is None
    assert state.get(("other", ""), b"k") == entry(b"v")


def test_metadata_for_a_key_that_the_block_deletes_halts_and_for_one_that_never_was_is_dropped() -> None:
    state = State()
    state.put(SPACE, b"k", entry(b"v"))
    updates = BlockUpdates()
    updates.add((NamespaceSet("cc", rwset(metadata=[("never", b"p")]), ()),), Version(2, 0), state)
    assert updates.get(SPACE, b"never") is None
    updates.add((NamespaceSet("cc", rwset(writes=[("k", None)]), ()),), Version(2, 1), state)
    with pytest.raises(LedgerHalted):
        updates.add((NamespaceSet("cc", rwset(metadata=[("k", b"p")]), ()),), Version(2, 2), state)


@pytest.mark.parametrize(
    ("height", "encoded"),
    [((0, 0), "0000"), ((1, 0), "010100"), ((255, 256), "01ff020100"), ((65536, 3), "030100000103")],
)
def test_heights_are_encoded_as_upstream_does(height: tuple[int, int], encoded: str) -> None:
    assert encode_height(Version(*height)).hex() == encoded


def test_a_range_sees_what_the_block_has_written_so_far() -> None:
    state = State()
    for key in (b"a", b"b", b"c"):
        state.put(SPACE, key, entry(key))
    updates = BlockUpdates()
    updates.add((NamespaceSet("cc", rwset(writes=[("b", None), ("bb", b"x"), ("z", b"x")]), ()),), Version(2, 0), state)
    found = [key for key, _ in merged_range(SPACE, b"a", b"d", state, updates, inclusive=False)]
    assert found == [b"a", b"bb", b"c"]


@given(st.integers(0, 40), st.integers(2, 5))
def test_a_summary_tells_every_list_of_results_apart(count: int, degree: int) -> None:
    results = [(f"{number:03}".encode(), Version(number, 1)) for number in range(count)]
    level, hashes = summarise(iter(results), degree)
    assert (level == 0) == (count <= degree)
    assert len(hashes) <= degree
    if count > degree:
        for position in range(count):
            changed = [*results[:position], (results[position][0], Version(99, 9)), *results[position + 1 :]]
            assert summarise(iter(changed), degree) != (level, hashes)


IDS = st.text(max_size=2)


def _is_late(first: Position, position: Position) -> bool:
    """The valid one after a failed one of the same block."""
    return first.block == position.block and first.code != 0 and position.code == 0


BLOCKS = st.one_of(st.integers(0, 3), st.integers(0, 2**40))
CODES = st.one_of(st.just(0), st.integers(0, 255))


@given(st.lists(st.tuples(IDS, BLOCKS, st.integers(0, 2**31), CODES, st.booleans())))
def test_transaction_ids_are_found_where_they_stood_first_or_were_valid_in_that_block(
    entries: list[tuple[str, int, int, int, bool]],
) -> None:
    ids, model = TransactionIds(b"salt"), dict[str, Position]()
    for name, block, transaction, code, covered in entries:
        position = Position(block, transaction, code, covered)
        ids.add(name, position)
        if name not in model or _is_late(model[name], position):
            model[name] = position
    again = TransactionIds(b"salt")
    again.load(ids.records())
    for table in (ids, again):
        assert len(table) == len(model)
        assert {name: table.find(name) for name in model} == model
    assert "absent-" * 3 not in ids
    other = TransactionIds(b"other")
    other.load(ids.records())
    assert all(other.find(name) is None for name in model)


def test_records_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="records"):
        TransactionIds().load(b"x")


def test_doubled_writes_have_upstreams_odd_results() -> None:
    """Compared with real peers in tests/ledger; here the rule by itself (core/ledger/kvledger/txmgmt tx_ops.go)."""
    state = State(None)
    old = BlockUpdates()
    old.add((NamespaceSet("cc", rwset(writes=[("k", b"old")]), ()),), Version(1, 0), state)
    old.commit(state)
    for writes, left in (
        ([("k", b"a"), ("k", b"b")], b"old"),
        ([("k", b"a"), ("k", b"b"), ("k", b"c")], b"c"),
        ([("k", None), ("k", None)], b"old"),
    ):
        updates = BlockUpdates()
        updates.add((NamespaceSet("cc", rwset(writes=writes), ()),), Version(2, 0), state)
        update = updates.get(SPACE, b"k")
        assert update is not None
        assert update.entry is not None
        assert update.entry.value == left
