"""The judge's benchmark, small: a real orderer's ledger, a real peer that catches up, and the same ledger again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cloister.bench.memory import measure_memory
from cloister.bench.recorded import recorded_ledger
from cloister.cli.main import cli
from cloister.errors import UsageError


def silent(message: str) -> None:
    del message


@pytest.mark.fabric
def test_judge_peer_and_raw_rates_over_one_ledger_and_over_the_kept_one_again(
    fabric_binaries: None, tmp_path: Path
) -> None:
    common = ["bench", "ledger", "--dir", str(tmp_path / "kept"), "--transactions", "250", "--keys", "1000"]
    first = CliRunner().invoke(cli, [*common, "--rounds", "2", "--json"], catch_exceptions=False)
    told = json.loads(first.stdout)
    assert (told["transactions"], told["signatures"], told["rounds"]) == (250, 750, 2)
    assert told["blocks"] >= 3
    for name in ("judge", "peer", "raw", "judge_to_peer", "judge_to_raw"):
        assert 0 < told[name]["lowest"] <= told[name]["median"] <= told[name]["highest"]
    for name, aim in told["aims"].items():
        assert aim["reached"] == (told[name]["median"] >= aim["aim"])
    again = CliRunner().invoke(cli, [*common, "--rounds", "1"], catch_exceptions=False)
    assert again.output.count("the aim of") == 2
    assert "bytes per key" in again.output
    with (
        pytest.raises(UsageError, match="250 transactions, not of 251"),
        recorded_ledger(tmp_path / "kept", 251, silent),
    ):
        pass


def test_a_folder_with_something_else_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("dear")
    with pytest.raises(UsageError, match="no recorded ledger"), recorded_ledger(tmp_path, 10, silent):
        pass
    assert [item.name for item in tmp_path.iterdir()] == ["letter"]


def test_memory_per_key_does_not_depend_on_their_number() -> None:
    few, many = measure_memory(2_000), measure_memory(8_000)
    assert 100 < few.per_key < 1_000
    assert abs(many.per_key / few.per_key - 1) < 0.3
    assert 50 < many.per_transaction < 300
