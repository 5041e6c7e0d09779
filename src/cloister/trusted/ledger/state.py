"""The state of a channel as the judge keeps it: versions and hashes, not values.

Per namespace and collection, a key (public: UTF-8 bytes of its name; hashed: its hash) maps to its value's SHA-256, its
version and its metadata. Values are kept where the judge itself needs them: `_lifecycle` and legacy `lscc`.
Memory: about 300 bytes per key beside the key itself (a slotted object, a tuple, two hashes).
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field

from cloister.fabric.transaction import Version

KEPT_NAMESPACES = frozenset({"_lifecycle", "lscc"})


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's current value (as hash; in clear only where kept), version and metadata entries."""

    value_hash: bytes
    version: Version
    metadata: tuple[tuple[str, bytes], ...] = ()
    value: bytes | None = None


Space = tuple[str, str]
"""(namespace, collection); collection "" is public state."""


@dataclass
class _Keys:
    entries: dict[bytes, Entry] = field(default_factory=dict)
    ordered: list[bytes] = field(default_factory=list)


class State:
    """All namespaces. Written block by block, after a whole block has been judged."""

    def __init__(self) -> None:
        self._spaces: dict[Space, _Keys] = {}

    def get(self, space: Space, key: bytes) -> Entry | None:
        """A key's entry, None if absent."""
        keys = self._spaces.get(space)
        return keys.entries.get(key) if keys else None

    def metadata(self, space: Space, key: bytes, name: str) -> bytes:
        """One metadata entry's value, b"" if there is none."""
        entry = self.get(space, key)
        return dict(entry.metadata).get(name, b"") if entry else b""

    def value(self, namespace: str, key: str) -> bytes | None:
        """A kept value, None if absent."""
        entry = self.get((namespace, ""), key.encode())
        return entry.value if entry else None

    def put(self, space: Space, key: bytes, entry: Entry) -> None:
        """Set a key."""
        keys = self._spaces.setdefault(space, _Keys())
        if key not in keys.entries:
            insort(keys.ordered, key)
        keys.entries[key] = entry

    def delete(self, space: Space, key: bytes) -> None:
        """Remove a key, if it is there."""
        keys = self._spaces.get(space)
        if keys and keys.entries.pop(key, None) is not None:
            del keys.ordered[bisect_left(keys.ordered, key)]

    def range(self, space: Space, start: bytes, end: bytes, *, inclusive: bool) -> Iterator[tuple[bytes, Entry]]:
        """Keys from `start` on, to `end` (exclusive or inclusive); an empty end: all."""
        keys = self._spaces.get(space)
        if keys is None:
            return
        for position in range(bisect_left(keys.ordered, start), len(keys.ordered)):
            key = keys.ordered[position]
            if end and (key > end or (key == end and not inclusive)):
                return
            yield key, keys.entries[key]

    def spaces(self) -> list[Space]:
        """All (namespace, collection), sorted."""
        return sorted(space for space, keys in self._spaces.items() if keys.entries)

    def fingerprint(self) -> bytes:
        """32 bytes over every key, value hash, version and metadata, in order."""
        digest = hashlib.sha256()
        for space in self.spaces():
            digest.update(repr(space).encode())
            for key, entry in self.range(space, b"", b"", inclusive=True):
                parts = (key, entry.value_hash, repr(entry.version).encode(), repr(entry.metadata).encode())
                for part in parts:
                    digest.update(len(part).to_bytes(8, "big") + part)
        return digest.digest()

    def count(self) -> int:
        """Number of keys."""
        return sum(len(keys.entries) for keys in self._spaces.values())
