"""The one error tree. Nothing else of ours leaves a public function.

    CloisterError                 exit code 1
    ├─ UsageError                 2   the caller asked for something impossible (bad argument, bad configuration)
    ├─ MalformedInput             3   bytes or text do not parse
    ├─ Refused                    4   parsed, but not acceptable; always with a `reason`
    ├─ RemoteFailed               5   a peer, orderer, host or enclave answered with an error or not at all
    ├─ CommitRefused              6   the ledger said no: a validation code other than VALID
    ├─ EnvironmentFailed          7   this machine: missing program, port in use, file not readable
    └─ ContractFailed             8   the contract itself ended the transaction with an error

Packages derive their own classes from these, so that a caller can tell *whose fault* it is without reading text.
Messages are one line: what, expected, got; `hint` says what to do. No message ever contains a secret.
"""

from __future__ import annotations

from typing import ClassVar


class CloisterError(Exception):
    """Root of all errors of this package.

    `message` is one line without a final full stop; `hint`, if any, tells the user what to do about it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(CloisterError):
    """The caller asked for something impossible: bad argument, bad or missing configuration."""

    exit_code = 2


class MalformedInput(CloisterError):
    """Bytes or text do not parse. `field` names the part, as far as it is known."""

    exit_code = 3

    def __init__(self, message: str, *, field: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.field = field


class Refused(CloisterError):
    """Well-formed but not acceptable: verification or policy failed. `reason` is a stable lower-case code."""

    exit_code = 4

    def __init__(self, message: str, *, reason: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class RemoteFailed(CloisterError):
    """A remote part (peer, orderer, host, enclave) failed or could not be reached."""

    exit_code = 5


class CommitRefused(CloisterError):
    """The transaction was ordered but is not valid. `validation_code` is Fabric's TxValidationCode name."""

    exit_code = 6

    def __init__(
        self, message: str, *, transaction_id: str, validation_code: str, block_number: int, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.transaction_id = transaction_id
        self.validation_code = validation_code
        self.block_number = block_number


class EnvironmentFailed(CloisterError):
    """This machine: a program is missing, a port is in use, a file cannot be read or written."""

    exit_code = 7


class ContractFailed(CloisterError):
    """The contract ended the transaction with an error of its own; the message is the contract's."""

    exit_code = 8
