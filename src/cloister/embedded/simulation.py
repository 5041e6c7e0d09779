"""Simulating a transaction on one committed state, as a peer does.

Source: Fabric 2.5.9 core/ledger/kvledger/txmgmt/txmgr/{query_executor,tx_simulator}.go. Reads always see what was
committed before, never the transaction's own writes; each is recorded with its version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2

from cloister.fabric.transaction import VALIDATION_PARAMETER, Version
from cloister.trusted.ledger.definitions import LIFECYCLE, Definitions
from cloister.trusted.ledger.mvcc import summarise
from cloister.trusted.ledger.state import Entry, State

from .errors import SimulationFailed
from .private_data import PrivateState
from .rwset import RwsetBuilder, key_read

MAX_DEGREE = 50
"""Above so many results a range is recorded as Merkle summary."""


@dataclass
class Written:
    """Keys written in one namespace, by the policies that judge them: what endorsers the transaction needs."""

    by_chaincode: bool = False
    key_policies: list[bytes] = field(default_factory=list)
    """Serialised SignaturePolicyEnvelopes of written keys that have their own."""
    collections: dict[str, bool] = field(default_factory=dict)
    """Collection → whether its policy is asked, beside those of keys."""


@dataclass(frozen=True)
class Results:
    """What a simulation amounts to: `TxReadWriteSet`, `TxPvtReadWriteSet` or None, and what tells who must endorse."""

    public: Any
    private: Any
    written: Mapping[str, Written]
    private_reads: frozenset[tuple[str, str]]
    namespaces: tuple[str, ...]


class RangeScan:
    """An open range query. What is read of it enters the read set when the simulation ends."""

    def __init__(self, found: Iterator[tuple[bytes, Entry]], start: str, end: str) -> None:
        self._found = found
        self._end = end
        self.query = kv_rwset_pb2.RangeQueryInfo(start_key=start)
        self._read: list[tuple[bytes, Version]] = []

    def next(self) -> tuple[str, bytes] | None:
        """The next key and value, None at the end."""
        item = next(self._found, None)
        if item is None:
            self.query.itr_exhausted, self.query.end_key = True, self._end
            return None
        key, entry = item
        self._read.append((key, entry.version))
        self.query.end_key = key.decode()
        return key.decode(), entry.value or b""

    def bookmark(self) -> str:
        """The key after those read so far, "" at the end."""
        item = next(self._found, None)
        return item[0].decode() if item is not None else ""

    def finish(self) -> Any:
        """The RangeQueryInfo."""
        level, digests = summarise(iter(self._read), MAX_DEGREE)
        if digests:
            summary = self.query.reads_merkle_hashes
            summary.max_degree, summary.max_level = MAX_DEGREE, level
            summary.max_level_hashes.extend(digests)
        elif self._read:
            reads = [key_read(key.decode(), version) for key, version in self._read]
            self.query.raw_reads.kv_reads.extend(reads)
        return self.query


class PrivateScan:
    """An open query of private data: nothing of it is recorded."""

    def __init__(self, found: Iterator[tuple[str, bytes]]) -> None:
        self._found = found

    def next(self) -> tuple[str, bytes] | None:
        """The next key and value, None at the end."""
        return next(self._found, None)


class Simulation:
    """One transaction at one peer. Raises: SimulationFailed, with Fabric's words, where a peer refuses."""

    def __init__(self, transaction_id: str, state: State, private: PrivateState, definitions: Definitions) -> None:
        self._transaction_id = transaction_id
        self._state = state
        self._private = private
        self._definitions = definitions
        self._builder = RwsetBuilder()
        self._ranges: list[tuple[str, RangeScan]] = []
        self._written: dict[str, Written] = {}
        self._private_reads: set[tuple[str, str]] = set()
        self._wrote = False
        self._forbids_writes = ""

    # --- public state -------------------------------------------------------------------------------------------------

    def get(self, namespace: str, key: str) -> bytes | None:
        """A committed value, None if absent."""
        entry = self._read(namespace, key)
        return entry.value if entry is not None else None

    def metadata(self, namespace: str, key: str) -> dict[str, bytes]:
        """A key's metadata."""
        entry = self._read(namespace, key)
        return dict(entry.metadata) if entry is not None else {}

    def put(self, namespace: str, key: str, value: bytes) -> None:
        """Write; an empty value deletes."""
        self._begin_write()
        self._builder.write(namespace, key, value)
        self._note_written(namespace, "", key.encode())

    def put_metadata(self, namespace: str, key: str, entries: Mapping[str, bytes]) -> None:
        """Replace a key's metadata."""
        self._begin_write()
        self._builder.write_metadata(namespace, key, entries)
        self._note_written(namespace, "", key.encode())

    def scan(self, namespace: str, start: str, end: str, *, paginated: bool = False) -> RangeScan:
        """Keys from `start` to before `end`."""
        if paginated:
            self._refuse_after_writes("Paginated queries are supported only in a read-only transaction")
            self._forbids_writes = "Transaction has already performed a paginated query. Writes are not allowed"
        found = self._state.range((namespace, ""), start.encode(), end.encode(), inclusive=False)
        scan = RangeScan(found, start, end)
        self._ranges.append((namespace, scan))
        return scan

    # --- private data -------------------------------------------------------------------------------------------------

    def get_private(self, namespace: str, collection: str, key: str) -> bytes | None:
        """A private value that this peer has, None if there is none."""
        self._check_collection(namespace, collection)
        space = (namespace, collection)
        hashed = self._state.get(space, _hash(key))
        held = self._private.get(space, key.encode())
        if (hashed.version if hashed else None) != (held.version if held else None):
            raise SimulationFailed(
                "private data matching public hash version is not available. "
                f"Public hash version = {_height(hashed)}, Private data version = {_height(held)}"
            )
        self._builder.read_hash(namespace, collection, key, held.version if held else None)
        self._private_reads.add(space)
        return held.value if held else None

    def get_private_hash(self, namespace: str, collection: str, key: str) -> bytes | None:
        """The hash of a private value, None if there is none. Every peer has it."""
        entry = self._read_hashed(namespace, collection, key)
        return entry.value_hash if entry is not None else None

    def private_metadata(self, namespace: str, collection: str, key: str) -> dict[str, bytes]:
        """A private key's metadata."""
        entry = self._read_hashed(namespace, collection, key)
        return dict(entry.metadata) if entry is not None else {}

    def put_private(self, namespace: str, collection: str, key: str, value: bytes, *, purge: bool = False) -> None:
        """Write, delete (an empty value), or purge."""
        self._check_collection(namespace, collection)
        self._begin_write()
        self._builder.write_private(namespace, collection, key, value, purge=purge)
        self._note_written(namespace, collection, _hash(key))

    def put_private_metadata(self, namespace: str, collection: str, key: str, entries: Mapping[str, bytes]) -> None:
        """Replace a private key's metadata."""
        self._check_collection(namespace, collection)
        self._begin_write()
        self._builder.write_private_metadata(namespace, collection, key, entries)
        self._note_written(namespace, collection, _hash(key))

    def scan_private(self, namespace: str, collection: str, start: str, end: str) -> PrivateScan:
        """Private keys from `start` to before `end`; only in transactions that write nothing."""
        self._check_collection(namespace, collection)
        self._refuse_after_writes("Queries on pvt data is supported only in a read-only transaction")
        self._forbids_writes = "Transaction has already performed queries on pvt data. Writes are not allowed"
        found = self._private.range((namespace, collection), start.encode(), end.encode())
        return PrivateScan((key.decode(), item.value) for key, item in found)

    def read_definition(self, namespace: str) -> None:
        """A peer reads a chaincode's definition through the simulation itself, whenever it needs its collections."""
        if namespace != LIFECYCLE:
            for key in definition_keys(namespace):
                self._read(LIFECYCLE, key)

    # --- the end ------------------------------------------------------------------------------------------------------

    def results(self) -> Results:
        """Everything read and written."""
        for namespace, scan in self._ranges:
            self._builder.add_range(namespace, scan.finish())
        self._ranges.clear()
        return Results(
            self._builder.public(),
            self._builder.private(),
            self._written,
            frozenset(self._private_reads),
            tuple(self._builder.namespaces()),
        )

    def _read(self, namespace: str, key: str) -> Entry | None:
        entry = self._state.get((namespace, ""), key.encode())
        self._builder.read(namespace, key, entry.version if entry is not None else None)
        return entry

    def _read_hashed(self, namespace: str, collection: str, key: str) -> Entry | None:
        self._check_collection(namespace, collection)
        entry = self._state.get((namespace, collection), _hash(key))
        self._builder.read_hash(namespace, collection, key, entry.version if entry is not None else None)
        return entry

    def _check_collection(self, namespace: str, collection: str) -> None:
        self.read_definition(namespace)
        if not self._definitions.is_defined_collection(namespace, collection):
            raise SimulationFailed(
                f"collection [{collection}] not defined in the collection config for chaincode [{namespace}]"
            )

    def _begin_write(self) -> None:
        if self._forbids_writes:
            raise SimulationFailed(
                f"txid [{self._transaction_id}]: unsuppored transaction. {self._forbids_writes}"  # Fabric's spelling
            )
        self._wrote = True

    def _refuse_after_writes(self, why: str) -> None:
        if self._wrote:
            raise SimulationFailed(f"txid [{self._transaction_id}]: unsuppored transaction. {why}")

    def _note_written(self, namespace: str, collection: str, key: bytes) -> None:
        written = self._written.setdefault(namespace, Written())
        policy = self._state.metadata((namespace, collection), key, VALIDATION_PARAMETER)
        if policy:
            written.key_policies.append(policy)
        if collection:
            written.collections[collection] = written.collections.get(collection, False) or not policy
        elif not policy:
            written.by_chaincode = True


def definition_keys(chaincode: str) -> tuple[str, ...]:
    """The keys of `_lifecycle` that hold a chaincode's definition."""
    fields = ("Sequence", "EndorsementInfo", "ValidationInfo", "Collections")
    return (f"namespaces/metadata/{chaincode}", *(f"namespaces/fields/{chaincode}/{name}" for name in fields))


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _height(held: Any) -> str:
    return f"{{BlockNum: {held.version.block}, TxNum: {held.version.transaction}}}" if held is not None else "<nil>"
