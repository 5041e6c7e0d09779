"""From an orderer's Deliver into the ledger enclave: as many blocks at a time as have arrived meanwhile."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from cloister.wire.ledger_messages import Followed, LedgerStatus, NextBlocks

from .blocks import RecentBlocks, WaitingBlocks
from .errors import LedgerLost
from .link import LedgerLink
from .orderers import Orderers

JUDGE_TIMEOUT_S = 600.0


class Halted(Exception):
    """The ledger enclave refused a block for good; `status` says why. `block`: as it was delivered."""

    def __init__(self, status: LedgerStatus, block: bytes) -> None:
        super().__init__(status.message)
        self.status = status
        self.block = block


class Follower:
    """Feeds one enclave from one orderer. `height`: where the enclave stands."""

    def __init__(self, link: LedgerLink, orderers: Orderers, recent: RecentBlocks, height: int) -> None:
        self._link = link
        self._orderers = orderers
        self._recent = recent
        self.height = height
        self.progressed = False
        """True once the enclave accepted a block."""

    async def follow(self, address: str, *, silence_s: float | None = None) -> None:
        """Until no block has arrived for `silence_s` seconds (None: for ever).

        Raises: EventsError (orderer), LedgerLost or LedgerRefused (enclave), Halted, MalformedInput.
        """
        arrived = WaitingBlocks()
        reading = asyncio.create_task(self._read(address, arrived))
        lost = asyncio.create_task(self._link.lost())
        waiting: asyncio.Task[list[bytes]] | None = None
        try:
            while True:
                waiting = asyncio.create_task(arrived.take())
                watched = {waiting, reading, lost}
                await asyncio.wait(watched, timeout=silence_s, return_when=asyncio.FIRST_COMPLETED)
                if not waiting.done():
                    return await _why(reading, lost)
                await self._feed(waiting.result())
        finally:
            tasks = [task for task in (reading, lost, waiting) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, address: str, arrived: WaitingBlocks) -> None:
        async with aclosing(self._orderers.blocks(address, self.height)) as blocks:
            async for block in blocks:
                await arrived.add(block)

    async def _feed(self, blocks: list[bytes]) -> None:
        reply = await self._link.ask_any(NextBlocks(tuple(blocks)), timeout_s=JUDGE_TIMEOUT_S)
        if isinstance(reply, LedgerStatus):
            raise Halted(reply, blocks[min(max(reply.height - self.height, 0), len(blocks) - 1)])
        if not isinstance(reply, Followed):
            raise LedgerLost(f"ledger enclave answered {type(reply).__name__}")
        for number, block in enumerate(blocks, start=self.height):
            self._recent.add(number, block)
        self.height = reply.height
        self.progressed = True


async def _why(reading: asyncio.Task[None], lost: asyncio.Task[None]) -> None:
    """Why no block came: raises what broke, returns if nothing did."""
    if lost.done():
        raise LedgerLost("ledger enclave lost: it ended or its connection broke")
    if reading.done():
        await reading
