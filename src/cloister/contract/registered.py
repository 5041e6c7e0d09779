"""A contract as the dispatcher keeps it: its functions and hooks, read once from the class.

Trust level: pure, measured into enclaves.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .context import TransactionContextInterface
from .contract import (
    Contract,
    ContractInterface,
    EvaluationContractInterface,
    IgnoreContractInterface,
    UndefinedInterface,
)
from .errors import ContractInvalid
from .functions import TransactionFunction, describe_function
from .metadata import InfoMetadata

_NOT_TRANSACTIONS = frozenset(
    name
    for interface in (Contract, IgnoreContractInterface, EvaluationContractInterface)
    for name in dir(interface)
    if not name.startswith("_")
)


@dataclass(frozen=True, slots=True)
class RegisteredContract:
    """Functions by name; hooks are None where the contract has none."""

    name: str
    info: InfoMetadata
    context_class: Any
    functions: Mapping[str, TransactionFunction]
    before: TransactionFunction | None
    after: TransactionFunction | None
    unknown: TransactionFunction | None
    clear_key_spaces: tuple[str, ...]

    def find(self, function_name: str) -> TransactionFunction | None:
        """The function of that name, or of the name with its first letter in upper case."""
        capitalised = function_name[:1].upper() + function_name[1:]
        return self.functions.get(function_name) or self.functions.get(capitalised)

    def renewed(self, contract: ContractInterface) -> RegisteredContract:
        """The same over another object of the contract, of the same class or of one loaded again."""
        context_class = _context_class(contract)
        return RegisteredContract(
            name=self.name,
            info=self.info,
            context_class=context_class,
            functions=_Renewed(self.functions, contract, context_class),
            before=_renewed_hook(self.before, contract.get_before_transaction, context_class),
            after=_renewed_hook(self.after, contract.get_after_transaction, context_class),
            unknown=_renewed_hook(self.unknown, contract.get_unknown_transaction, context_class),
            clear_key_spaces=self.clear_key_spaces,
        )

    async def run_after(self, context: TransactionContextInterface, result: Any) -> None:
        """Call the after-hook, if there is one, with the result if it takes one."""
        if self.after is not None:
            value = UndefinedInterface() if result is None else result
            await self.after.call_with(context, [value] * len(self.after.parameters))


class _Renewed(Mapping[str, TransactionFunction]):
    """Functions over another object of their contract, made when they are asked for: most calls need one."""

    def __init__(
        self, known: Mapping[str, TransactionFunction], contract: ContractInterface, context_class: type
    ) -> None:
        self._known = known
        self._contract = contract
        self._context_class = context_class

    def __getitem__(self, name: str) -> TransactionFunction:
        return self._known[name].renewed(getattr(self._contract, name), self._context_class)

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def register_contract(contract: object) -> RegisteredContract:
    """Read a contract's class.

    Raises: ContractInvalid, naming contract and function.
    """
    if not isinstance(contract, ContractInterface):
        got = "a class" if isinstance(contract, type) else type(contract).__name__
        raise ContractInvalid(
            f"not a contract: expected an instance of cloister.contract.Contract, got {got}",
            hint="import Contract from cloister.contract, and pass an instance, not the class",
        )
    name = contract.get_name() or type(contract).__name__
    context_class = _context_class(contract)
    evaluates = set(_names(contract, "get_evaluate_transactions"))
    functions = {
        method: _describe(contract, name, method, context_class, evaluate=method in evaluates)
        for method in _public_methods(contract)
    }
    if not functions:
        raise ContractInvalid(f"contract {name} has no transaction function: it needs at least one public method")
    return RegisteredContract(
        name=name,
        info=contract.get_info(),
        context_class=context_class,
        functions=functions,
        before=_describe_hook(contract.get_before_transaction(), f"{name}.BeforeTransaction", context_class, 0),
        after=_describe_hook(contract.get_after_transaction(), f"{name}.AfterTransaction", context_class, 1),
        unknown=_describe_hook(contract.get_unknown_transaction(), f"{name}.UnknownTransaction", context_class, 0),
        clear_key_spaces=_clear_key_spaces(contract, name),
    )


def _context_class(contract: ContractInterface) -> Any:
    handler: Any = contract.get_transaction_context_handler()
    return handler if isinstance(handler, type) else type(handler)


def _renewed_hook(
    known: TransactionFunction | None, hook: Callable[[], Any], context_class: type
) -> TransactionFunction | None:
    return known.renewed(hook(), context_class) if known is not None else None


def _public_methods(contract: ContractInterface) -> list[str]:
    """Names of the methods that the class defines; attributes of the instance and nested classes are no functions."""
    ignored = {*_NOT_TRANSACTIONS, *_names(contract, "get_ignored_functions")}
    return [
        name
        for name, member in inspect.getmembers_static(type(contract))
        if not name.startswith("_")
        and name not in ignored
        and (inspect.isfunction(member) or isinstance(member, staticmethod | classmethod))
    ]


def _names(contract: ContractInterface, method: str) -> list[str]:
    """What an optional method of a contract lists."""
    listing = getattr(contract, method, None)
    names = listing() if callable(listing) else []
    if not all(isinstance(name, str) for name in names or []):
        raise ContractInvalid(f"{type(contract).__name__}.{method}: expected a list of names")
    return list(names or [])


def _describe(
    contract: ContractInterface, contract_name: str, method: str, context_class: type, *, evaluate: bool
) -> TransactionFunction:
    function = describe_function(f"{contract_name}.{method}", getattr(contract, method), context_class)
    function = replace(function, evaluate=True) if evaluate else function
    if function.evaluate and function.reveal == "on-commit":
        raise ContractInvalid(
            f"{function.name}: a query commits nothing, so it cannot be revealed on commit",
            hint="make it a transaction, or leave the reveal mode out",
        )
    return function


def _clear_key_spaces(contract: object, name: str) -> tuple[str, ...]:
    """A forgotten comma in a tuple of one makes text of it, each letter of which would be a space of its own."""
    spaces = getattr(contract, "clear_key_spaces", ())
    listed = isinstance(spaces, tuple | list | set | frozenset)
    if not listed or not all(isinstance(space, str) and space and space[0] != "\0" for space in spaces):
        raise ContractInvalid(f"{name}.clear_key_spaces: expected a tuple of prefixes of simple keys, none empty")
    return tuple(spaces)


def _describe_hook(
    hook: Callable[..., Any] | None, name: str, context_class: type, most_parameters: int
) -> TransactionFunction | None:
    if hook is None:
        return None
    if not callable(hook):
        raise ContractInvalid(f"{name}: expected a function, got {type(hook).__name__}")
    described = describe_function(name, hook, context_class, first_is_context=True)
    if len(described.parameters) > most_parameters:
        allowed = "the context and the result" if most_parameters else "the context"
        raise ContractInvalid(f"{name}: it may take {allowed}, nothing else")
    return described
