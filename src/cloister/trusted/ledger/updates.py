"""What the valid transactions of one block do to the state, with Fabric's rules for combining writes of one key.

Source: Fabric 2.5.9 core/ledger/kvledger/txmgmt/validation/{tx_ops,kv_ledger_update}.go, txmgr/update_batch_bytes.go.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from cloister.fabric.transaction import Version

from .errors import LedgerHalted
from .state import KEPT_NAMESPACES, Entry, Space, State
from .transaction import NamespaceSet

_UPSERT, _METADATA_UPDATE, _METADATA_DELETE, _DELETE = 1, 2, 4, 8
_EMPTY_HASH = hashlib.sha256(b"").digest()


@dataclass
class _Operation:
    """Everything that one transaction does to one key. Flags add up, as upstream's 8-bit counter does."""

    flags: int = 0
    value: bytes = b""
    metadata: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Update:
    """A key's state after the block; `entry` None: deleted. `value`: what the commit hash takes (hashed: the hash)."""

    version: Version
    entry: Entry | None
    value: bytes


@dataclass
class BlockUpdates:
    """Writes of the block's valid transactions so far."""

    by_space: dict[Space, dict[bytes, Update]] = field(default_factory=dict)

    def get(self, space: Space, key: bytes) -> Update | None:
        """What earlier transactions of this block did to a key."""
        return self.by_space.get(space, {}).get(key)

    def add(self, namespaces: tuple[NamespaceSet, ...], version: Version, state: State) -> None:
        """Apply one valid transaction's writes. Raises: LedgerHalted where a peer would panic."""
        for (space, key), operation in _operations(namespaces).items():
            self._apply(space, key, operation, version, state)

    def set_public(self, namespace: str, key: str, value: bytes, version: Version) -> None:
        """One plain write, as the ledger makes it for a configuration."""
        entry = Entry(hashlib.sha256(value).digest(), version)
        self.by_space.setdefault((namespace, ""), {})[key.encode()] = Update(version, entry, value)

    def commit(self, state: State) -> None:
        """Write everything into the state."""
        for space, keys in self.by_space.items():
            for key, update in keys.items():
                if update.entry is None:
                    state.delete(space, key)
                else:
                    state.put(space, key, update.entry)

    def commit_hash(self, filter_bytes: bytes, previous: bytes) -> bytes:
        """The peers' commit hash of this block (core/ledger/kvledger/kv_ledger.go addBlockCommitHash)."""
        return hashlib.sha256(_varint(len(filter_bytes)) + filter_bytes + self._encode() + previous).digest()

    def _apply(self, space: Space, key: bytes, operation: _Operation, version: Version, state: State) -> None:
        updates = self.by_space.setdefault(space, {})
        flags = operation.flags
        if flags & _DELETE:
            updates[key] = Update(version, None, b"")
            return
        earlier = updates.get(key)
        current = earlier.entry if earlier is not None else state.get(space, key)
        known = earlier.value if earlier is not None else None
        if flags & _UPSERT and flags & (_METADATA_UPDATE | _METADATA_DELETE):
            updates[key] = self._update(space, operation.value, operation.metadata, version)
        elif flags in (0, _UPSERT):
            kept = current.metadata if current is not None else ()
            updates[key] = self._update(space, operation.value, kept, version)
        else:
            if earlier is not None and earlier.entry is None:
                raise LedgerHalted("metadata written to a key that this block deletes", reason="batch")
            if current is None:
                return  # metadata of a key that does not exist is dropped without a trace
            if known is None and current.value is None and not space[1]:
                known = b""  # the value itself is not kept: the commit hash of this block cannot be computed
                self.incomplete = True
            entry = Entry(current.value_hash, version, operation.metadata, current.value)
            value = known if known is not None else (current.value or current.value_hash)
            updates[key] = Update(version, entry, value)

    incomplete: bool = False
    """True if a value that is not kept would be needed for the commit hash."""

    def _update(self, space: Space, value: bytes, metadata: tuple[tuple[str, bytes], ...], version: Version) -> Update:
        namespace, collection = space
        value_hash = value if collection else hashlib.sha256(value).digest()
        kept = value if not collection and namespace in KEPT_NAMESPACES else None
        return Update(version, Entry(value_hash, version, metadata, kept), value)

    def _encode(self) -> bytes:
        """`Updates` of update_batch_bytes.go: namespaces sorted, in each public keys, then collections, sorted."""
        parts = []
        namespaces = sorted({namespace for namespace, _ in self.by_space if namespace})
        for namespace in namespaces:
            first_namespace = namespace
            collections = sorted(collection for name, collection in self.by_space if name == namespace)
            for collection in collections:
                first_collection = collection
                for key, update in sorted(self.by_space[(namespace, collection)].items()):
                    parts.append(_encode_write(first_namespace, first_collection, key, update))
                    first_namespace = first_collection = ""
        return b"".join(_field(1, part) for part in parts)


def _operations(namespaces: tuple[NamespaceSet, ...]) -> dict[tuple[Space, bytes], _Operation]:
    found: dict[tuple[Space, bytes], _Operation] = {}

    def operation(space: Space, key: bytes) -> _Operation:
        return found.setdefault((space, key), _Operation())

    for item in namespaces:
        space = (item.namespace, "")
        for write in item.public.writes:
            _add_write(operation(space, write.key.encode()), write.value, delete=write.is_delete or not write.value)
        for write in item.public.metadata_writes:
            _add_metadata(operation(space, write.key.encode()), write)
        for hashed in item.hashed:
            space = (item.namespace, hashed.collection)
            for write in hashed.rwset.hashed_writes:
                gone = write.is_delete or not write.value_hash or write.value_hash == _EMPTY_HASH
                _add_write(operation(space, write.key_hash), write.value_hash, delete=gone)
            for write in hashed.rwset.metadata_writes:
                _add_metadata(operation(space, write.key_hash), write)
    return found


def _add_write(operation: _Operation, value: bytes, *, delete: bool) -> None:
    operation.flags = (operation.flags + (_DELETE if delete else _UPSERT)) & 0xFF
    if not delete:
        operation.value = value


def _add_metadata(operation: _Operation, write: Any) -> None:
    entries = tuple((entry.name, entry.value) for entry in write.entries)
    operation.flags = (operation.flags + (_METADATA_UPDATE if entries else _METADATA_DELETE)) & 0xFF
    operation.metadata = entries


def _encode_write(namespace: str, collection: str, key: bytes, update: Update) -> bytes:
    parts = []
    if namespace:
        parts.append(_field(1, namespace.encode()))
    if collection:
        parts.append(_field(2, collection.encode()))
    if key:
        parts.append(_field(3, key))
    if update.entry is None:
        parts.append(b"\x20\x01")
    elif update.value:
        parts.append(_field(5, update.value))
    parts.append(_field(6, encode_height(update.version)))
    return b"".join(parts)


def encode_height(version: Version) -> bytes:
    """Order-preserving bytes of a height: per number a length byte and big-endian bytes."""
    return b"".join(_ordered(number) for number in (version.block, version.transaction))


def _ordered(number: int) -> bytes:
    encoded = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes([len(encoded)]) + encoded


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
