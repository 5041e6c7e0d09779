"""Digests of what was read and written: one for each meaning, whatever the order of things that have none."""

from __future__ import annotations

import contextlib
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.errors import MalformedInput
from cloister.trusted.protocol.reads import (
    MetadataWrite,
    PointRead,
    RangeRead,
    ReadList,
    Write,
    decode_read_list,
    event_hash,
    metadata_digest,
    reads_digest,
    rows_digest,
    value_hash,
    writes_digest,
)
from cloister.wire.framing import encode_frame

KEYS = st.text(max_size=6)
HASHES = st.sampled_from([hashlib.sha256(item).digest() for item in (b"a", b"b")])
POINTS = st.builds(PointRead, KEYS, st.one_of(st.none(), HASHES), st.booleans())
RANGES = st.builds(RangeRead, KEYS, KEYS, HASHES, st.integers(0, 3))
WRITES = st.lists(st.builds(Write, KEYS, st.one_of(st.none(), st.binary(max_size=4))), unique_by=lambda item: item.key)
LISTS = st.builds(
    ReadList,
    st.lists(KEYS, max_size=4).map(tuple),
    st.lists(KEYS, max_size=4).map(tuple),
    st.lists(st.tuples(KEYS, KEYS), max_size=4).map(tuple),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(POINTS), st.lists(RANGES), st.lists(POINTS), st.lists(RANGES))
def test_reads_have_one_digest_for_each_meaning(
    points: list[PointRead], ranges: list[RangeRead], points2: list[PointRead], ranges2: list[RangeRead]
) -> None:
    same = (sorted(points, key=repr), ranges) == (sorted(points2, key=repr), ranges2)
    assert (reads_digest(points, ranges) == reads_digest(points2, ranges2)) == same
    assert reads_digest(points[::-1], ranges) == reads_digest(points, ranges)


def test_absent_present_parameter_and_page_are_told_apart() -> None:
    zero = bytes(32)
    singles = [
        reads_digest([PointRead("k", None)], []),
        reads_digest([PointRead("k", zero)], []),
        reads_digest([PointRead("k", None, metadata=True)], []),
        reads_digest([PointRead("k", zero, metadata=True)], []),
        reads_digest([], [RangeRead("k", "", zero)]),
        reads_digest([], [RangeRead("", "k", zero)]),
        reads_digest([], [RangeRead("k", "", zero, 1)]),
        reads_digest([], []),
    ]
    assert len(set(singles)) == len(singles)


@settings(max_examples=50, deadline=None)
@given(WRITES, WRITES)
def test_writes_have_one_digest_whatever_their_order(writes: list[Write], others: list[Write]) -> None:
    by_key = lambda item: item.key  # noqa: E731 - used four times
    same = sorted(writes, key=by_key) == sorted(others, key=by_key)
    assert (writes_digest(writes) == writes_digest(others)) == same
    assert writes_digest(reversed(writes)) == writes_digest(writes)


def test_a_delete_is_no_empty_put_and_a_parameter_no_value() -> None:
    assert writes_digest([Write("k", None)]) != writes_digest([Write("k", b"")])
    assert metadata_digest([MetadataWrite("k", b"v")]) != writes_digest([Write("k", b"v")])
    assert metadata_digest([]) != writes_digest([]) != reads_digest([], [])
    assert value_hash(b"") is value_hash(None) is None
    assert event_hash("a", b"bc") != event_hash("ab", b"c")


ROWS = st.lists(st.tuples(st.binary(max_size=5), HASHES), max_size=4)


@settings(max_examples=50, deadline=None)
@given(ROWS, ROWS)
def test_rows_have_one_digest_for_each_list(rows: list[tuple[bytes, bytes]], others: list[tuple[bytes, bytes]]) -> None:
    assert (rows_digest(rows) == rows_digest(others)) == (rows == others)


@settings(max_examples=50, deadline=None)
@given(LISTS)
def test_read_lists_come_back(reads: ReadList) -> None:
    assert decode_read_list(reads.encode()) == reads


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_malformed_or_a_read_list(content: bytes) -> None:
    with contextlib.suppress(MalformedInput):
        assert decode_read_list(content).encode() == content


@settings(max_examples=50, deadline=None)
@given(LISTS, st.data())
def test_damaged_read_lists_are_malformed_or_other_ones(reads: ReadList, data: st.DataObject) -> None:
    damaged = bytearray(reads.encode())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(MalformedInput):
        assert decode_read_list(bytes(damaged)).encode() == bytes(damaged)


def test_half_a_range_is_malformed() -> None:
    halves = [encode_frame(b"", ()), encode_frame(b"", ()), encode_frame(b"", (b"start",))]
    with pytest.raises(MalformedInput):
        decode_read_list(encode_frame(b"cloister/reads/list/1", halves))
