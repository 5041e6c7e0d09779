"""`cloister network` as its user sees it: what it prints where, and how it exits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.fabric, pytest.mark.usefixtures("fabric_binaries")]


def network(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cloister", "network", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def test_a_network_from_up_to_removal(tmp_path: Path) -> None:
    up = network("up", "--orgs", "1", cwd=tmp_path)
    try:
        assert up.returncode == 0
        rows = [line.split() for line in up.stdout.splitlines()]
        assert [row[0] for row in rows] == ["orderer", "org1"]
        assert "is up after" in up.stderr
        assert "development and tests only" in up.stderr
        shown = network("status", cwd=tmp_path)
        assert (shown.returncode, shown.stdout, shown.stderr) == (0, up.stdout, "")

        again = network("up", cwd=tmp_path)
        assert (again.returncode, again.stdout) == (0, up.stdout)
        assert "the network is running already" in again.stderr
        other = network("up", "--orgs", "2", cwd=tmp_path)
        assert other.returncode == 2
        assert "has other options: 1 organisations" in other.stderr

        down = network("down", cwd=tmp_path)
        assert (down.returncode, down.stdout, down.stderr) == (0, "", "• 2 programs stopped\n")
        stopped = network("status", cwd=tmp_path)
        assert stopped.returncode == 1
        assert [line.split()[-1] for line in stopped.stdout.splitlines()] == ["stopped", "stopped"]
        assert network("down", cwd=tmp_path).returncode == 0
    finally:
        removed = network("down", "--remove", cwd=tmp_path)
    assert removed.stderr == "• 0 programs stopped, folder removed\n"
    assert list(tmp_path.iterdir()) == []
    assert network("down", cwd=tmp_path).returncode == 2


def test_everything_as_json(tmp_path: Path) -> None:
    up = network("up", "--orgs", "1", "--channel", "trade", "--json", cwd=tmp_path)
    try:
        told = json.loads(up.stdout)
        assert (up.stderr, told["channel"]) == ("", "trade")
        assert all(process["pid"] for process in told["processes"])
        assert Path(told["organisations"][0]["connection_profile"]).is_file()
        written = json.loads((tmp_path / "cloister-network" / "network.json").read_text())
        assert written["channel"] == "trade"
        assert Path(written["organisations"][0]["users"]["User3"]["key"]).is_file()
        status = network("status", "--json", cwd=tmp_path)
        assert (status.returncode, json.loads(status.stdout)) == (0, told)
    finally:
        down = network("down", "--remove", "--json", cwd=tmp_path)
    assert json.loads(down.stdout) == {"stopped": 2, "removed": True}
    gone = network("status", "--json", cwd=tmp_path)
    assert (gone.returncode, gone.stderr) == (2, "")
    assert json.loads(gone.stdout)["error"]["type"] == "NetworkNotThere"
