"""Figures out of several rounds: medians, with the lowest and highest seen."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity over all rounds."""

    median: float
    lowest: float
    highest: float


def figure(values: Sequence[float]) -> Figure:
    """Of one value per round, at least one."""
    return Figure(statistics.median(values), min(values), max(values))


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Figure:
    """Round by round: what disturbs a whole round leaves its ratio alone."""
    return figure([above / below for above, below in zip(numerators, denominators, strict=True)])
