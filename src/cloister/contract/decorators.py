"""Marks on transaction functions. They change nothing in the function; the dispatcher reads them.

Trust level: pure, measured into enclaves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, overload

Reveal = Literal["at-endorsement", "on-commit"]
"""When the caller of a confidential transaction may read its response: at once, or once it is committed and valid."""

Function = TypeVar("Function", bound=Callable[..., Any])
_ATTRIBUTE = "__cloister_marks__"


@dataclass(frozen=True, slots=True)
class Marks:
    """`evaluate`: a query, not to be submitted. `reveal` None: left to the default of confidential mode."""

    evaluate: bool = False
    reveal: Reveal | None = None


@overload
def transaction(function: Function, /) -> Function: ...
@overload
def transaction(*, evaluate: bool = False, reveal: Reveal | None = None) -> Callable[[Function], Function]: ...
def transaction(
    function: Function | None = None, /, *, evaluate: bool = False, reveal: Reveal | None = None
) -> Function | Callable[[Function], Function]:
    """Mark a transaction function: `@transaction`, `@transaction(evaluate=True)`, `@transaction(reveal="on-commit")`.

    Raises: ValueError for another reveal mode.
    """
    if reveal not in (None, "at-endorsement", "on-commit"):
        raise ValueError(f'reveal: expected "at-endorsement" or "on-commit", got {reveal!r}')

    def mark(marked: Function) -> Function:
        setattr(marked, _ATTRIBUTE, Marks(evaluate, reveal))
        return marked

    return mark if function is None else mark(function)


@overload
def query(function: Function, /) -> Function: ...
@overload
def query() -> Callable[[Function], Function]: ...
def query(function: Function | None = None, /) -> Function | Callable[[Function], Function]:
    """Mark a query; the same as `@transaction(evaluate=True)`."""
    mark = transaction(evaluate=True)
    return mark if function is None else mark(function)


def marks_of(function: Any) -> Marks:
    """The marks of a function or bound method; without any, those of a plain transaction."""
    marks = getattr(function, _ATTRIBUTE, None)
    return marks if isinstance(marks, Marks) else Marks()
