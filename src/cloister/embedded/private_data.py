"""One organisation's private data: values whose hashes stand in the channel's state.

Source: Fabric 2.5.9 core/ledger/kvledger/txmgmt/{privacyenabledstate,pvtstatepurgemgmt}, gossip/privdata.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from sortedcontainers import SortedDict

from cloister.fabric.transaction import Version
from cloister.trusted.ledger.state import Space, State


class PrivateValue(NamedTuple):
    """A private value and the version of the transaction that wrote it."""

    value: bytes
    version: Version


class PrivateState:
    """By (namespace, collection): plain key (UTF-8) to value."""

    def __init__(self) -> None:
        self._spaces: dict[Space, Any] = {}

    def get(self, space: Space, key: bytes) -> PrivateValue | None:
        """None if it is not there."""
        found: PrivateValue | None = self._spaces.get(space, {}).get(key)
        return found

    def range(self, space: Space, start: bytes, end: bytes) -> Iterator[tuple[bytes, PrivateValue]]:
        """Keys from `start` to before `end`; an empty end: all."""
        keys = self._spaces.get(space, SortedDict())
        for key in keys.irange(start, end or None, (True, False)):
            yield key, keys[key]

    def apply(self, space: Space, rwset: Any, version: Version) -> None:
        """A committed transaction's private writes (KVRWSet) to one collection."""
        keys = self._spaces.setdefault(space, SortedDict())
        for write in rwset.writes:
            key = write.key.encode()
            if write.is_delete or not write.value:
                keys.pop(key, None)
            else:
                keys[key] = PrivateValue(write.value, version)
        for write in rwset.metadata_writes:  # a new version of the same value
            key = write.key.encode()
            if key in keys and keys[key].version != version:
                keys[key] = PrivateValue(keys[key].value, version)

    def forget_gone(self, space: Space, state: State) -> None:
        """Drop values whose hashes are not in the state any more: their time is over."""
        keys = self._spaces.get(space, {})
        for key in [key for key in keys if state.get(space, hashlib.sha256(key).digest()) is None]:
            del keys[key]


def split_collections(private: Any) -> dict[Space, bytes]:
    """(namespace, collection) → serialised KVRWSet of a `TxPvtReadWriteSet`."""
    return {
        (namespace.namespace, collection.collection_name): collection.rwset
        for namespace in private.ns_pvt_rwset
        for collection in namespace.collection_pvt_rwset
    }


def join_collections(parts: dict[Space, bytes]) -> Any:
    """The `TxPvtReadWriteSet` of some collections."""
    found = rwset_pb2.TxPvtReadWriteSet(data_model=rwset_pb2.TxReadWriteSet.KV)
    for (namespace, collection), encoded in sorted(parts.items()):
        if not found.ns_pvt_rwset or found.ns_pvt_rwset[-1].namespace != namespace:
            found.ns_pvt_rwset.add(namespace=namespace)
        found.ns_pvt_rwset[-1].collection_pvt_rwset.add(collection_name=collection, rwset=encoded)
    return found


def parse_rwset(encoded: bytes) -> Any:
    """A KVRWSet."""
    return kv_rwset_pb2.KVRWSet.FromString(encoded)
