"""A run's document as text for people, and as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cloister.errors import EnvironmentFailed

from .plot import plot
from .run import Plan, RunResult
from .servers import LABELS

_NAME = "overhead"


def write(folder: Path, result: RunResult, plan: Plan, document: dict[str, Any]) -> None:
    """`overhead.json`, `overhead.md` and `overhead.svg` in a folder. Raises: EnvironmentFailed."""
    files = {
        "json": json.dumps(document, indent=1, sort_keys=True) + "\n",
        "md": f"```\n{table(document)}\n```\n",
        "svg": plot(result, plan),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for ending, text in files.items():
            (folder / f"{_NAME}.{ending}").write_text(text, "utf-8")
    except OSError as error:
        raise EnvironmentFailed(f"{folder}: {error.strerror}") from error


def table(document: dict[str, Any]) -> str:
    """Every cell, then what was aimed at."""
    machine, settings = document["machine"], document["settings"]
    lines = [
        (
            f"Fabric {document['fabric_version']}, {settings['organisations']} organisations, {machine['cores']} cores "
            f"shared by everything; {settings['rounds']} rounds of {settings['seconds_per_turn']:g} s per server"
        ),
        *(f"  {name}: {LABELS[name]}" for name in document["servers"]),
        *(f"  not compared: {name}: {why}" for name, why in document["not_compared"].items()),
        "calls/s: median (lowest to highest); milliseconds: p50/p95/p99 to endorsement, commit status, opened outcome;",
        "CPU ms: of all processes together, per call; bytes: of the block files, per call",
    ]
    heading = None
    for cell in document["cells"]:
        key = (cell["batch_timeout"], cell["work"], cell["until"])
        if key != heading:
            heading = key
            lines += [
                "",
                (
                    f"{cell['work']}, to {cell['until']}; batch timeout {cell['batch_timeout']}, "
                    f"{cell['max_messages']} transactions per block at most"
                ),
                (
                    f"{'clients':>7} {'server':<24} {'calls/s':>20} {'endorsed':>15} {'committed':>15} {'revealed':>15}"
                    f" {'CPU ms':>6} {'bytes':>6}"
                ),
            ]
        lines += [_row(cell["clients"], name, server) for name, server in cell["servers"].items()]
        lines += [_ratio_row(name, ratios) for name, ratios in cell["ratios"].items()]
        lines += [
            f"        {name}: {count} failed: {message}"
            for name, server in cell["servers"].items()
            for message, count in server["errors"].items()
        ]
    lines += ["", "aims"]
    verdicts = {True: "reached", False: "NOT reached", None: "not measured"}
    lines += [
        f"  {goal['name']}: {goal['wanted']} wanted, worst {goal['seen']}: {verdicts[goal['reached']]}"
        if goal["reached"] is not None
        else f"  {goal['name']}: {goal['wanted']} wanted, not measured"
        for goal in document["goals"]
    ]
    return "\n".join(lines)


def _row(clients: int, name: str, server: dict[str, Any]) -> str:
    rate = server["per_second"]
    times = [
        "/".join(f"{server['milliseconds'][stage][share]:.0f}" for share in ("p50", "p95", "p99"))
        for stage in ("endorsed", "committed", "revealed")
    ]
    rates = f"{rate['median']:.1f} ({rate['lowest']:.0f} to {rate['highest']:.0f})"
    cpu = sum(server["cpu_milliseconds_per_call"].values())
    return (
        f"{clients:>7} {name:<24} {rates:>20} {times[0]:>15} {times[1]:>15} {times[2]:>15} "
        f"{cpu:>6.1f} {server['ledger_bytes_per_call']:>6}"
    )


def _ratio_row(name: str, ratios: dict[str, Any]) -> str:
    rate, commit = ratios["throughput"], ratios["p50_committed"]
    told = " to ".join(name.split("_to_"))
    return (
        f"        {told}: throughput {rate['median']:.2f} ({rate['lowest']:.2f} to {rate['highest']:.2f}), "
        f"p50 to commit {commit['median']:.2f} ({commit['lowest']:.2f} to {commit['highest']:.2f})"
    )
