"""Load with kills, short: all counters fit; and the report calls what does not fit by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloister.bench.soak import FLAT_BYTES, SoakReport, bench_soak


def silent(message: str) -> None:
    del message


@pytest.mark.fabric
def test_kills_and_restarts_lose_and_double_nothing(fabric_binaries: None, tmp_path: Path) -> None:
    report = bench_soak(tmp_path / "network", seconds=8, clients=2, kill_every_s=1.0, progress=silent)
    assert set(report.kills) == {
        "chaincode enclave killed",
        "ledger enclave killed",
        "host killed and started again",
        "peer stopped and started again",
    }
    assert report.transactions > 0
    assert report.wrong == []
    assert report.growing == []


@pytest.mark.parametrize(
    ("report", "clean"),
    [
        (SoakReport(transactions=1, memory={"host": (100, 101), "enclave": (100, 100 + FLAT_BYTES)}), True),
        (SoakReport(transactions=1, memory={"host": (100, 101), "enclave": (100, 101 + FLAT_BYTES)}), False),
        (SoakReport(transactions=1, wrong=["counter0: 5, but 6 of its transactions are valid"]), False),
        (SoakReport(), False),
    ],
)
def test_a_counter_that_differs_memory_that_grows_or_nothing_done_make_a_report_unclean(
    report: SoakReport, clean: bool
) -> None:
    assert report.clean == clean
