"""Collecting a transaction's reads and writes, and their serialised form, byte for byte as a peer's.

Source: Fabric 2.5.9 core/ledger/kvledger/txmgmt/rwsetutil/{rwset_builder,rwset_proto_util}.go. Namespaces, collections
and plain keys are sorted; range queries keep their order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from google.protobuf.message import Message

from cloister.fabric.transaction import Version

Entries = Mapping[str, bytes]
"""Metadata of a key."""


@dataclass
class _Collection:
    reads: dict[str, Version | None] = field(default_factory=dict)
    writes: dict[str, tuple[bytes, bool]] = field(default_factory=dict)
    """Key → (value, whether it is a purge)."""
    metadata: dict[str, Entries] = field(default_factory=dict)


@dataclass
class _Namespace:
    reads: dict[str, Version | None] = field(default_factory=dict)
    writes: dict[str, bytes] = field(default_factory=dict)
    metadata: dict[str, Entries] = field(default_factory=dict)
    ranges: list[Any] = field(default_factory=list)
    collections: dict[str, _Collection] = field(default_factory=dict)


class RwsetBuilder:
    """What one simulation reads and writes. An empty value deletes."""

    def __init__(self) -> None:
        self._namespaces: dict[str, _Namespace] = {}

    def read(self, namespace: str, key: str, version: Version | None) -> None:
        """A public read; None: the key was absent."""
        self._namespace(namespace).reads[key] = version

    def write(self, namespace: str, key: str, value: bytes) -> None:
        """A public write; the last one of a key counts."""
        self._namespace(namespace).writes[key] = value

    def write_metadata(self, namespace: str, key: str, entries: Entries) -> None:
        """A public key's whole new metadata."""
        self._namespace(namespace).metadata[key] = entries

    def add_range(self, namespace: str, query: Any) -> None:
        """A RangeQueryInfo; of several with the same bounds the first counts."""
        known = self._namespace(namespace).ranges
        place = (query.start_key, query.end_key, query.itr_exhausted)
        if all((item.start_key, item.end_key, item.itr_exhausted) != place for item in known):
            known.append(query)

    def read_hash(self, namespace: str, collection: str, key: str, version: Version | None) -> None:
        """A private read."""
        self._collection(namespace, collection).reads[key] = version

    def write_private(self, namespace: str, collection: str, key: str, value: bytes, *, purge: bool = False) -> None:
        """A private write."""
        self._collection(namespace, collection).writes[key] = (value, purge)

    def write_private_metadata(self, namespace: str, collection: str, key: str, entries: Entries) -> None:
        """A private key's whole new metadata."""
        self._collection(namespace, collection).metadata[key] = entries

    def public(self) -> Any:
        """The `TxReadWriteSet`."""
        found = rwset_pb2.TxReadWriteSet()
        for name, item in sorted(self._namespaces.items(), key=_encoded_name):
            part = found.ns_rwset.add(namespace=name, rwset=_encode(_public(item)))
            for collection, content in sorted(item.collections.items(), key=_encoded_name):
                hashed = part.collection_hashed_rwset.add(
                    collection_name=collection, hashed_rwset=_encode(_hashed(content))
                )
                if content.writes or content.metadata:
                    hashed.pvt_rwset_hash = hashlib.sha256(_encode(_private(content))).digest()
        return found

    def private(self) -> Any:
        """The `TxPvtReadWriteSet`, None if nothing private was written."""
        found = rwset_pb2.TxPvtReadWriteSet()
        for name, item in sorted(self._namespaces.items(), key=_encoded_name):
            written = [(n, c) for n, c in sorted(item.collections.items(), key=_encoded_name) if c.writes or c.metadata]
            if written:
                part = found.ns_pvt_rwset.add(namespace=name)
                for collection, content in written:
                    part.collection_pvt_rwset.add(collection_name=collection, rwset=_encode(_private(content)))
        return found if found.ns_pvt_rwset else None

    def namespaces(self) -> list[str]:
        """All that anything was read from or written to."""
        return sorted(self._namespaces)

    def _namespace(self, name: str) -> _Namespace:
        return self._namespaces.setdefault(name, _Namespace())

    def _collection(self, namespace: str, name: str) -> _Collection:
        return self._namespace(namespace).collections.setdefault(name, _Collection())


def version_message(version: Version) -> Any:
    """`kvrwset.Version`."""
    return kv_rwset_pb2.Version(block_num=version.block, tx_num=version.transaction)


def key_read(key: str, version: Version | None) -> Any:
    """`kvrwset.KVRead`."""
    if version is None:
        return kv_rwset_pb2.KVRead(key=key)
    return kv_rwset_pb2.KVRead(key=key, version=version_message(version))


def _public(item: _Namespace) -> Any:
    found = kv_rwset_pb2.KVRWSet(
        reads=[key_read(key, version) for key, version in _by_key(item.reads)], range_queries_info=item.ranges
    )
    for key, value in _by_key(item.writes):
        found.writes.add(key=key, is_delete=not value, value=value)
    for key, entries in _by_key(item.metadata):
        found.metadata_writes.add(key=key, entries=_entries(entries))
    return found


def _hashed(content: _Collection) -> Any:
    found = kv_rwset_pb2.HashedRWSet()
    for key, version in _by_key(content.reads):
        read = found.hashed_reads.add(key_hash=_hash(key))
        if version is not None:
            read.version.CopyFrom(version_message(version))
    for key, (value, purge) in _by_key(content.writes):
        value_hash = hashlib.sha256(value).digest() if value else b""
        found.hashed_writes.add(key_hash=_hash(key), is_delete=not value, value_hash=value_hash, is_purge=purge)
    for key, entries in _by_key(content.metadata):
        found.metadata_writes.add(key_hash=_hash(key), entries=_entries(entries))
    return found


def _private(content: _Collection) -> Any:
    found = kv_rwset_pb2.KVRWSet()
    for key, (value, _) in _by_key(content.writes):
        found.writes.add(key=key, is_delete=not value, value=value)
    for key, _ in _by_key(content.metadata):
        found.metadata_writes.add(key=key)
    return found


def _entries(entries: Entries) -> list[Any]:
    return [kv_rwset_pb2.KVMetadataEntry(name=name, value=value) for name, value in sorted(entries.items())]


def _by_key(items: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return sorted(items.items(), key=_encoded_name)


def _encoded_name(item: tuple[str, Any]) -> bytes:
    """Go sorts strings by their bytes."""
    return item[0].encode()


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _encode(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)
