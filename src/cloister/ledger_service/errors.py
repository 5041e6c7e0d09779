"""Errors around a ledger enclave."""

from __future__ import annotations

from cloister.errors import Refused, RemoteFailed

HINTS = {"revoked": "this enclave was revoked in the registry: see docs/host.md, revoking an enclave"}


class LedgerLost(RemoteFailed):
    """The ledger service or its enclave cannot be reached; a retry is safe."""


class LedgerRefused(Refused):
    """The ledger enclave refused; `reason` is its coarse code."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"ledger enclave refused: {reason}", reason=reason, hint=HINTS.get(reason))


class ChannelHalted(Refused):
    """No orderer serves a chain that the ledger enclave accepts. `reason` as in docs/ledger.md."""
