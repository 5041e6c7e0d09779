"""Many readers or one writer: no block is committed while a simulation reads, as in a peer's state database.

Source: Fabric 2.5.9 core/ledger/kvledger/txmgmt/txmgr/txmgr.go (commitRWLock). As there, whoever wants to read while a
writer waits, waits behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class ReadWriteLock:
    """For one event loop."""

    def __init__(self) -> None:
        self._readers = 0
        self._waiting = 0
        self._changed = asyncio.Condition()

    async def acquire_read(self) -> None:
        """Begin to read; `release_read` ends it."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._waiting == 0)
            self._readers += 1

    async def release_read(self) -> None:
        """End what `acquire_read` began."""
        async with self._changed:
            self._readers -= 1
            self._changed.notify_all()

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Alone for the time of the block."""
        async with self._changed:
            self._waiting += 1
            try:
                await self._changed.wait_for(lambda: self._readers == 0)
                yield
            finally:
                self._waiting -= 1
                self._changed.notify_all()
