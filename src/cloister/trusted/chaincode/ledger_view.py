"""What a chaincode enclave asks about the ledger: the narrow interface that the ledger enclave will answer.

Trust level: trusted. The questions are coroutines: an answer may need a message to the ledger enclave, so an
implementation may await the same kind of host-visible step as a read does.

`NoLedgerEnclave` is all there is so far. It **believes the host and the peer** on every one of these questions; its
evidence says so (no ledger measurement in the attested data), clients see it, the README says what that leaves open.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from .reads import PointRead, RangeRead
from .statement import NO_CHECKPOINT, Checkpoint


class SnapshotAnswer(Enum):
    """Do these reads hold together at one height? Only HOLDS releases anything; the middle two mean "retry"."""

    HOLDS = "holds"
    BEHIND = "ledger-behind"
    OUTSIDE_WINDOW = "ledger-window"
    CONTRADICTION = "integrity"


class LedgerView(Protocol):
    """The ledger as an independent judge sees it."""

    async def creator_may_write(self, creator: bytes) -> bool:
        """Is this serialised identity valid under the channel's current MSPs, and does it satisfy Writers?"""
        ...

    async def check_read(self, read: PointRead | RangeRead) -> SnapshotAnswer:
        """Could this read be true at some committed height? Asked before the next host-visible step."""
        ...

    async def check_snapshot(
        self, points: Sequence[PointRead], ranges: Sequence[RangeRead], minimum: Checkpoint
    ) -> SnapshotAnswer:
        """Do all reads hold together at one height from `minimum` on? Asked before anything is released."""
        ...

    async def checkpoint(self) -> Checkpoint:
        """The latest height and block hash, for a query's statement."""
        ...

    async def is_first_key_set(self, key_set_id: bytes, sequence: int) -> bool:
        """Was this key set the first one committed in the registry for this sequence, in all history?"""
        ...


class NoLedgerEnclave:
    """No judge: the host's and the peer's word is taken. A client that brings a checkpoint is refused, not ignored."""

    async def creator_may_write(self, creator: bytes) -> bool:
        """The peer has checked; nobody else has."""
        return bool(creator)

    async def check_read(self, read: PointRead | RangeRead) -> SnapshotAnswer:
        """The peer's word."""
        del read
        return SnapshotAnswer.HOLDS

    async def check_snapshot(
        self, points: Sequence[PointRead], ranges: Sequence[RangeRead], minimum: Checkpoint
    ) -> SnapshotAnswer:
        """The peer's word. No height is known, so none can be promised."""
        del points, ranges
        return SnapshotAnswer.HOLDS if minimum.height == 0 else SnapshotAnswer.BEHIND

    async def checkpoint(self) -> Checkpoint:
        """None is known."""
        return NO_CHECKPOINT

    async def is_first_key_set(self, key_set_id: bytes, sequence: int) -> bool:
        """The host's word."""
        return bool(key_set_id) and sequence > 0
