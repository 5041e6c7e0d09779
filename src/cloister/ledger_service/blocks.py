"""Blocks in a service's memory, bounded in bytes: those that wait to be judged, and the newest ones."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

from cloister.fabric.block import parse_block

MAX_BATCH_BLOCKS = 64
MAX_BATCH_BYTES = 16 * 1024 * 1024
WAITING_BYTES = 2 * MAX_BATCH_BYTES
KEPT_BLOCKS = 128
KEPT_BYTES = 64 * 1024 * 1024


class WaitingBlocks:
    """Blocks in the order in which they came. An orderer that sends faster than the enclave judges has to wait."""

    def __init__(self) -> None:
        self._blocks: deque[bytes] = deque()
        self._bytes = 0
        self._changed = asyncio.Condition()

    async def add(self, block: bytes) -> None:
        """Add one, as soon as there is room."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._bytes < WAITING_BYTES)
            self._blocks.append(block)
            self._bytes += len(block)
            self._changed.notify_all()

    async def take(self) -> list[bytes]:
        """All that wait, but no more than an enclave should get at once; at least one."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._blocks))
            taken: list[bytes] = []
            size = 0
            while self._blocks and len(taken) < MAX_BATCH_BLOCKS:
                if taken and size + len(self._blocks[0]) > MAX_BATCH_BYTES:
                    break
                taken.append(self._blocks.popleft())
                size += len(taken[-1])
            self._bytes -= size
            self._changed.notify_all()
            return taken


class RecentBlocks:
    """The newest blocks, so that most outcomes open without asking an orderer again."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0
        self._cut: tuple[bytes, tuple[bytes, ...]] = (b"", ())

    def add(self, number: int, block: bytes) -> None:
        """Keep one more, and forget the oldest where there are too many."""
        self._bytes += len(block) - len(self._blocks.pop(number, b""))
        self._blocks[number] = block
        while len(self._blocks) > KEPT_BLOCKS or (self._bytes > KEPT_BYTES and len(self._blocks) > 1):
            _, forgotten = self._blocks.popitem(last=False)
            self._bytes -= len(forgotten)

    def get(self, number: int) -> bytes | None:
        """A block, None if it is not kept."""
        return self._blocks.get(number)

    def envelope(self, number: int, index: int) -> bytes | None:
        """One transaction of a block, None if it is not kept. The block asked for last is not taken apart again."""
        block = self._blocks.get(number)
        if block is None:
            return None
        if self._cut[0] is not block:
            self._cut = (block, parse_block(block).transactions)
        return self._cut[1][index]
