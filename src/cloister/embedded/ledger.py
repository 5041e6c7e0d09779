"""The channel as committed: blocks judged, applied, kept. One copy of what is public, private data per organisation.

Every verdict is the judge's (cloister.trusted.ledger); what is added here is what only a peer needs: values, history,
private data, blocks by number and transaction.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from fabric_protos.common import common_pb2
from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.peer import collection_pb2

from cloister.errors import MalformedInput
from cloister.fabric.decoding import decode_message
from cloister.fabric.transaction import Version
from cloister.trusted.ledger.blocks import prepare_blocks
from cloister.trusted.ledger.channel_config import ChannelConfig
from cloister.trusted.ledger.codes import Code, Invalid
from cloister.trusted.ledger.definitions import IMPLICIT_PREFIX, LIFECYCLE, Definitions
from cloister.trusted.ledger.errors import IdentityInvalid, LedgerHalted
from cloister.trusted.ledger.identities import SignatureChecker
from cloister.trusted.ledger.judge import Judge, JudgedBlock, start
from cloister.trusted.ledger.policies import Policy, RejectPolicy, compile_envelope
from cloister.trusted.ledger.state import Space, State
from cloister.trusted.ledger.transaction import Transaction, parse_transaction

from .errors import StoreDamaged
from .locks import ReadWriteLock
from .private_data import PrivateState, join_collections, parse_rwset, split_collections
from .store import PrivateRow, Store, TransientRow

_FILTER, _COMMIT_HASH = 2, 4
MAX_RETENTION = 1000
"""Blocks that private writes wait for their transaction: core.yaml's transientstoreMaxBlockRetention."""


class Modification(NamedTuple):
    """One write in a key's history."""

    transaction_id: str
    value: bytes
    timestamp: tuple[int, int]
    is_delete: bool


class Transient(NamedTuple):
    """An endorsed transaction's private writes, and how many blocks there were."""

    height: int
    parts: dict[Space, bytes]


