"""What is called: functions of the auction and of the key-value store, as their samples have them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

AUCTION, STORE = "auction", "kv"
"""Contracts, by the names of their samples."""
BIDS = (1, 10, 100, 1000)
VALUE_BYTES = (100, 1_000, 10_000)
STORED_KEYS = 100
_HOUSE = "house"
_OPEN_AUCTION = "open"
_BIDDER_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a transaction function. `query`: evaluated at one peer, nothing is committed."""

    function: str
    arguments: tuple[str, ...]
    query: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of call, over and over. Its name appears in tables and in the JSON; `size` is what the kind varies."""

    name: str
    contract: str
    kind: str
    size: int = 0

    def call(self, chance: random.Random) -> Call:
        """The next call. Whatever it writes, no other call of a run is likely to read: nothing conflicts."""
        match self.kind:
            case "bid":
                return Call("submit", (_OPEN_AUCTION, _bidder(chance.randrange(10**_BIDDER_DIGITS)), _amount(chance)))
            case "eval":
                return Call("eval", (closed_auction(self.size),))
            case "get":
                return Call("get_state", (_stored_key(self.size, chance),), query=True)
            case "put":
                return Call("put_state", (f"new{chance.randrange(10**12):012}", _value(self.size, chance)))
        # mix: half of the calls read what nothing overwrites, half of them write
        kind = "get" if chance.random() < 0.5 else "put"
        return Work(self.name, self.contract, kind, self.size).call(chance)


BID = Work("auction submit", AUCTION, "bid")
MIX = Work("kv mix 100 B", STORE, "mix", VALUE_BYTES[0])


def evaluation(bids: int) -> Work:
    """The end of an auction with so many bids."""
    return Work(f"auction eval {bids}", AUCTION, "eval", bids)


def getting(size: int) -> Work:
    """Queries of values of so many bytes."""
    return Work(f"kv get {size} B", STORE, "get", size)


def putting(size: int) -> Work:
    """Transactions that write values of so many bytes."""
    return Work(f"kv put {size} B", STORE, "put", size)


def preparation(works: Sequence[Work]) -> list[tuple[str, list[list[Call]]]]:
    """What has to be there before: per contract, steps one after the other, each of calls at the same time."""
    prepared: list[tuple[str, list[list[Call]]]] = []
    if any(work.contract == AUCTION for work in works):
        sizes = sorted({work.size for work in works if work.kind == "eval"})
        auctions = [_OPEN_AUCTION, *map(closed_auction, sizes)]
        steps = [[Call("init", (_HOUSE,))], [Call("create", (auction,)) for auction in auctions]]
        steps.append(
            [
                Call("submit", (closed_auction(size), _bidder(bid), str(bid + 1)))
                for size in sizes
                for bid in range(size)
            ]
        )
        steps.append([Call("close", (closed_auction(size),)) for size in sizes])
        prepared.append((AUCTION, steps))
    chance = random.Random(0)  # noqa: S311 - nothing secret
    sizes = sorted({work.size for work in works if work.kind in ("get", "mix")})
    if sizes:
        stored = [
            Call("put_state", (_key(size, at), _value(size, chance))) for size in sizes for at in range(STORED_KEYS)
        ]
        prepared.append((STORE, [stored]))
    return prepared


def closed_auction(bids: int) -> str:
    """The name of the closed auction with so many bids."""
    return f"closed{bids}"


def winner(bids: int) -> dict[str, object]:
    """Who wins it."""
    return {"bidder": _bidder(bids - 1), "value": bids}


def expected(call: Call, answer: bytes) -> bool:
    """Whether an answer is what the contract must give: speed without results would be easy."""
    if call.function == "eval":
        return bool(json.loads(answer) == winner(int(call.arguments[0].removeprefix("closed"))))
    return len(answer) > 0 if call.function == "get_state" else answer == b"OK"


def _bidder(number: int) -> str:
    return f"bidder{number:0{_BIDDER_DIGITS}}"


def _amount(chance: random.Random) -> str:
    return str(chance.randrange(10**6))


def _key(size: int, at: int) -> str:
    return f"stored{size}-{at:04}"


def _stored_key(size: int, chance: random.Random) -> str:
    return _key(size, chance.randrange(STORED_KEYS))


def _value(size: int, chance: random.Random) -> str:
    return f"{chance.randrange(10**15):015}".ljust(size, ".")[:size]
