"""What a network is to look like."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from cloister.errors import UsageError

MAX_ORGANISATIONS = 8
MAX_ORDERERS = 7
RAFT, BFT = "raft", "bft"
FABRIC, EMBEDDED = "fabric", "embedded"
EMBEDDED_BATCH_TIMEOUT = "10ms"
"""Nobody has to agree on a block of an embedded network, so none has to wait for others."""
MIN_BFT_ORDERERS = 4
"""So many tolerate one faulty orderer; fewer tolerate none."""


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """Peer organisations (one peer each), channel name, batch rules, and the nodes of the one ordering organisation.

    batch_timeout is a Go duration ("200ms", "2s"); max_messages transactions cut a block at once. consensus is "raft"
    with 1 to 7 orderers, or "bft" with 4 to 7, which only Fabric 3.1 has. kind is "fabric", or "embedded" for one
    Python process that is all nodes (cloister.embedded).
    """

    organisations: int = 2
    channel: str = "mychannel"
    batch_timeout: str = "200ms"
    max_messages: int = 100
    orderers: int = 1
    consensus: str = RAFT
    kind: str = FABRIC

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
        if self.kind not in (FABRIC, EMBEDDED):
            raise UsageError(f"kind of network: expected {FABRIC} or {EMBEDDED}, got {self.kind!r}")
        if self.kind == EMBEDDED and (self.consensus != RAFT or self.orderers != 1):
            raise UsageError("an embedded network has one orderer, which needs nobody to agree with")
        if self.consensus not in (RAFT, BFT):
            raise UsageError(f"consensus: expected {RAFT} or {BFT}, got {self.consensus!r}")
        fewest = MIN_BFT_ORDERERS if self.consensus == BFT else 1
        if not fewest <= self.orderers <= MAX_ORDERERS:
            raise UsageError(f"{self.consensus} orderers: expected {fewest} to {MAX_ORDERERS}, got {self.orderers}")

    def describe(self) -> str:
        """In one line."""
        kind = "embedded, " if self.kind == EMBEDDED else ""
        return (
            f"{kind}{self.organisations} organisations, channel {self.channel}, batch timeout {self.batch_timeout}, "
            f"max messages {self.max_messages}, {self.orderers} {self.consensus} orderers"
        )


def embedded_options(**given: Any) -> NetworkOptions:
    """Options of an embedded network; blocks are cut soon unless something else is given."""
    return NetworkOptions(**{"kind": EMBEDDED, "batch_timeout": EMBEDDED_BATCH_TIMEOUT, **given})