class Ledger:
    """Make it with `open`. `peers`: MSP ID → serialised identity of the organisation's peer."""

    def __init__(self, store: Store, judge: Judge, genesis: bytes, peers: Mapping[str, bytes]) -> None:
        self._store = store
        self._judge = judge
        self._peers = peers
        self._checker = SignatureChecker()
        self._definitions = Definitions(judge.state.value, judge.config)
        self._history: dict[tuple[str, str], list[Version]] = {}
        self._transient: dict[str, Transient] = {}
        self._limited: set[Space] = set()
        """Collections whose data live for a time only."""
        self.genesis = genesis
        self.private = {msp_id: PrivateState() for msp_id in peers}
        self.lock = ReadWriteLock()
        self.grown = asyncio.Condition()
        """Notified after each block."""

    @classmethod
    def open(cls, store: Store, genesis: bytes, peers: Mapping[str, bytes]) -> Ledger:
        """A new ledger in an empty store, or the one in it, judged again block by block. Raises: StoreDamaged."""
        judge, _ = start(genesis, state=State(None))
        ledger = cls(store, judge, genesis, peers)
        height = store.height()
        if not height:
            store.append(0, with_verdicts(genesis, [Code.VALID], None), [])
        for number in range(1, height):
            ledger._replay(store.block(number))
        for row in store.transient():
            noted = ledger._transient.setdefault(row.transaction_id, Transient(row.height, {}))
            noted.parts[row.namespace, row.collection] = row.rwset
        return ledger

    # --- what there is ------------------------------------------------------------------------------------------------

    @property
    def channel(self) -> str:
        """The channel's name."""
        return self._judge.channel

    @property
    def config(self) -> ChannelConfig:
        """The current configuration."""
        return self._judge.config

    @property
    def config_block(self) -> int:
        """The number of the block that brought it."""
        return self._judge.config_block

    @property
    def height(self) -> int:
        """How many blocks there are."""
        return self._judge.height

    @property
    def last_hash(self) -> bytes:
        """The last block's header hash."""
        return self._judge.last_hash

    @property
    def state(self) -> State:
        """Public state, and hashes of private data."""
        return self._judge.state

    @property
    def definitions(self) -> Definitions:
        """All chaincode definitions of the current state."""
        return self._definitions

    def block(self, number: int) -> bytes:
        """A block with its verdicts, serialised. Raises: KeyError."""
        return self._store.block(number)

    def find(self, transaction_id: str) -> tuple[int, int, Code] | None:
        """(block number, index in it, verdict) of a transaction, None if there is none."""
        found = self._judge.transaction_ids.find(transaction_id)
        return (found.block, found.transaction, Code(found.code)) if found is not None else None

    def private_data(self, number: int, msp_id: str) -> dict[int, Any]:
        """Index in the block → the `TxPvtReadWriteSet` that an organisation holds."""
        found: dict[int, dict[Space, bytes]] = {}
        for row in self._store.private_rows(number, msp_id):
            found.setdefault(row.position, {})[row.namespace, row.collection] = row.rwset
        return {position: join_collections(parts) for position, parts in found.items()}

    def history(self, namespace: str, key: str) -> Iterator[Modification]:
        """A key's committed writes, the newest first."""
        for version in reversed(self._history.get((namespace, key), [])):
            block = common_pb2.Block.FromString(self._store.block(version.block))
            item = parse_transaction(block.data.data[version.transaction], version.transaction)
            for space in item.namespaces:
                for write in space.public.writes if space.namespace == namespace else ():
                    if write.key == key:
                        yield Modification(item.transaction_id, write.value, item.timestamp, write.is_delete)

    async def wait_for_block(self, number: int) -> bytes:
        """Block `number`, as soon as it is there."""
        async with self.grown:
            await self.grown.wait_for(lambda: self.height > number)
        return self.block(number)

    # --- private data -------------------------------------------------------------------------------------------------

    def note_private(self, transaction_id: str, private: Any) -> None:
        """Keep an endorsed transaction's private writes (`TxPvtReadWriteSet`) until it is committed."""
        noted = self._transient.setdefault(transaction_id, Transient(self.height, {}))
        parts = split_collections(private)
        noted.parts.update(parts)
        self._store.save_transient(
            [TransientRow(transaction_id, self.height, *space, rwset) for space, rwset in parts.items()]
        )

    def collection(self, namespace: str, name: str) -> Any:
        """A collection's `StaticCollectionConfig`, None if it has none, as implicit ones."""
        encoded = self.state.value(LIFECYCLE, f"namespaces/fields/{namespace}/Collections")
        if encoded is None or name.startswith(IMPLICIT_PREFIX):
            return None
        package = self.definitions.find(namespace).collections or collection_pb2.CollectionConfigPackage()
        found = (item.static_collection_config for item in package.config)
        return next((item for item in found if item.name == name), None)

    def member_policy(self, namespace: str, name: str) -> Policy:
        """Who is a member of a collection that is no implicit one."""
        static = self.collection(namespace, name)
        if static is None:
            return RejectPolicy()
        return compile_envelope(static.member_orgs_policy.signature_policy, self.config.msps)

    def holds(self, msp_id: str, space: Space) -> bool:
        """Whether an organisation's peer may hold a collection's data."""
        namespace, name = space
        if name.startswith(IMPLICIT_PREFIX):
            return name.removeprefix(IMPLICIT_PREFIX) == msp_id
        try:
            identity = self.config.msps.deserialize(self._peers[msp_id])
            return self.member_policy(namespace, name).evaluate([identity])
        except (IdentityInvalid, Invalid, LedgerHalted, MalformedInput):
            return False  # who is no member, or of what cannot be told, holds nothing

    # --- committing ---------------------------------------------------------------------------------------------------

    def judge(self, encoded: bytes) -> JudgedBlock:
        """The verdicts on the next block; nothing changes. Raises: LedgerHalted where a real peer would stop."""
        return self._judge.judge(prepare_blocks([encoded], self._checker)[0])

    async def commit(self, encoded: bytes, judged: JudgedBlock) -> None:
        """Commit the block that was judged last, as soon as no simulation reads any more."""
        async with self.lock.writing():
            number = judged.verdict.number
            rows = list(self._private_rows(judged))
            block = with_verdicts(encoded, judged.verdict.codes, judged.verdict.commit_hash)
            self._store.append(number, block, rows)
            self._apply(judged, rows)
            self._clean_store(judged)
            self._forget_transient(judged.verdict.transaction_ids)
        async with self.grown:
            self.grown.notify_all()

    def _forget_transient(self, committed: Sequence[str]) -> None:
        """What is committed, and what was endorsed long ago and never submitted."""
        oldest = self.height - MAX_RETENTION
        gone = [name for name in committed if name in self._transient]
        gone += [name for name, item in self._transient.items() if item.height < oldest and name not in gone]
        for name in gone:
            del self._transient[name]
        self._store.drop_transient(gone)

    def _replay(self, block: bytes) -> None:
        judged = self.judge(block)
        number = judged.verdict.number
        if judged.prepared.block.metadata[_FILTER] != bytes(judged.verdict.codes):
            raise StoreDamaged(f"block {number} deserves other verdicts than it was given when it was committed")
        self._apply(judged, self._store.private_rows(number))

    def _apply(self, judged: JudgedBlock, rows: Sequence[PrivateRow]) -> None:
        number = judged.verdict.number
        self._judge.commit(judged)
        if judged.config is not None or judged.updates.touches(LIFECYCLE):
            self._definitions = Definitions(self.state.value, self.config)
        for item in _valid(judged):
            for namespace in item.namespaces:
                for write in namespace.public.writes:
                    known = self._history.setdefault((namespace.namespace, write.key), [])
                    known.append(Version(number, item.index))
        for row in rows:
            space = (row.namespace, row.collection)
            version = Version(number, row.position)
            self.private[row.organisation].apply(space, parse_rwset(row.rwset), version)
            if self.definitions.block_to_live(*space):
                self._limited.add(space)
        for space in self._limited:
            for private in self.private.values():
                private.forget_gone(space, self.state)

    def _private_rows(self, judged: JudgedBlock) -> Iterator[PrivateRow]:
        """What each organisation gets of the block's valid transactions, as far as it was handed in and matches."""
        for item in _valid(judged):
            handed = self._transient[item.transaction_id].parts if item.transaction_id in self._transient else {}
            for namespace in rwset_pb2.TxReadWriteSet.FromString(item.action.results if item.action else b"").ns_rwset:
                for part in namespace.collection_hashed_rwset:
                    space = (namespace.namespace, part.collection_name)
                    encoded = handed.get(space, b"")
                    if not part.pvt_rwset_hash or hashlib.sha256(encoded).digest() != part.pvt_rwset_hash:
                        continue
                    for msp_id in self._peers:
                        if self.holds(msp_id, space):
                            yield PrivateRow(msp_id, judged.verdict.number, item.index, *space, encoded)

    def _clean_store(self, judged: JudgedBlock) -> None:
        """Purged keys, and data whose time is over, go from the private data of earlier blocks too."""
        number = judged.verdict.number
        for space in self._limited:
            last = number - self.definitions.block_to_live(*space) - 1
            self._store.drop_private([row for row in self._store.rows_of_collection(*space) if row.number <= last])
        for space, purged in _purged(judged).items():
            changed = []
            for row in self._store.rows_of_collection(*space):
                rwset = parse_rwset(row.rwset)
                kept = [item for item in rwset.writes if _hash(item.key) not in purged or item.is_delete]
                if len(kept) != len(rwset.writes):
                    del rwset.writes[:]
                    rwset.writes.extend(kept)
                    changed.append(row._replace(rwset=rwset.SerializeToString()))
            self._store.put_private(changed)


