"""Running a coroutine that has nothing to wait for.

Trust level: trusted, pure.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from cloister.errors import Refused

_T = TypeVar("_T")


def run_immediately(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Its result. Raises: Refused(reason="state") if it asks anything: outside an execution nobody can answer."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: _T = stop.value
        return result
    coroutine.close()
    raise Refused("refused: a question outside an execution", reason="state")
