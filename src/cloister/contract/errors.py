"""What can go wrong in a contract, in its arguments, or between contract and peer.

    TransactionError     a contract raises it (or any other exception) to end the transaction: status 500, its message
    InvalidArgument      an argument, or a value inside it, is not of the declared type
    InvalidKey           a key that Fabric's shims do not allow
    InvalidResult        a contract returned something that has no encoding
    ContractInvalid      the contract's definition is wrong; found before any transaction runs
    NotSupported         this stub does not offer the operation
    PeerRefused          the peer answered a request of this transaction with an error
    PeerLost             the stream to the peer broke while the transaction ran

Trust level: pure, measured into enclaves. No message quotes an argument or a value.
"""

from __future__ import annotations

from cloister.errors import ContractFailed, MalformedInput, RemoteFailed, UsageError


class TransactionError(ContractFailed):
    """Raise it in a contract to end the transaction with status 500 and this message. Nothing is written."""


class InvalidArgument(MalformedInput):
    """An argument is missing, superfluous or of the wrong type."""


class InvalidKey(UsageError):
    """A key or a part of a composite key that Fabric's shims do not allow."""


class InvalidResult(ContractFailed):
    """A transaction function returned a value that has no encoding."""


class ContractInvalid(UsageError):
    """A contract's definition cannot be served: a bad signature, a duplicate name, no transaction function."""


class NotSupported(ContractFailed):
    """The operation is not offered here, for instance in confidential mode."""


class PeerRefused(RemoteFailed):
    """The peer answered a request of this transaction with an error; the message is the peer's."""


class PeerLost(RemoteFailed):
    """The stream to the peer broke, or the call is over: no further request can be made in this transaction."""
