"""Sets of heights as intervals, against plain sets."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from cloister.trusted.chaincode.heights import Interval, intersect, intervals_of

VALUES = st.sampled_from([b"", b"a", b"b", b"!"])
HISTORIES = st.lists(VALUES, min_size=1, max_size=12)
"""What was there at heights 3, 4, 5, …"""
FLOOR = 3


def heights(intervals: Iterable[Interval]) -> set[int]:
    return {height for begin, end in intervals for height in range(begin, end + 1)}


def segments_of(history: list[bytes]) -> list[tuple[int, bytes]]:
    found = [
        (FLOOR + index, value)
        for index, value in enumerate(history)
        if not index or value != history[index - 1] or index % 3 == 0
    ]
    return found[::-1]


@given(HISTORIES, VALUES)
def test_intervals_are_where_the_value_was(history: list[bytes], wanted: bytes) -> None:
    found = intervals_of(segments_of(history), wanted, FLOOR + len(history) - 1)
    assert heights(found) == {FLOOR + index for index, value in enumerate(history) if value == wanted}


@given(HISTORIES, HISTORIES, VALUES, VALUES)
def test_a_snapshot_exists_iff_some_height_is_in_both(
    first: list[bytes], second: list[bytes], wanted: bytes, other: bytes
) -> None:
    one = intervals_of(segments_of(first), wanted, FLOOR + len(first) - 1)
    two = intervals_of(segments_of(second), other, FLOOR + len(second) - 1)
    both = intersect(one, two)
    assert heights(both) == heights(one) & heights(two)
    assert list(both) == sorted(both, reverse=True)


@given(st.lists(st.tuples(st.integers(0, 20), VALUES), max_size=6), st.integers(0, 20))
def test_segments_out_of_order_are_worth_nothing(segments: list[tuple[int, bytes]], height: int) -> None:
    begins = [begin for begin, _ in segments]
    ordered = all(later > earlier for later, earlier in itertools.pairwise(begins))
    if not ordered or (begins and begins[0] > height):
        assert intervals_of(segments, b"a", height) == ()
