"""Why the judge stops. Nothing above the block that it names is ever answered."""

from __future__ import annotations

from cloister.errors import Refused


class LedgerHalted(Refused):
    """A block that must not be accepted; `reason` is a code, `block_number` says where (None: before any block)."""

    def __init__(self, message: str, *, reason: str, block_number: int | None = None) -> None:
        where = "" if block_number is None else f"block {block_number}: "
        super().__init__(where + message, reason=reason)
        self.block_number = block_number


class IdentityInvalid(Refused):
    """An identity that the channel's MSPs do not accept. Never leaves the judge: it becomes a verdict."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="identity")
