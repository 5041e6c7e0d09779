"""A ledger in memory that behaves as a peer's simulator does: reads see committed state, never own writes."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from cloister.contract import KeyModification, KeyValue, Page, QueryResponseMetadata, Response
from cloister.contract.errors import NotSupported, PeerRefused

PAGE = 100
"""Results that a peer sends at a time."""


@dataclass
class MemoryLedger:
    """State by (collection, key). `commit` applies what the transaction wrote. Other chaincodes are functions."""

    state: dict[tuple[str, str], bytes] = field(default_factory=dict)
    metadata: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    history: dict[str, list[KeyModification]] = field(default_factory=dict)
    writes: dict[tuple[str, str], bytes | None] = field(default_factory=dict)
    event: tuple[str, bytes] | None = None
    chaincodes: dict[str, Callable[[Sequence[bytes]], Response]] = field(default_factory=dict)
    open_queries: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    _ids: itertools.count[int] = field(default_factory=itertools.count)

    def commit(self, transaction_id: str = "") -> None:
        """Apply the writes and forget the rest of the transaction."""
        for (collection, key), value in self.writes.items():
            if not collection:
                entry = KeyModification(transaction_id, value or b"", Timestamp(), not value)
                self.history.setdefault(key, []).insert(0, entry)
            if value:
                self.state[collection, key] = value
            else:
                self.state.pop((collection, key), None)
                self.metadata.pop((collection, key), None)
        self.rollback()

    def rollback(self) -> None:
        """Forget the transaction."""
        self.writes, self.event, self.open_queries = {}, None, {}

    async def get_state(self, key: str, collection: str = "") -> bytes:
        return self.state.get((collection, key), b"")

    async def put_state(self, key: str, value: bytes, collection: str = "") -> None:
        self.writes[collection, key] = value

    async def delete_state(self, key: str, collection: str = "") -> None:
        self.writes[collection, key] = None

    async def purge_private_data(self, collection: str, key: str) -> None:
        self.writes[collection, key] = None

    async def get_private_data_hash(self, collection: str, key: str) -> bytes:
        value = self.state.get((collection, key))
        return hashlib.sha256(value).digest() if value else b""

    async def get_state_metadata(self, key: str, collection: str = "") -> Mapping[str, bytes]:
        return self.metadata.get((collection, key), {})

    async def put_state_metadata(self, key: str, metakey: str, value: bytes, collection: str = "") -> None:
        self.metadata[collection, key] = {metakey: value}

    async def get_state_by_range(
        self, start_key: str, end_key: str, collection: str = "", *, page_size: int = 0, bookmark: str = ""
    ) -> Page[KeyValue]:
        start = (bookmark or start_key).encode()
        inside = [
            KeyValue("memory", key, value)
            for (where, key), value in sorted(self.state.items(), key=lambda item: item[0][1].encode())
            if where == collection and start <= key.encode() and (not end_key or key.encode() < end_key.encode())
        ]
        if page_size:
            following = inside[page_size].key if len(inside) > page_size else ""
            page = inside[:page_size]
            return Page(tuple(page), metadata=QueryResponseMetadata(len(page), following))
        return self._page(inside)

    async def get_query_result(
        self, query: str, collection: str = "", *, page_size: int = 0, bookmark: str = ""
    ) -> Page[KeyValue]:
        raise PeerRefused("ExecuteQuery not supported for leveldb")

    async def get_history_for_key(self, key: str) -> Page[KeyModification]:
        return self._page(self.history.get(key, []))

    async def next_state_page(self, query_id: str) -> Page[Any]:
        return self._page(self.open_queries.pop(query_id), query_id)

    async def next_history_page(self, query_id: str) -> Page[Any]:
        return await self.next_state_page(query_id)

    async def close_query(self, query_id: str) -> None:
        self.open_queries.pop(query_id, None)

    async def invoke_chaincode(self, name: str, arguments: Sequence[bytes]) -> Response:
        if name not in self.chaincodes:
            raise NotSupported(f"no chaincode {name}")
        return self.chaincodes[name](arguments)

    async def get_random_bytes(self, length: int) -> bytes:
        raise NotSupported("random bytes: not on this ledger")

    def set_event(self, name: str, payload: bytes) -> None:
        self.event = (name, payload)

    def _page(self, items: Sequence[Any], query_id: str = "") -> Page[Any]:
        query_id = query_id or f"query{next(self._ids)}"
        self.open_queries[query_id] = tuple(items[PAGE:])
        return Page(tuple(items[:PAGE]), has_more=len(items) > PAGE, id=query_id)
