"""The cloister command, as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from cloister.network import Network

_TIMEOUT_S = 90.0


def run_cloister(
    folder: Path, environment: Mapping[str, str], *arguments: str, fails: int = 0, timeout_s: float = _TIMEOUT_S
) -> str:
    """In a folder; its standard output or, if it is to fail with this exit code, its standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "cloister", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == fails, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr if fails else done.stdout


def cloister(network: Network, *arguments: str, fails: int = 0, timeout_s: float = _TIMEOUT_S) -> str:
    """In a network's folder, on that network, with what clients keep in it too."""
    own = {"CLOISTER_NETWORK": str(network.folder), "CLOISTER_STATE": str(network.folder / "state")}
    return run_cloister(network.folder, {**os.environ, **own}, *arguments, fails=fails, timeout_s=timeout_s)
