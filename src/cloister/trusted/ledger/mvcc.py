"""Do a transaction's reads still hold? Versions and phantoms, in block order.

Source: Fabric 2.5.9 core/ledger/kvledger/txmgmt/validation/{validator,rangequery_validator,combined_iterator}.go,
rwsetutil/query_results_helper.go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2

from cloister.fabric.transaction import Version

from .codes import Code
from .errors import LedgerHalted
from .state import Entry, Space, State
from .transaction import NamespaceSet
from .updates import BlockUpdates


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
    found = _merged(space, query, state, updates)
    if query.WhichOneof("reads_info") == "reads_merkle_hashes":
        expected = query.reads_merkle_hashes
        if expected.max_degree < 2:
            raise LedgerHalted("a range summary of impossible degree", reason="merkle")
        return summarise(found, expected.max_degree) == (expected.max_level, tuple(expected.max_level_hashes))
    recorded = []
    for read in query.raw_reads.kv_reads:
        version = version_of(read)
        if version is None:
            raise LedgerHalted("a range result without version", reason="range")
        recorded.append((read.key.encode(), version))
    return list(found) == recorded


def _merged(space: Space, query: Any, state: State, updates: BlockUpdates) -> Iterator[tuple[bytes, Version]]:
    """Keys and versions of the range, committed state and this block's updates together."""
    start, end = query.start_key.encode(), query.end_key.encode()
    found = merged_range(space, start, end, state, updates, inclusive=not query.itr_exhausted)
    return ((key, entry.version) for key, entry in found)


def merged_range(
    space: Space, start: bytes, end: bytes, state: State, updates: BlockUpdates, *, inclusive: bool
) -> Iterator[tuple[bytes, Entry]]:
    """Keys from `start` to `end` (empty: all) after this block's transactions so far, in order."""
    changed = {
        key: update
        for key, update in updates.by_space.get(space, {}).items()
        if key >= start and (not end or key < end or (inclusive and key == end))
    }
    committed = state.range(space, start, end, inclusive=inclusive)
    if not changed:
        return committed
    merged = dict(committed)
    for key, update in changed.items():
        if update.entry is None:
            merged.pop(key, None)
        else:
            merged[key] = update.entry
    return iter(sorted(merged.items()))


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
