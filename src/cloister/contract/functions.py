"""A transaction function: its parameters and result as declared, and calling it with a transaction's arguments.

Trust level: pure, measured into enclaves.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .arguments import parse_argument
from .context import TransactionContextInterface
from .decorators import Reveal, marks_of
from .errors import ContractInvalid, InvalidArgument
from .hints import SCALARS, check_hint, is_any, union_members

_CONTEXT_NAMES = ("ctx", "context", "ctx_", "transaction_context")
_Kind = inspect.Parameter


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter besides the context. A `variadic` one takes all remaining arguments."""

    name: str
    hint: Any
    required: bool = True
    variadic: bool = False


@dataclass(frozen=True, slots=True)
class TransactionFunction:
    """A callable of a contract as transactions reach it. `returns` is the declared result, None if there is none.

    `returns_pair`: whether that is a value and an exception; `is_scalar`: all parameters are of types that no contract
    makes itself.
    """

    name: str
    function: Callable[..., Any]
    takes_context: bool
    parameters: tuple[Parameter, ...]
    returns: Any
    evaluate: bool
    reveal: Reveal | None
    returns_pair: bool
    is_scalar: bool

    async def call(self, context: TransactionContextInterface, arguments: Sequence[bytes]) -> Any:
        """Convert the arguments, call, and wait for the result if the function is a coroutine.

        Raises: InvalidArgument; whatever the function raises.
        """
        values = self._convert(arguments)
        return await self.call_with(context, values)

    async def call_with(self, context: TransactionContextInterface, values: Sequence[Any]) -> Any:
        """Call with values as they are. A pair (result, exception), as Go programmers return it, raises."""
        outcome = self.function(*((context,) if self.takes_context else ()), *values)
        if inspect.isawaitable(outcome):
            outcome = await outcome
        return _unwrap_pair(outcome, declared=self.returns_pair)

    def renewed(self, function: Callable[..., Any], context_class: type) -> TransactionFunction:
        """The same over another callable, out of source that was loaded again: its own classes may be new ones."""
        if self.is_scalar:
            return TransactionFunction(
                name=self.name,
                function=function,
                takes_context=self.takes_context,
                parameters=self.parameters,
                returns=self.returns,
                evaluate=self.evaluate,
                reveal=self.reveal,
                returns_pair=self.returns_pair,
                is_scalar=True,
            )
        described = describe_function(self.name, function, context_class, first_is_context=self.takes_context)
        return replace(described, evaluate=self.evaluate, reveal=self.reveal)

    def _convert(self, arguments: Sequence[bytes]) -> list[Any]:
        self._check_count(len(arguments))
        values = []
        for position, argument in enumerate(arguments):
            parameter = self.parameters[min(position, len(self.parameters) - 1)]
            try:
                values.append(parse_argument(argument, parameter.hint))
            except InvalidArgument as error:
                where = parameter.name + ("" if not error.field or error.field[0] in "[{" else ".") + error.field
                raise InvalidArgument(f"{self.name}: parameter '{where}': {error.message}", field=where) from error
        return values

    def _check_count(self, count: int) -> None:
        if count == len(self.parameters):
            return
        least = sum(parameter.required for parameter in self.parameters)
        variadic = any(parameter.variadic for parameter in self.parameters)
        if count >= least and (variadic or count <= len(self.parameters)):
            return
        most = len(self.parameters)
        expected = f"at least {least}" if variadic else f"{least}" if least == most else f"{least} to {most}"
        names = ", ".join(parameter.name for parameter in self.parameters)
        listed = f" ({names})" if names else ""
        raise InvalidArgument(f"{self.name}: expected {expected} arguments{listed}, got {count}", field="arguments")


