"""Readers and writers of the committed state."""

from __future__ import annotations

import asyncio

from cloister.embedded.locks import ReadWriteLock


class Stage:
    """Readers and writers that hold the lock until they are told to let go."""

    def __init__(self) -> None:
        self.lock = ReadWriteLock()
        self.holding: set[str] = set()
        self._go: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def begin(self, name: str) -> None:
        """A name that begins with w writes."""
        self._go[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._hold(name))
        await settle()

    async def end(self, name: str) -> None:
        self._go[name].set()
        await self._tasks[name]
        await settle()

    async def cancel(self, name: str) -> None:
        self._tasks[name].cancel()
        await asyncio.wait({self._tasks[name]})
        await settle()

    async def _hold(self, name: str) -> None:
        async with self.lock.writing() if name.startswith("w") else self.lock.reading():
            self.holding.add(name)
            try:
                await self._go[name].wait()
            finally:
                self.holding.discard(name)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_readers_read_together_and_a_writer_waits_for_them() -> None:
    stage = Stage()
    for name in ("r1", "r2", "w"):
        await stage.begin(name)
    assert stage.holding == {"r1", "r2"}
    await stage.end("r1")
    assert stage.holding == {"r2"}
    await stage.end("r2")
    assert stage.holding == {"w"}
    await stage.end("w")


async def test_a_reader_waits_behind_a_writer_that_waits() -> None:
    stage = Stage()
    for name in ("r1", "w1", "r2", "w2"):
        await stage.begin(name)
    assert stage.holding == {"r1"}
    await stage.end("r1")
    (writer,) = stage.holding
    assert writer in ("w1", "w2")
    await stage.end(writer)
    (other,) = stage.holding
    assert other != writer
    assert other.startswith("w")
    await stage.end(other)
    assert stage.holding == {"r2"}
    await stage.end("r2")


async def test_whoever_is_cancelled_holds_nobody_up() -> None:
    stage = Stage()
    for name in ("r1", "w1", "w2", "r2"):
        await stage.begin(name)
    await stage.cancel("w1")  # waits
    await stage.cancel("r1")  # reads
    assert stage.holding == {"w2"}
    await stage.cancel("w2")  # writes
    assert stage.holding == {"r2"}
    await stage.end("r2")
    await stage.begin("w3")
    assert stage.holding == {"w3"}
    await stage.end("w3")
