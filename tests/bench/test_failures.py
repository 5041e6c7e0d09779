"""The measurement of refusals has every kind of every thing in it. What it finds is no test: it is the machine's."""

from __future__ import annotations

from cloister.bench.failures import FAILURES, measure_failures


def test_every_kind_is_measured() -> None:
    found = measure_failures(rounds=2, repeats=10)
    assert {(item.thing, item.kind) for item in found} == {
        (failing.name, kind) for failing in FAILURES for kind in failing.failures
    }
    assert all(item.microseconds > 0 and 0 < item.lowest <= item.ratio <= item.highest for item in found)
