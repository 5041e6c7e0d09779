"""Errors of the confidential client."""

from __future__ import annotations

from cloister.errors import ContractFailed, RemoteFailed


class ConfidentialCallFailed(ContractFailed):
    """The contract ended the call with an error of its own (opened from the sealed outcome); nothing was submitted."""

    def __init__(self, message: str, *, transaction_id: str, status: int) -> None:
        super().__init__(message)
        self.transaction_id = transaction_id
        self.status = status


class HostFailed(RemoteFailed):
    """A host or its enclave did not answer as it should; `message` is its own coarse reason."""
