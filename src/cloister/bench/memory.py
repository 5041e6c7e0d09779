"""What the judge's state costs in memory, as Python's own allocator counts it."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

from cloister.fabric.transaction import Version
from cloister.trusted.ledger.codes import Code
from cloister.trusted.ledger.state import Entry, State
from cloister.trusted.ledger.transaction_ids import Position, TransactionIds

_SPACE = ("chaincode", "")
_PER_BLOCK = 100


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes per key (16-byte names, values not kept, no metadata) and per transaction, each with so many of them."""

    count: int
    per_key: float
    per_transaction: float


def measure_memory(count: int) -> Memory:
    """Fill a state with so many keys, and an index with so many transaction ids."""
    return Memory(count, _traced(lambda: _state(count)) / count, _traced(lambda: _transaction_ids(count)) / count)


def _traced(make: Callable[[], object]) -> int:
    """Bytes that what is made holds on to."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        made = make()
        after = tracemalloc.get_traced_memory()[0]
        del made
        return after - before
    finally:
        tracemalloc.stop()


def _state(count: int) -> State:
    state = State()
    for number in range(count):
        key = f"key{number:013}".encode()
        version = Version(*divmod(number, _PER_BLOCK))
        state.put(_SPACE, key, Entry(hashlib.sha256(key).digest(), version))
    return state


def _transaction_ids(count: int) -> TransactionIds:
    ids = TransactionIds()
    for number in range(count):
        block, index = divmod(number, _PER_BLOCK)
        ids.add(f"{number:064x}", Position(block, index, Code.VALID, covered=False))
    return ids
