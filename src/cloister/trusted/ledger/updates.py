"""What the valid transactions of one block do to the state, with Fabric's rules for combining writes of one key.

Source: Fabric 2.5.9 core/ledger/kvledger/txmgmt/validation/{tx_ops,kv_ledger_update}.go, txmgr/update_batch_bytes.go.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

from cloister.fabric.transaction import Version
from cloister.fabric.wire_format import encode_varint

from .errors import LedgerHalted
from .state import Entry, Metadata, Space, State
from .transaction import NamespaceSet

_UPSERT, _METADATA_UPDATE, _METADATA_DELETE, _DELETE = 1, 2, 4, 8
_EMPTY_HASH = hashlib.sha256(b"").digest()


class _Operation:
    """Everything that one transaction does to one key. Flags add up, as upstream's 8-bit counter does."""

    __slots__ = ("flags", "metadata", "value")

    def __init__(self) -> None:
        self.flags = 0
        self.value = b""
        self.metadata: Metadata = ()


class Update(NamedTuple):
    """A key's state after the block; `entry` None: deleted. `value`: what the commit hash takes (hashed: the hash).

    `value` is None where it would be needed and is not kept.
    """

    version: Version
    entry: Entry | None
    value: bytes | None


class BlockUpdates:
    """Writes of the block's valid transactions so far."""

    def __init__(self) -> None:
        self.by_space: dict[Space, dict[bytes, Update]] = {}

    def get(self, space: Space, key: bytes) -> Update | None:
        """What earlier transactions of this block did to a key."""
        updates = self.by_space.get(space)
        return updates.get(key) if updates is not None else None

    def current(self, space: Space, key: bytes, state: State) -> Entry | None:
        """A key's entry after the transactions so far, on top of the state before the block."""
        update = self.get(space, key)
        return update.entry if update is not None else state.get(space, key)

    def touches(self, *namespaces: str) -> bool:
        """Whether public state of one of these namespaces changes."""
        return any((namespace, "") in self.by_space for namespace in namespaces)

    def add(self, namespaces: tuple[NamespaceSet, ...], version: Version, state: State) -> None:
        """Apply one valid transaction's writes. Raises: LedgerHalted where a peer would panic."""
        for (space, key), operation in _operations(namespaces).items():
            self._apply(space, key, operation, version, state)

    def set_public(self, namespace: str, key: str, value: bytes, version: Version, *, keep: bool) -> None:
        """One plain write, as the ledger makes it for a configuration."""
        entry = Entry(hashlib.sha256(value).digest(), version, (), value if keep else None)
        self.by_space.setdefault((namespace, ""), {})[key.encode()] = Update(version, entry, value)

    def commit(self, state: State) -> None:
        """Write everything into the state."""
        for space, keys in self.by_space.items():
            for key, update in keys.items():
                if update.entry is None:
                    state.delete(space, key)
                else:
                    state.put(space, key, update.entry)

    def commit_hash(self, filter_bytes: bytes, previous: bytes) -> bytes | None:
        """The peers' commit hash of this block, None if a value is needed for it that is not kept.

        Source: core/ledger/kvledger/kv_ledger.go addBlockCommitHash.
        """
        encoded = self._encode()
        if encoded is None:
            return None
        return hashlib.sha256(encode_varint(len(filter_bytes)) + filter_bytes + encoded + previous).digest()

    def _apply(self, space: Space, key: bytes, operation: _Operation, version: Version, state: State) -> None:
        updates = self.by_space.get(space)
        if updates is None:
            updates = self.by_space[space] = {}
        flags = operation.flags
        if flags & _DELETE:
            updates[key] = Update(version, None, b"")
            return
        earlier = updates.get(key)
        current = earlier.entry if earlier is not None else state.get(space, key)
        if flags & _UPSERT and flags & (_METADATA_UPDATE | _METADATA_DELETE):
            updates[key] = _upsert(space, operation.value, operation.metadata, version, state)
        elif flags in (0, _UPSERT):
            kept = current.metadata if current is not None else ()
            updates[key] = _upsert(space, operation.value, kept, version, state)
        elif earlier is not None and earlier.entry is None:
            raise LedgerHalted("metadata written to a key that this block deletes", reason="batch")
        elif current is not None:  # metadata of a key that does not exist is dropped without a trace
            value = earlier.value if earlier is not None else (current.value_hash if space[1] else current.value)
            entry = Entry(current.value_hash, version, operation.metadata, current.value)
            updates[key] = Update(version, entry, value)

    def _encode(self) -> bytes | None:
        """`Updates` of update_batch_bytes.go: namespaces sorted, in each public keys, then collections, sorted."""
        parts: list[bytes] = []
        first_namespace = ""
        for space in sorted(space for space in self.by_space if space[0]):
            namespace = "" if space[0] == first_namespace else space[0]
            first_namespace, collection = space
            for key, update in sorted(self.by_space[space].items()):
                if update.entry is not None and update.value is None:
                    return None
                body = _encode_write(namespace, collection, key, update)
                parts.append(b"\x0a" + encode_varint(len(body)) + body)
                namespace = collection = ""
        return b"".join(parts)


def _upsert(space: Space, value: bytes, metadata: Metadata, version: Version, state: State) -> Update:
    namespace, collection = space
    if collection:
        return Update(version, Entry(value, version, metadata), value)
    kept = value if state.keeps(namespace) else None
    return Update(version, Entry(hashlib.sha256(value).digest(), version, metadata, kept), value)


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
    parts = [_text(b"\x0a", namespace), _text(b"\x12", collection)]
    if key:
        parts.append(b"\x1a" + encode_varint(len(key)) + key)
    if update.entry is None:
        parts.append(b"\x20\x01")
    elif update.value:
        parts.append(b"\x2a" + encode_varint(len(update.value)) + update.value)
    height = encode_height(update.version)
    parts.append(b"\x32" + encode_varint(len(height)) + height)
    return b"".join(parts)


def encode_height(version: Version) -> bytes:
    """Order-preserving bytes of a height: per number a length byte and big-endian bytes."""
    return b"".join(_ordered(number) for number in version)


def _ordered(number: int) -> bytes:
    length = (number.bit_length() + 7) // 8
    return bytes((length,)) + number.to_bytes(length, "big")


def _text(tag: bytes, text: str) -> bytes:
    encoded = text.encode()
    return tag + encode_varint(len(encoded)) + encoded if encoded else b""
