"""`dataclasses.replace` for fields whose names are test parameters."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

_T = TypeVar("_T")


def replaced(value: _T, **changes: Any) -> _T:
    """A copy with some fields changed."""
    copy: _T = dataclasses.replace(value, **changes)  # type: ignore[type-var]
    return copy
