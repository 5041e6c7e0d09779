"""At which heights is everything true that an execution has read? Sets of heights, and their intersection.

Trust level: trusted, pure. A read is true in one or several intervals of heights; one height in all of them is a
snapshot that the channel really had. No height at all: the host mixes.
"""

from __future__ import annotations

from collections.abc import Iterable

Interval = tuple[int, int]
"""First and last height, both inclusive."""


def intervals_of(segments: Iterable[tuple[int, bytes]], wanted: bytes, height: int) -> tuple[Interval, ...]:
    """Where `wanted` was true: segments are (from height, what), newest first; the newest one goes up to `height`."""
    found, end = [], height
    for begin, value in segments:
        if begin > end:
            return ()  # out of order: no ledger enclave of ours says that
        if value == wanted:
            found.append((begin, end))
        end = begin - 1
    return tuple(found)


def intersect(first: Iterable[Interval], second: Iterable[Interval]) -> tuple[Interval, ...]:
    """Heights in both sets, newest first."""
    found = [
        (max(begin, other_begin), min(end, other_end))
        for begin, end in first
        for other_begin, other_end in second
        if max(begin, other_begin) <= min(end, other_end)
    ]
    return tuple(sorted(found, reverse=True))
