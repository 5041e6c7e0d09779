"""The state of a channel as the judge keeps it: versions and hashes, not values.

Per namespace and collection, a key (public: UTF-8 bytes of its name; hashed: its hash) maps to its value's SHA-256, its
version and its metadata. Values are kept only where the judge itself needs them: lifecycle. The block's
transactions read the state before the block; it is written once a whole block has been judged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from sortedcontainers import SortedList

from cloister.fabric.transaction import Version

Metadata = tuple[tuple[str, bytes], ...]
Space = tuple[str, str]
"""(namespace, collection); collection "" is public state."""
_Found = TypeVar("_Found")
MAX_SUMMARIES = 16
"""Ranges of one space of which something is remembered."""
MAX_BOUNDS_BYTES = 4096
"""Bounds of such a range together; a transaction may name some as long as a block, and need write nothing for it."""


class Entry(NamedTuple):
    """A key's current value (as 32-byte hash; in clear only where kept), version and metadata entries."""

    value_hash: bytes
    version: Version
    metadata: Metadata = ()
    value: bytes | None = None


Rows = Iterator[tuple[bytes, Entry]]
"""Keys and entries of a range, in order."""


class _Summary(NamedTuple):
    """What is remembered of a range: `how` is the function that found it out."""

    start: bytes
    end: bytes
    inclusive: bool
    how: Callable[[Rows], Any]


class _Keys:
    """The keys of one space. Their order is needed for ranges."""

    __slots__ = ("entries", "ordered", "summaries")

    def __init__(self) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.ordered: Any = SortedList()
        self.summaries: dict[_Summary, Any] = {}

    def forget_summaries(self, key: bytes) -> None:
        """What was found out about ranges that this key, which is being written, may lie in."""
        for summary in [item for item in self.summaries if item.start <= key and (key <= item.end or not item.end)]:
            del self.summaries[summary]


class State:
    """All namespaces. `kept`: those whose public values are kept in clear; None: all of them."""

    def __init__(self, kept: frozenset[str] | None = frozenset()) -> None:
        self._kept = kept
        self._spaces: dict[Space, _Keys] = {}

    def keeps(self, namespace: str) -> bool:
        """Whether the namespace's public values are kept in clear."""
        return self._kept is None or namespace in self._kept

    def get(self, space: Space, key: bytes) -> Entry | None:
        """A key's entry, None if absent."""
        keys = self._spaces.get(space)
        return keys.entries.get(key) if keys is not None else None

    def metadata(self, space: Space, key: bytes, name: str) -> bytes:
        """One metadata entry's value, b"" if there is none."""
        entry = self.get(space, key)
        return dict(entry.metadata).get(name, b"") if entry is not None and entry.metadata else b""

    def value(self, namespace: str, key: str) -> bytes | None:
        """A kept value, None if absent."""
        entry = self.get((namespace, ""), key.encode())
        return entry.value if entry is not None else None

    def put(self, space: Space, key: bytes, entry: Entry) -> None:
        """Set a key."""
        keys = self._spaces.get(space)
        if keys is None:
            keys = self._spaces[space] = _Keys()
        if keys.summaries:
            keys.forget_summaries(key)
        if key not in keys.entries:
            keys.ordered.add(key)
        keys.entries[key] = entry

    def delete(self, space: Space, key: bytes) -> None:
        """Remove a key, if it is there."""
        keys = self._spaces.get(space)
        if keys is not None and keys.entries.pop(key, None) is not None:
            keys.ordered.remove(key)
            keys.forget_summaries(key)

    def summary(
        self, space: Space, start: bytes, end: bytes, how: Callable[[Rows], _Found], *, inclusive: bool
    ) -> _Found:
        """What `how` makes of a range: remembered until a key of that range is written or deleted. Never None.

        Judging and answering may ask at the same time, but neither while the state is written.
        """
        keys = self._spaces.get(space)
        if keys is None or len(start) + len(end) > MAX_BOUNDS_BYTES:
            return how(self.range(space, start, end, inclusive=inclusive))
        place = _Summary(start, end, inclusive, how)
        found: _Found | None = keys.summaries.get(place)
        if found is None:
            found = how(self.range(space, start, end, inclusive=inclusive))
            if len(keys.summaries) >= MAX_SUMMARIES:
                keys.summaries.clear()
            keys.summaries[place] = found
        return found

    def range(self, space: Space, start: bytes, end: bytes, *, inclusive: bool) -> Rows:
        """Keys from `start` on, to `end` (exclusive or inclusive), in order; an empty end: all."""
        keys = self._spaces.get(space)
        if keys is None:
            return iter(())
        found = list(keys.ordered.irange(start, end or None, (True, inclusive)))
        return zip(found, map(keys.entries.__getitem__, found), strict=True)

    def spaces(self) -> list[Space]:
        """All (namespace, collection) that hold keys, sorted."""
        return sorted(space for space, keys in self._spaces.items() if keys.entries)

    def fingerprint(self) -> bytes:
        """32 bytes over every key, value hash, version and metadata, in order."""
        digest = hashlib.sha256()
        for space in self.spaces():
            digest.update(repr(space).encode())
            for key, entry in self.range(space, b"", b"", inclusive=True):
                parts = (key, entry.value_hash, repr(tuple(entry.version)).encode(), repr(entry.metadata).encode())
                for part in parts:
                    digest.update(len(part).to_bytes(8, "big") + part)
        return digest.digest()

    def count(self) -> int:
        """Number of keys."""
        return sum(len(keys.entries) for keys in self._spaces.values())
