"""Errors of the host. An enclave's refusal carries its coarse reason and nothing else."""

from __future__ import annotations

from cloister.errors import Refused, RemoteFailed

HINTS = {
    "not-provisioned": "run `cloister init` for this organisation",
    "not-initialised": "run `cloister init` for this organisation",
    "key-set": "the client used another definition's keys: fetch the enclave's credentials anew and retry",
    "sealed": "the request was sealed for another transaction, creator, definition or enclave",
    "ledger-behind": "retry: the enclave's view of the ledger is behind",
    "busy": "retry: the enclave is busy",
    "transaction-id": "send a proposal whose transaction id is SHA-256 of nonce and creator",
    "proposal": "send exactly one sealed argument and no transient data: use the confidential client",
    "malformed": "send one sealed argument: use the confidential client (cloister submit, cloister evaluate)",
}
"""What to do about the reasons that a user can do something about."""


class EnclaveLost(RemoteFailed):
    """The enclave process ended or its connection broke; calls in flight failed, a retry is safe."""


class EnclaveRefused(Refused):
    """The enclave refused; `reason` is its coarse code."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"enclave refused: {reason}", reason=reason, hint=HINTS.get(reason))
