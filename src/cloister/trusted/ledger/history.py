"""What the keys of confidential chaincode were a few blocks ago: in which heights a value was current.

A peer may be some blocks behind or ahead; a read is true at a height, and the reads of one execution must be true
together. So of every change in the last WINDOW blocks the value before it is kept. Fact = one key's value, or its
endorsement parameter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sortedcontainers import SortedList

WINDOW = 256
"""Blocks back to which reads may refer."""


class Fact(NamedTuple):
    """One key of a chaincode's public state: its value, or (`metadata`) its endorsement parameter."""

    namespace: str
    key: bytes
    metadata: bool


class Change(NamedTuple):
    """From `height` on a fact is what it is now; before it was `previous` (32-byte hash, or a mark of questions.py)."""

    height: int
    previous: bytes


class History:
    """Changes of the last `window` blocks."""

    def __init__(self, window: int = WINDOW) -> None:
        self._window = window
        self._changes: dict[tuple[str, bool], dict[bytes, list[Change]]] = {}
        """By namespace and kind of fact, then by key, oldest first; never empty."""
        self._blocks: deque[tuple[int, tuple[Fact, ...]]] = deque()
        self._keys: dict[str, Any] = {}
        """Namespace → keys whose values changed, sorted."""
        self.floor = 1
        """The least height about which anything is known."""

    def record(self, number: int, changes: Iterable[tuple[Fact, bytes]]) -> None:
        """Block `number` changes these facts; each with what it was before."""
        facts = []
        for fact, previous in changes:
            namespace, key, metadata = fact
            of_kind = self._changes.setdefault((namespace, metadata), {})
            known = of_kind.get(key)
            if known is None:
                known = of_kind[key] = []
                if not metadata:
                    self._keys.setdefault(namespace, SortedList()).add(key)
            known.append(Change(number + 1, previous))
            facts.append(fact)
        if facts:
            self._blocks.append((number, tuple(facts)))
        self._forget(number + 1 - self._window)

    def changed_keys(self, namespace: str, start: bytes, end: bytes) -> list[bytes]:
        """Keys in [start, end) whose values have changed, sorted; an empty end: all from `start` on."""
        keys = self._keys.get(namespace)
        return list(keys.irange(start, end or None, (True, False))) if keys is not None else []

    def heights(self, namespace: str, keys: Iterable[bytes]) -> list[int]:
        """From where on some value of these keys, which have all changed, was another, newest first; last the floor."""
        changes = self._changes.get((namespace, False), {})
        found = {change.height for key in keys for change in changes[key]}
        return [*sorted(found, reverse=True), self.floor]

    def undone(self, namespace: str, keys: Iterable[bytes]) -> Iterator[list[tuple[bytes, bytes]]]:
        """For each of these heights but the floor: which of the values changed there, and what they were before."""
        changes, found = self._changes.get((namespace, False), {}), dict[int, list[tuple[bytes, bytes]]]()
        for key in keys:
            for change in changes[key]:
                found.setdefault(change.height, []).append((key, change.previous))
        return (found[height] for height in sorted(found, reverse=True))

    def segments(self, fact: Fact, current: bytes) -> tuple[tuple[int, bytes], ...]:
        """(from height, what was there), newest first."""
        found, value = [], current
        for change in reversed(self._known(fact)):
            found.append((change.height, value))
            value = change.previous
        return (*found, (self.floor, value))

    def _known(self, fact: Fact) -> Sequence[Change]:
        return self._changes.get((fact.namespace, fact.metadata), {}).get(fact.key, ())

    def _forget(self, least: int) -> None:
        """Nothing is known below height `least` any more: changes up to it have become the beginning."""
        self.floor = max(self.floor, least)
        while self._blocks and self._blocks[0][0] + 1 <= self.floor:
            _, facts = self._blocks.popleft()
            for namespace, key, metadata in facts:
                of_kind = self._changes[(namespace, metadata)]
                known = of_kind[key]
                known.pop(0)
                if not known:
                    del of_kind[key]
                    if not metadata:
                        self._keys[namespace].remove(key)
