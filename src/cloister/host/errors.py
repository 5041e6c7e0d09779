"""Errors of the host. An enclave's refusal carries its coarse reason and nothing else."""

from __future__ import annotations

from cloister.errors import Refused, RemoteFailed

HINTS = {
    "not-provisioned": "run `cloister init` for this organisation",
    "not-initialised": "run `cloister init` for this organisation",
    "key-set": "the client used another definition's keys: fetch the enclave's credentials anew and retry",
    "sealed": "the request was sealed for another transaction, creator, definition or enclave",
    "ledger-behind": "retry: the ledger enclave has not seen the newest block yet",
    "ledger-window": "retry: the peer is far behind the channel",
    "no-ledger": "retry; if it stays, look at `cloister ledger status`",
    "session": "retry: the session with the ledger enclave is made anew",
    "stale": "the peer's state is older than what this client has seen already: ask another organisation",
    "fork": "this channel's blocks differ from those that were seen before: compare checkpoints with other members",
    "uncovered": "written by a transaction that no enclave signed: see `cloister ledger suspects`, `cloister repair`",
    "integrity": "the peer served something that was never committed: ask another organisation",
    "definition": "another definition is committed: fetch the enclave's credentials anew",
    "creator": "the caller is not a writer of this channel, or its certificate was revoked",
    "revoked": "this enclave was revoked in the registry: see docs/host.md, revoking an enclave",
    "earlier-keys": "take over the keys of the definition before: see docs/host.md, upgrades",
    "upgrade": "an administrator of every organisation must approve: see docs/host.md, upgrades",
    "busy": "retry: the enclave is busy",
    "contract": "the contract waits for something that no enclave gives it: a mistake in the contract",
    "transaction-id": "send a proposal whose transaction id is SHA-256 of nonce and creator",
    "proposal": "send exactly one sealed argument and no transient data: use the confidential client",
    "malformed": "send one sealed argument: use the confidential client (cloister submit, cloister evaluate)",
}
"""What to do about the reasons that a user can do something about."""
_DETAILS = {"upgrade": "not approved by an administrator of"}
"""What the detail of a refusal is; of all others, a transaction."""
LEDGER_LOST = frozenset({"no-ledger", "session"})
"""Reasons that call for a new session with the ledger enclave."""


class EnclaveLost(RemoteFailed):
    """The enclave process ended or its connection broke; calls in flight failed, a retry is safe."""


class EnclaveRefused(Refused):
    """The enclave refused; `reason` is its coarse code, `detail` a public fact: a transaction id, MSP IDs."""

    def __init__(self, reason: str, detail: str = "") -> None:
        told = f"{reason} ({_DETAILS.get(reason, 'transaction')} {detail})" if detail else reason
        super().__init__(f"enclave refused: {told}", reason=reason, hint=HINTS.get(reason))
