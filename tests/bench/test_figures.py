"""Ratios are taken round by round: a disturbed round does not make a ratio that no round had."""

from __future__ import annotations

from cloister.bench.figures import Figure, figure, ratio


def test_a_disturbance_that_hits_both_sides_of_a_round_leaves_the_ratio_alone() -> None:
    assert ratio([20.0, 2.0, 20.0], [10.0, 1.0, 10.0]) == Figure(2.0, 2.0, 2.0)
    assert figure([20.0, 2.0, 20.0]) == Figure(20.0, 2.0, 20.0)
