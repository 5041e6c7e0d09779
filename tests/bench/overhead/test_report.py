"""The document of a run: its ratios are those of the rounds, its aims say what was seen."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from cloister.bench.overhead.drive import COMMIT, REVEAL, Times, Turn
from cloister.bench.overhead.plans import whole
from cloister.bench.overhead.plot import plot
from cloister.bench.overhead.report import document, quantile
from cloister.bench.overhead.run import Cell, CellResult, Measured, Plan, RunResult
from cloister.bench.overhead.servers import CONFIDENTIAL, PLAIN
from cloister.bench.overhead.work import BID, Call, Work, evaluation, expected, preparation
from cloister.bench.overhead.written import table, write

PLAN = Plan((PLAIN, CONFIDENTIAL), (), 2, 1.0, ("100ms", "2s"))


def measured(calls: int, *, seconds: float = 1.0, commit_s: float = 0.1) -> Measured:
    times = tuple(Times(0.0, commit_s / 2, commit_s, 2 * commit_s) for _ in range(calls))
    return Measured(Turn(4, seconds, times, {"EndorseError: no": 1}), {"peers": 0.5}, 1000 * calls, 0, 0.0, 1.0)


def result(confidential: list[Measured], plain: list[Measured], *, clients: int = 4) -> RunResult:
    cell = CellResult("100ms", Cell(BID, clients, COMMIT), {PLAIN: plain, CONFIDENTIAL: confidential})
    return RunResult("2.5.9", 2, [cell], seconds=10.0)


def test_ratios_are_taken_round_by_round_and_told_by_client_count() -> None:
    found = document(
        result([measured(90), measured(8, commit_s=0.4)], [measured(100), measured(10, commit_s=0.2)]), PLAN, {}
    )
    assert found["throughput_ratio_confidential_to_plain"] == {"4": 0.85}
    assert found["throughput_ratio_confidential_to_plain_spread"] == {"4": [0.8, 0.9]}
    assert found["latency_ratio_confidential_to_plain"] == {"4": 1.5}
    assert found["cells"][0]["ratios"]["confidential_to_plain"]["p50_revealed"]["highest"] == 2.0


def test_every_latency_has_batch_timeout_and_block_size_beside_it_and_cost_is_per_call() -> None:
    cell = document(result([measured(10)], [measured(20)]), PLAN, {})["cells"][0]
    assert (cell["batch_timeout"], cell["max_messages"]) == ("100ms", 100)
    server = cell["servers"][CONFIDENTIAL]
    assert server["milliseconds"]["endorsed"]["p50"] == 50.0
    assert server["cpu_milliseconds_per_call"] == {"peers": 50.0}
    assert server["ledger_bytes_per_call"] == 1000
    assert server["errors"] == {"EndorseError: no": 1}


@pytest.mark.parametrize(("calls", "reached"), [(90, True), (89, False)])
def test_an_aim_is_reached_or_not_and_what_was_not_measured_is_neither(calls: int, reached: bool) -> None:
    goals = document(result([measured(calls)], [measured(100)]), PLAN, {"node": "not installed"})["goals"]
    assert goals[0]["reached"] is reached
    assert goals[2]["reached"] is None
    told = table(document(result([measured(calls)], [measured(100)]), PLAN, {"node": "not installed"}))
    assert "not compared: node: not installed" in told
    assert ("NOT reached" in told) != reached


def test_the_plain_server_is_held_against_node_in_bids_and_queries_and_where_processors_are_the_limit() -> None:
    plan = whole((PLAIN, CONFIDENTIAL, "node"), clients=(1, 16, 64), rounds=2, seconds=1.0)
    assert plan.batch_timeouts == ("100ms", "2s", "10ms")
    run = RunResult()
    for timeout in plan.batch_timeouts:
        cells = [cell for cell in plan.cells_at(timeout) if cell.on("node")]
        run.cells += [CellResult(timeout, cell, {PLAIN: [measured(3)], "node": [measured(2)]}) for cell in cells]
    assert {cell.servers for cell in plan.cells_at("10ms")} == {(PLAIN, "node")}
    assert {cell.work for cell in plan.cells_at("2s")} == {BID}
    seen = {goal["name"]: goal["seen"] for goal in document(run, plan, {})["goals"] if "to node" in goal["name"]}
    assert [value for name, value in seen.items() if name.endswith("throughput")] == ["1.50"] * 3
    assert "plain to node, queries of 16 and 64 clients at 100ms, p50" in seen


def test_named_batch_timeouts_and_a_missing_node_leave_the_third_network_out() -> None:
    for servers, timeouts, expected_timeouts in (
        ((PLAIN, CONFIDENTIAL, "node"), ("10ms",), ("10ms",)),
        ((PLAIN, CONFIDENTIAL), (), ("100ms", "2s")),
    ):
        plan = whole(servers, clients=(1, 16), rounds=1, seconds=1.0, timeouts=timeouts)
        assert plan.batch_timeouts == expected_timeouts
        assert len(plan.cells_at(plan.batch_timeouts[0])) > 10


def test_a_server_with_no_success_is_told_as_such_and_not_as_fast() -> None:
    found = document(result([measured(0)], [measured(100)]), PLAN, {})
    assert found["throughput_ratio_confidential_to_plain"] == {"4": 0.0}
    assert found["goals"][0]["reached"] is False


def test_a_server_that_was_given_up_is_named_with_the_reason_and_drawn_as_far_as_it_came() -> None:
    run = result([measured(90)], [measured(100)])
    run.cells.append(CellResult("100ms", Cell(BID, 8, COMMIT), {PLAIN: [measured(9)], CONFIDENTIAL: [measured(9)]}))
    run.cells[0].measured["node"] = [measured(50)]
    run.given_up["node"] = "given up: of 8 clients' calls 7 failed: no"
    plan = Plan((PLAIN, CONFIDENTIAL, "node"), (), 1, 1.0, ("100ms",))
    found = document(run, plan, {"fabric_chaincode_python": "not installed"})
    assert found["throughput_ratio_plain_to_node"] == {"4": 2.0}
    assert found["not_compared"] == {"fabric_chaincode_python": "not installed", **run.given_up}
    assert plot(run, plan).count("<circle") == 10


def test_quantiles_of_few() -> None:
    times = [Times(0.0, float(number)) for number in range(10)]
    assert [quantile(times, "endorsed", share) for share in (0.5, 0.95, 0.99)] == [5.0, 9.0, 9.0]
    assert quantile([], "endorsed", 0.5) == 0.0


def test_the_plot_is_sound_xml_with_a_line_per_server(tmp_path: Path) -> None:
    run = result([measured(90)], [measured(100)])
    root = ET.fromstring(plot(run, PLAN))  # noqa: S314 - our own
    names = [item.text for item in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {PLAIN, CONFIDENTIAL} <= set(names)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) == 4
    write(tmp_path / "new", run, PLAN, document(run, PLAN, {}))
    assert sorted(item.suffix for item in (tmp_path / "new").iterdir()) == [".json", ".md", ".svg"]


def test_answers_are_compared_with_what_the_contract_must_give() -> None:
    assert expected(Call("submit", ()), b"OK")
    assert not expected(Call("submit", ()), b"AUCTION_NOT_EXISTING")
    assert expected(Call("eval", ("closed10",)), b'{"bidder": "bidder000000000009", "value": 10}')
    assert not expected(Call("eval", ("closed10",)), b'{"bidder": "bidder000000000008", "value": 10}')


def test_what_is_prepared_is_what_is_called() -> None:
    works: list[Work] = [BID, evaluation(10)]
    [(contract, steps)] = preparation(works)
    assert contract == "auction"
    assert [call.function for step in steps for call in step].count("submit") == 10
    assert Cell(evaluation(10), 1, REVEAL).work.call(random.Random(0)).arguments == ("closed10",)
