"""How long a newcomer waits: from the command to the first committed transaction, and for the demo, on both networks.

Every time is taken from outside, command by command, as a user types them. Networks take turns, so that other load on
the machine disturbs both alike.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cloister.errors import EnvironmentFailed
from cloister.network.options import EMBEDDED, FABRIC

from .figures import Figure, figure

KINDS = (EMBEDDED, FABRIC)
CONTRACT = Path(__file__).parents[1] / "samples" / "kv.py"
_TIMEOUT_S = 300
Progress = Callable[[str], None]


@dataclass(frozen=True)
class StartFigures:
    """Seconds on one kind of network; `first` is `up`, `deploy` and `submit` together."""

    kind: str
    up: Figure
    deploy: Figure
    submit: Figure
    first: Figure
    demo: Figure


def bench_start(folder: Path, *, rounds: int, progress: Progress) -> tuple[StartFigures, ...]:
    """Measure in an empty folder. Raises: EnvironmentFailed if a command fails."""
    taken: dict[str, list[tuple[float, float, float, float]]] = {kind: [] for kind in KINDS}
    for number in range(1, rounds + 1):
        for kind in KINDS:
            progress(f"round {number} of {rounds}, {kind}: first transaction, then the demo")
            taken[kind].append((*_first_transaction(folder / kind, kind), _demo(kind)))
    return tuple(
        StartFigures(
            kind,
            up=figure([up for up, _, _, _ in times]),
            deploy=figure([deploy for _, deploy, _, _ in times]),
            submit=figure([submit for _, _, submit, _ in times]),
            first=figure([up + deploy + submit for up, deploy, submit, _ in times]),
            demo=figure([demo for _, _, _, demo in times]),
        )
        for kind, times in taken.items()
    )


def _first_transaction(folder: Path, kind: str) -> tuple[float, float, float]:
    """Seconds of `network up`, `chaincode deploy --plain` and `submit --plain`."""
    place = ("--dir", str(folder))
    embedded = ("--embedded",) if kind == EMBEDDED else ()
    try:
        return (
            _seconds("network", "up", *place, *embedded),
            _seconds("chaincode", "deploy", *place, "--plain", "--name", "kv", "--contract", str(CONTRACT)),
            _seconds("submit", *place, "--plain", "kv", "put_state", "key", "value"),
        )
    finally:
        if folder.exists():
            _run("network", "down", *place)
            shutil.rmtree(folder)


def _demo(kind: str) -> float:
    return float(json.loads(_run("demo", "auction", "--json", "--network", kind))["seconds"])


def _seconds(*arguments: str) -> float:
    started = time.monotonic()
    _run(*arguments)
    return time.monotonic() - started


def _run(*arguments: str) -> str:
    command = [sys.executable, "-m", "cloister", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        words = done.stderr.strip().splitlines() or ["(silent)"]
        raise EnvironmentFailed(f"cloister {' '.join(arguments[:2])} failed: {words[-1]}")
    return done.stdout
