"""Results of range, rich and history queries, fetched page by page.

Trust level: pure, measured into enclaves. No event loop is needed: only awaitables that the stub supplies are awaited.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")


@dataclass(slots=True, unsafe_hash=True)  # not frozen: that takes three times as long to make
class KeyValue:
    """One result of a range or rich query. `namespace` is the chaincode's name."""

    namespace: str
    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class KeyModification:
    """One entry of a key's history, newest first. `timestamp` is a protobuf Timestamp (the client's claim)."""

    tx_id: str
    value: bytes
    timestamp: Any
    is_delete: bool


@dataclass(frozen=True, slots=True)
class QueryResponseMetadata:
    """Of a paginated query: the number of records in this page, and where the next one begins ("" after the last)."""

    fetched_records_count: int = 0
    bookmark: str = ""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """What a peer sends at a time: at most 100 results, or one page of a paginated query."""

    results: tuple[T, ...] = ()
    has_more: bool = False
    id: str = ""
    metadata: QueryResponseMetadata = field(default_factory=QueryResponseMetadata)


class QueryIterator(Generic[T]):
    """`async for` over results; also `await it.next()`, `it.has_next()`, `await it.close()`, `async with`.

    `metadata` is that of a paginated query. The peer's side is closed when the last result was taken or on `close`;
    what a contract leaves open, the peer closes when the transaction ends.
    """

    def __init__(
        self,
        first: Page[T],
        fetch_next: Callable[[str], Awaitable[Page[T]]] | None = None,
        close: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self.metadata = first.metadata
        self._buffer = deque(first.results)
        self._has_more = first.has_more and fetch_next is not None
        self._id = first.id
        self._fetch_next = fetch_next
        self._close = close

    def has_next(self) -> bool:
        """Whether `next` will give a result: a peer says that there is more only if there is."""
        return bool(self._buffer) or self._has_more

    async def next(self) -> T:
        """The next result. Raises: StopAsyncIteration after the last one."""
        while not self._buffer and self._has_more and self._fetch_next is not None:
            page = await self._fetch_next(self._id)
            self._buffer.extend(page.results)
            self._has_more = page.has_more
        if self._buffer:
            return self._buffer.popleft()
        await self.close()
        raise StopAsyncIteration

    async def close(self) -> None:
        """Release the query at the peer; may be called more than once."""
        close, self._close = self._close, None
        self._buffer.clear()
        self._has_more = False
        if close is not None and self._id:
            await close(self._id)

    async def aclose(self) -> None:
        """The same as `close`."""
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        return await self.next()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


StateQueryIterator = QueryIterator[KeyValue]
HistoryQueryIterator = QueryIterator[KeyModification]