def describe_function(
    name: str, function: Callable[..., Any], context_class: type, *, first_is_context: bool = False
) -> TransactionFunction:
    """Read a callable's signature.

    The context is the first parameter if it is annotated with a context class, or not annotated and called `ctx` (or
    `context`), or if `first_is_context` (hooks).
    Raises: ContractInvalid for signatures that transactions cannot call.
    """
    parameters = list(inspect.signature(function).parameters.values())
    takes_context = bool(parameters) and _is_context(function, parameters[0], context_class, always=first_is_context)
    marks = marks_of(function)
    annotation = inspect.signature(function).return_annotation
    returns = None if annotation is _Kind.empty else _resolve(function, annotation, name, "result")
    described = tuple(
        _describe_parameter(name, function, parameter)
        for parameter in parameters[takes_context:]
        if parameter.kind is not _Kind.KEYWORD_ONLY or parameter.default is _Kind.empty
    )
    return TransactionFunction(
        name=name,
        function=function,
        takes_context=takes_context,
        parameters=described,
        returns=returns,
        evaluate=marks.evaluate,
        reveal=marks.reveal,
        returns_pair=_is_pair(returns),
        is_scalar=all(parameter.hint in SCALARS or is_any(parameter.hint) for parameter in described),
    )


def _describe_parameter(name: str, function: Callable[..., Any], parameter: inspect.Parameter) -> Parameter:
    if parameter.kind in (_Kind.KEYWORD_ONLY, _Kind.VAR_KEYWORD):
        raise ContractInvalid(f"{name}: parameter '{parameter.name}' cannot be given by position")
    hint = _resolve(function, parameter.annotation, name, f"parameter '{parameter.name}'")
    if isinstance(hint, type) and issubclass(hint, TransactionContextInterface):
        raise ContractInvalid(f"{name}: the transaction context must be the first parameter")
    try:
        check_hint(hint)
    except ContractInvalid as error:
        raise ContractInvalid(f"{name}: parameter '{parameter.name}': {error.message}") from error
    variadic = parameter.kind is _Kind.VAR_POSITIONAL
    return Parameter(parameter.name, hint, not variadic and parameter.default is _Kind.empty, variadic)


def _is_context(
    function: Callable[..., Any], parameter: inspect.Parameter, context_class: type, *, always: bool
) -> bool:
    if parameter.kind not in (_Kind.POSITIONAL_ONLY, _Kind.POSITIONAL_OR_KEYWORD):
        return False
    if always:
        return True
    hint = parameter.annotation
    if isinstance(hint, str):
        try:
            hint = _evaluate(function, hint)
        except (NameError, AttributeError, SyntaxError, TypeError):
            hint = Any  # imported for type checkers only: the name decides
    if is_any(hint):
        return parameter.name in _CONTEXT_NAMES
    (hint, *_) = union_members(hint)
    return isinstance(hint, type) and (issubclass(hint, TransactionContextInterface) or issubclass(context_class, hint))


def _resolve(function: Callable[..., Any], hint: Any, name: str, what: str) -> Any:
    """Turn an annotation given as text into the type it names."""
    if not isinstance(hint, str):
        return hint
    try:
        return _evaluate(function, hint)
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        raise ContractInvalid(
            f"{name}: type of {what} cannot be resolved: {error}", hint="import it at the top of the contract's module"
        ) from error


def _evaluate(function: Callable[..., Any], hint: str) -> Any:
    module = sys.modules.get(getattr(function, "__module__", ""))
    names = dict(vars(module)) if module is not None else {}
    names |= getattr(inspect.unwrap(getattr(function, "__func__", function)), "__globals__", {})
    holder = type("holder", (), {"__annotations__": {"hint": hint}})
    return typing.get_type_hints(holder, globalns=names)["hint"]


def _is_pair(returns: Any) -> bool:
    """Whether a declared result is a pair of a value and an exception."""
    parts = typing.get_args(returns)
    if typing.get_origin(returns) is not tuple or len(parts) != 2:
        return False
    (second, *others) = union_members(parts[1])
    return not others and isinstance(second, type) and issubclass(second, BaseException)


def _unwrap_pair(outcome: Any, *, declared: bool) -> Any:
    if isinstance(outcome, tuple) and len(outcome) == 2:
        if isinstance(outcome[1], BaseException):
            raise outcome[1]
        if declared and outcome[1] is None:
            return outcome[0]
    return outcome
