"""Single steps, measured once and few: every step has a figure, and the command shows them all."""

from __future__ import annotations

import json

from click.testing import CliRunner

from cloister.bench.micro import ONCE, STEPS
from cloister.cli.main import cli


def test_every_step_has_a_figure() -> None:
    command = ["bench", "micro", "--rounds", "1", "--calls", "3", "--keys", "500", "--json"]
    told = json.loads(CliRunner().invoke(cli, command, catch_exceptions=False).stdout)
    assert told["format"] == "cloister/bench/micro/1"
    assert set(told["microseconds"]) == set(STEPS)
    assert set(told["milliseconds"]) == set(ONCE)
    for figures in (told["microseconds"], told["milliseconds"]):
        for name, value in figures.items():
            assert 0 < value["lowest"] <= value["median"] <= value["highest"], name
    assert told["memory"]["per_key"] > 100
