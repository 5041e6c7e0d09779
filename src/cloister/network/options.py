"""What a network is to look like."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cloister.errors import UsageError

MAX_ORGANISATIONS = 8


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """Peer organisations (one peer each), channel name, and the orderer's batch rules.

    batch_timeout is a Go duration ("200ms", "2s"); max_messages transactions cut a block at once.
    """

    organisations: int = 2
    channel: str = "mychannel"
    batch_timeout: str = "200ms"
    max_messages: int = 100

    def __post_init__(self) -> None:
        """Raises: UsageError naming the bad option."""
        if not 1 <= self.organisations <= MAX_ORGANISATIONS:
            raise UsageError(f"organisations: expected 1 to {MAX_ORGANISATIONS}, got {self.organisations}")
        if not re.fullmatch(r"[a-z][a-z0-9.-]{0,248}", self.channel):
            raise UsageError(
                f"channel: expected lower-case letters, digits, dots, dashes, first a letter, got {self.channel!r}"
            )
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)?(ms|s|m)", self.batch_timeout):
            raise UsageError(f"batch timeout: expected a duration such as 200ms or 2s, got {self.batch_timeout!r}")
        if self.max_messages < 1:
            raise UsageError(f"max messages: expected 1 or more, got {self.max_messages}")

    def describe(self) -> str:
        """In one line."""
        return (
            f"{self.organisations} organisations, channel {self.channel}, batch timeout {self.batch_timeout}, "
            f"max messages {self.max_messages}"
        )
