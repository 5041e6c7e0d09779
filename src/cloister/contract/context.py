"""The context that a contract's functions get: the stub and the caller. One per transaction.

Trust level: pure, measured into enclaves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from .errors import ContractInvalid
from .identity import ClientIdentity
from .stub import ChaincodeStubInterface


class TransactionContextInterface(ABC):
    """What a contract may ask of its context."""

    @abstractmethod
    def get_stub(self) -> ChaincodeStubInterface: ...

    @abstractmethod
    def get_client_identity(self) -> ClientIdentity: ...


class SettableTransactionContextInterface(TransactionContextInterface):
    """What the dispatcher needs of a context class, besides a constructor without arguments."""

    @abstractmethod
    def set_stub(self, stub: ChaincodeStubInterface) -> None: ...

    @abstractmethod
    def set_client_identity(self, ci: ClientIdentity) -> None: ...


class TransactionContext(SettableTransactionContextInterface):
    """The default context; subclass it and name the subclass in `Contract.TransactionContextHandler` to add to it."""

    def __init__(self) -> None:
        self._stub: ChaincodeStubInterface | None = None
        self._client_identity: ClientIdentity | None = None

    def set_stub(self, stub: ChaincodeStubInterface) -> None:
        self._stub = stub

    def set_client_identity(self, ci: ClientIdentity) -> None:
        self._client_identity = ci

    def get_stub(self) -> ChaincodeStubInterface:
        if self._stub is None:
            raise ContractInvalid("context used outside a transaction: it has no stub")
        return self._stub

    def get_client_identity(self) -> ClientIdentity:
        if self._client_identity is None:
            self._client_identity = ClientIdentity(self.get_stub())
        return self._client_identity
