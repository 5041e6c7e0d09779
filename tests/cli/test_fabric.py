"""`cloister fabric` as its user sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from cloister.network.binaries import INSTALL_HINT
from support.programs import fake_programs


def fabric(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cloister", "fabric", *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )


def test_status_tells_which_programs_would_be_used(tmp_path: Path) -> None:
    folder = fake_programs(tmp_path / "bin", "v2.5.9")
    done = fabric("status", FABRIC_BIN=str(folder))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"Fabric 2.5.9 in {folder} (FABRIC_BIN)\n", "")
    as_json = fabric("status", "--json", FABRIC_BIN=str(folder))
    assert json.loads(as_json.stdout) == {"folder": str(folder), "source": "FABRIC_BIN", "version": "2.5.9"}


def test_installing_what_is_there_says_so(tmp_path: Path) -> None:
    folder = fake_programs(tmp_path / "bin", "v3.1.5")
    done = fabric("install", FABRIC_BIN=str(folder))
    assert (done.returncode, done.stdout) == (0, "")
    assert f"Fabric 3.1.5 is ready in {folder} (FABRIC_BIN)" in done.stderr
    assert json.loads(fabric("install", "--json", FABRIC_BIN=str(folder)).stdout)["built"] is False


def test_no_programs_is_one_line_with_a_hint(tmp_path: Path) -> None:
    done = fabric("status", FABRIC_BIN="", XDG_CACHE_HOME=str(tmp_path), HOME=str(tmp_path), PATH="/nonexistent")
    assert done.returncode == 7
    assert done.stderr.splitlines() == [
        "cloister: error: Fabric programs not found: neither FABRIC_BIN, nor installed, nor on PATH",
        f"hint: {INSTALL_HINT}",
    ]


def test_an_unusable_fabric_bin_is_told_as_json_too(tmp_path: Path) -> None:
    done = fabric("install", "--json", FABRIC_BIN=str(tmp_path))
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["exit_code"], error["type"]) == (7, 7, "EnvironmentFailed")
    assert error["message"].startswith("FABRIC_BIN: expected peer, orderer")