def _purged(judged: JudgedBlock) -> dict[Space, set[bytes]]:
    """Collection → hashes of the keys that valid transactions purge."""
    found: dict[Space, set[bytes]] = {}
    for item in _valid(judged):
        for namespace in item.namespaces:
            for part in namespace.hashed:
                gone = {write.key_hash for write in part.rwset.hashed_writes if write.is_purge}
                if gone:
                    found.setdefault((namespace.namespace, part.collection), set()).update(gone)
    return found


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _valid(judged: JudgedBlock) -> Iterator[Transaction]:
    for item, code in zip(judged.prepared.transactions, judged.verdict.codes, strict=True):
        if code is Code.VALID:
            yield item


def with_verdicts(encoded: bytes, codes: Sequence[Code], commit_hash: bytes | None) -> bytes:
    """The block as a peer keeps it."""
    block = decode_message(common_pb2.Block(), encoded, "block")
    metadata = block.metadata.metadata
    metadata[_FILTER] = bytes(codes)
    if commit_hash is not None:
        metadata[_COMMIT_HASH] = common_pb2.Metadata(value=commit_hash).SerializeToString()
    kept: bytes = block.SerializeToString()
    return kept


def without_verdicts(encoded: bytes) -> bytes:
    """The block as the orderer wrote it."""
    block = decode_message(common_pb2.Block(), encoded, "block")
    block.metadata.metadata[_FILTER] = block.metadata.metadata[_COMMIT_HASH] = b""
    written: bytes = block.SerializeToString()
    return written
