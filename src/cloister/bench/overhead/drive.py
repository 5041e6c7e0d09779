"""Clients that call, each as soon as its last call has ended, and what they see.

Closed loop: with N clients there are at most N calls at a time. Throughput counts from the first call to the end of the
last one, so that a server which is slow to finish what it took gains nothing by that.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from cloister.errors import CloisterError
from cloister.gateway import EndorseError

from .work import Call, Work, expected

COMMIT, REVEAL = "commit", "reveal"
"""How far a client goes before it calls again: to the commit status, or to the opened outcome."""
Until = str
_MESSAGE_CHARACTERS = 300
_PATIENCE_S, _PAUSE_S = 15.0, 0.1


@dataclass(slots=True)
class Times:
    """When a call got how far: seconds of `time.perf_counter`; a stage that it does not have has the time of the last
    one before."""

    begun: float
    endorsed: float = 0.0
    committed: float = 0.0
    revealed: float = 0.0


@dataclass(frozen=True, slots=True)
class Done:
    """One finished call. `answer`: None if it was not opened."""

    times: Times
    answer: bytes | None


Caller = Callable[[Call, Until, int], Awaitable[Done]]
"""Makes a call, as client number so and so."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What came of one turn. Times in seconds; `errors`: message → how often."""

    clients: int
    seconds: float
    times: tuple[Times, ...]
    errors: dict[str, int]

    @property
    def per_second(self) -> float:
        """Calls that succeeded, per second."""
        return len(self.times) / self.seconds


@dataclass
class _Seen:
    times: list[Times] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)


async def take_turn(
    caller: Caller, work: Work, *, clients: int, seconds: float, until: Until, seed: int, least: int = 1
) -> Turn:
    """Clients call for so many seconds, each at least `least` times; then they finish what they began."""
    seen = _Seen()
    begun = time.perf_counter()

    async def client(number: int) -> None:
        chance = random.Random(f"{seed} {number}")  # noqa: S311 - nothing secret
        done = 0
        while done < least or time.perf_counter() - begun < seconds:
            await _one(caller, work.call(chance), until, number, seen)
            done += 1

    await asyncio.gather(*(client(number) for number in range(clients)))
    return Turn(clients, time.perf_counter() - begun, tuple(seen.times), seen.errors)


async def call_all(caller: Caller, calls: list[Call], *, clients: int) -> None:
    """Make all these calls, so many at a time. Raises: CloisterError at the first that fails or answers wrongly."""
    waiting = list(reversed(calls))

    async def client(number: int) -> None:
        while waiting:
            call = waiting.pop()
            _require_expected(call, await _patiently(caller, call, number))

    await asyncio.gather(*(client(number) for number in range(min(clients, len(calls)))))


async def _patiently(caller: Caller, call: Call, client: int) -> Done:
    """Another organisation's peer may be a block behind the one that told of the commit before."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return await caller(call, REVEAL, client)
        except EndorseError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(_PAUSE_S)


async def _one(caller: Caller, call: Call, until: Until, client: int, seen: _Seen) -> None:
    try:
        done = await caller(call, until, client)
        _require_expected(call, done)
    except CloisterError as error:
        message = f"{type(error).__name__}: {_without_names(error.message)}"[:_MESSAGE_CHARACTERS]
        seen.errors[message] = seen.errors.get(message, 0) + 1
    else:
        seen.times.append(done.times)


def _without_names(message: str) -> str:
    """Without what differs from call to call: transaction ids, and which peer it was."""
    return re.sub(r"127\.0\.0\.1:\d+", "peer", re.sub(r"\[?[0-9a-f]{8,64}\]?", "…", message)).replace("\n", " ")


def _require_expected(call: Call, done: Done) -> None:
    if done.answer is not None and not expected(call, done.answer):
        raise CloisterError(f"{call.function} answered {done.answer[:80]!r}")
