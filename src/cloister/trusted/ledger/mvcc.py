"""Do a transaction's reads still hold? Versions and phantoms, in block order.

Source: Fabric 2.5.9 core/ledger/kvledger/txmgmt/validation/{validator,rangequery_validator,combined_iterator}.go,
rwsetutil/query_results_helper.go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, TypeVar

from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2

from cloister.fabric.transaction import Version

from .codes import Code
from .errors import LedgerHalted
from .state import Rows, Space, State
from .transaction import NamespaceSet
from .updates import BlockUpdates, Update

_Found = TypeVar("_Found")


def check_reads(namespaces: tuple[NamespaceSet, ...], state: State, updates: BlockUpdates) -> Code:
    """VALID, MVCC_READ_CONFLICT or PHANTOM_READ_CONFLICT; the first failure in Fabric's order decides."""
    for item in namespaces:
        space, public = (item.namespace, ""), item.public
        for read in public.reads:
            if not _read_holds(space, read.key.encode(), read, state, updates):
                return Code.MVCC_READ_CONFLICT
        for query in public.range_queries_info:
            if not _range_holds(space, query, state, updates):
                return Code.PHANTOM_READ_CONFLICT
        for hashed in item.hashed:
            hashed_space = (item.namespace, hashed.collection)
            for read in hashed.rwset.hashed_reads:
                if not _read_holds(hashed_space, read.key_hash, read, state, updates):
                    return Code.MVCC_READ_CONFLICT
    return Code.VALID


def _read_holds(space: Space, key: bytes, read: Any, state: State, updates: BlockUpdates) -> bool:
    if updates.get(space, key) is not None:
        return False  # touched in this block at all, be it to the same value
    entry = state.get(space, key)
    return (entry.version if entry is not None else None) == version_of(read)


def version_of(read: Any) -> Version | None:
    """The version in a read; an empty one is (0, 0), none means that the key was absent."""
    return Version(read.version.block_num, read.version.tx_num) if read.HasField("version") else None


def _range_holds(space: Space, query: Any, state: State, updates: BlockUpdates) -> bool:
    start, end, inclusive = query.start_key.encode(), query.end_key.encode(), not query.itr_exhausted
    if query.WhichOneof("reads_info") == "reads_merkle_hashes":
        expected = query.reads_merkle_hashes
        if expected.max_degree < 2:
            raise LedgerHalted("a range summary of impossible degree", reason="merkle")
        how = _summariser(expected.max_degree)
        found = summary_of_range(space, start, end, state, updates, how, inclusive=inclusive)
        return found == (expected.max_level, tuple(expected.max_level_hashes))
    recorded = []
    for read in query.raw_reads.kv_reads:
        version = version_of(read)
        if version is None:
            raise LedgerHalted("a range result without version", reason="range")
        recorded.append((read.key.encode(), version))
    merged = merged_range(space, start, end, state, updates, inclusive=inclusive)
    return [(key, entry.version) for key, entry in merged] == recorded


@lru_cache(maxsize=16)
def _summariser(degree: int) -> Callable[[Rows], tuple[int, tuple[bytes, ...]]]:
    """The same function for the same degree: by it a summary is remembered."""
    return lambda rows: summarise(((key, entry.version) for key, entry in rows), degree)


def summary_of_range(
    space: Space,
    start: bytes,
    end: bytes,
    state: State,
    updates: BlockUpdates,
    how: Callable[[Rows], _Found],
    *,
    inclusive: bool,
) -> _Found:
    """What `how` makes of `merged_range`; the state remembers it for ranges that this block has not touched."""
    if _changes(space, start, end, updates, inclusive=inclusive):
        return how(merged_range(space, start, end, state, updates, inclusive=inclusive))
    return state.summary(space, start, end, how, inclusive=inclusive)


def merged_range(
    space: Space, start: bytes, end: bytes, state: State, updates: BlockUpdates, *, inclusive: bool
) -> Rows:
    """Keys from `start` to `end` (empty: all) after this block's transactions so far, in order."""
    committed = state.range(space, start, end, inclusive=inclusive)
    changed = _changes(space, start, end, updates, inclusive=inclusive)
    if not changed:
        return committed
    merged = dict(committed)
    for key, update in changed.items():
        if update.entry is None:
            merged.pop(key, None)
        else:
            merged[key] = update.entry
    return iter(sorted(merged.items()))


def _changes(space: Space, start: bytes, end: bytes, updates: BlockUpdates, *, inclusive: bool) -> dict[bytes, Update]:
    return {
        key: update
        for key, update in updates.by_space.get(space, {}).items()
        if key >= start and (not end or key < end or (inclusive and key == end))
    }


def summarise(found: Iterator[tuple[bytes, Version]], degree: int) -> tuple[int, tuple[bytes, ...]]:
    """(top level, its hashes) of the Merkle summary over range results; (0, ()) if they are too few for one."""
    levels: dict[int, list[bytes]] = {}
    pending: list[tuple[bytes, Version]] = []
    for result in found:
        pending.append(result)
        if len(pending) > degree:
            _add(levels, 1, _hash_results(pending), degree)
            pending = []
    if not levels:
        return 0, ()
    if pending:
        _add(levels, 1, _hash_results(pending), degree)
    top = max(levels)
    for level in range(1, top):
        hashes = levels.pop(level, [])
        if len(hashes) == 1:
            levels.setdefault(level + 1, []).append(hashes[0])
        elif hashes:
            levels.setdefault(level + 1, []).append(hashlib.sha256(b"".join(hashes)).digest())
    if len(levels[top]) > degree:
        levels = {top + 1: [hashlib.sha256(b"".join(levels[top])).digest()]}
        top += 1
    return top, tuple(levels[top])


def _add(levels: dict[int, list[bytes]], level: int, digest: bytes, degree: int) -> None:
    hashes = levels.setdefault(level, [])
    hashes.append(digest)
    if len(hashes) > degree:
        levels[level] = []
        _add(levels, level + 1, hashlib.sha256(b"".join(hashes)).digest(), degree)


def _hash_results(results: list[tuple[bytes, Version]]) -> bytes:
    reads = kv_rwset_pb2.QueryReads()
    add = reads.kv_reads.add
    for key, version in results:
        read = add()
        read.key = key  # UTF-8 as it is
        height = read.version
        height.block_num, height.tx_num = version
    return hashlib.sha256(reads.SerializeToString()).digest()
