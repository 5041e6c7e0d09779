"""Errors of the confidential client."""

from __future__ import annotations

from cloister.errors import ContractFailed, RemoteFailed

from .results import PendingOutcome


class ConfidentialCallFailed(ContractFailed):
    """The contract ended the call with an error of its own (opened from the sealed outcome).

    `block_number`: where it was committed, without writes; None if nothing was submitted.
    """

    def __init__(self, message: str, *, transaction_id: str, status: int, block_number: int | None = None) -> None:
        super().__init__(message)
        self.transaction_id = transaction_id
        self.status = status
        self.block_number = block_number


class NotOpened(RemoteFailed):
    """The transaction is committed and valid, its outcome could not be opened yet: `pending` opens it later."""

    def __init__(self, message: str, *, pending: PendingOutcome, block_number: int) -> None:
        super().__init__(message, hint="the transaction is committed: open its outcome later, do not submit it again")
        self.pending = pending
        self.block_number = block_number
