"""The class that contracts derive from.

Trust level: pure, measured into enclaves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from .context import SettableTransactionContextInterface, TransactionContext
from .metadata import InfoMetadata


class ContractInterface:
    """What the dispatcher asks of a contract. No ABC: enclaves make contract classes anew for each execution, and an
    ABC costs twice as much to make."""

    def get_info(self) -> InfoMetadata:
        """Title, version and the like, for the metadata."""
        raise NotImplementedError

    def get_unknown_transaction(self) -> Any:
        """What to call for a function that does not exist, or None."""
        raise NotImplementedError

    def get_before_transaction(self) -> Any:
        """What to call before each transaction, or None."""
        raise NotImplementedError

    def get_after_transaction(self) -> Any:
        """What to call after each successful transaction, or None."""
        raise NotImplementedError

    def get_name(self) -> str:
        """The contract's name; empty for the class's name."""
        raise NotImplementedError

    def get_transaction_context_handler(self) -> SettableTransactionContextInterface:
        """A context, whose class is then used for every transaction."""
        raise NotImplementedError


class IgnoreContractInterface(ABC):
    """May be implemented: public methods that are no transactions."""

    @abstractmethod
    def get_ignored_functions(self) -> list[str]: ...


class EvaluationContractInterface(ABC):
    """May be implemented: transactions that only read."""

    @abstractmethod
    def get_evaluate_transactions(self) -> list[str]: ...


class UndefinedInterface:
    """What an after-hook with a parameter gets if the transaction had no result."""


class Contract(ContractInterface):
    """Derive from it; every public method is a transaction function.

    class Asset(Contract):
        async def create(self, ctx: TransactionContext, key: str, value: int) -> None:
            await ctx.get_stub().put_state(key, str(value))

    Set as class attributes, all optional: `Name` (default: the class's name), `Info`, `TransactionContextHandler` (a
    subclass of TransactionContext), and the hooks `BeforeTransaction(ctx)`, `AfterTransaction(ctx, result)` and
    `UnknownTransaction(ctx)`. An exception in a hook ends the transaction like one in the function itself.
    """

    Name: str = ""
    Info: Any = None
    UnknownTransaction: Any = None
    BeforeTransaction: Any = None
    AfterTransaction: Any = None
    TransactionContextHandler: Any = None

    clear_key_spaces: ClassVar[tuple[str, ...]] = ()
    """Key prefixes stored under their plain names in confidential mode, so that ranges over them work. Whoever runs a
    peer can then read those key names; values stay sealed. Without effect in plain chaincode."""

    def __init__(self) -> None:
        """Give the contract an InfoMetadata of its own to fill in; a subclass without that need may omit it."""
        if self.Info is None:
            self.Info = InfoMetadata()

    def get_info(self) -> InfoMetadata:
        info: InfoMetadata = self.Info if self.Info is not None else InfoMetadata()
        return info

    def get_unknown_transaction(self) -> Any:
        return self.UnknownTransaction

    def get_before_transaction(self) -> Any:
        return self.BeforeTransaction

    def get_after_transaction(self) -> Any:
        return self.AfterTransaction

    def get_name(self) -> str:
        return self.Name

    def get_transaction_context_handler(self) -> SettableTransactionContextInterface:
        handler = self.TransactionContextHandler or TransactionContext
        context: SettableTransactionContextInterface = handler() if isinstance(handler, type) else handler
        return context
