"""Many readers or one writer: no block is committed while a simulation reads, as in a peer's state database.

Source: Fabric 2.5.9 core/ledger/kvledger/txmgmt/txmgr/txmgr.go (commitRWLock). As there, whoever wants to read while a
writer waits, waits behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class ReadWriteLock:
    """For one event loop. Whoever is cancelled while waiting leaves no trace."""

    def __init__(self) -> None:
        self._readers = 0
        self._writers = 0
        """Those that write or wait to write."""
        self._writing = False
        self._waiting: list[asyncio.Future[None]] = []

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Among readers for the time of the block."""
        while self._writers:
            await self._change()
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            self._wake()

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Alone for the time of the block."""
        self._writers += 1
        try:
            while self._readers or self._writing:
                await self._change()
            self._writing = True
            try:
                yield
            finally:
                self._writing = False
        finally:
            self._writers -= 1
            self._wake()

    async def _change(self) -> None:
        """Until somebody has ended."""
        change = asyncio.get_running_loop().create_future()
        self._waiting.append(change)
        await change

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for change in waiting:
            if not change.done():
                change.set_result(None)
