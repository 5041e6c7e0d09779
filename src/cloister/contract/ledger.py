"""What a stub needs from whoever reads and writes the ledger for it: a peer's stream, an enclave, a test.

Trust level: pure, measured into enclaves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from .iterators import KeyModification, KeyValue, Page
from .response import Response

VALIDATION_PARAMETER = "VALIDATION_PARAMETER"
"""The one metadata key that Fabric knows: a key's endorsement policy (`protos.MetaDataKeys`)."""


class LedgerAccess(Protocol):
    """Raw access, no rules for keys: those are the stub's. `collection` is "" for public state.

    Reads see the state as committed, never this transaction's own writes. Absent is b"".
    Raises, all methods: PeerRefused, PeerLost; NotSupported where an implementation leaves something out.
    """

    async def get_state(self, key: str, collection: str = "") -> bytes: ...

    async def put_state(self, key: str, value: bytes, collection: str = "") -> None: ...

    async def delete_state(self, key: str, collection: str = "") -> None: ...

    async def purge_private_data(self, collection: str, key: str) -> None: ...

    async def get_private_data_hash(self, collection: str, key: str) -> bytes: ...

    async def get_state_metadata(self, key: str, collection: str = "") -> Mapping[str, bytes]: ...

    async def put_state_metadata(self, key: str, metakey: str, value: bytes, collection: str = "") -> None: ...

    async def get_state_by_range(
        self, start_key: str, end_key: str, collection: str = "", *, page_size: int = 0, bookmark: str = ""
    ) -> Page[KeyValue]:
        """First page of keys in [start_key, end_key); `page_size` above 0 asks for a paginated query."""
        ...

    async def get_query_result(
        self, query: str, collection: str = "", *, page_size: int = 0, bookmark: str = ""
    ) -> Page[KeyValue]: ...

    async def get_history_for_key(self, key: str) -> Page[KeyModification]: ...

    async def next_state_page(self, query_id: str) -> Page[KeyValue]: ...

    async def next_history_page(self, query_id: str) -> Page[KeyModification]: ...

    async def close_query(self, query_id: str) -> None: ...

    async def invoke_chaincode(self, name: str, arguments: Sequence[bytes]) -> Response:
        """`name` is "chaincode" or "chaincode/channel"."""
        ...

    async def get_random_bytes(self, length: int) -> bytes:
        """1 to 8160 bytes that all endorsers agree on and nobody knows before the commit: confidential mode only."""
        ...

    def set_event(self, name: str, payload: bytes) -> None:
        """Only the last event of a transaction counts."""
        ...
