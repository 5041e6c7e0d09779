"""The demo, as a user runs it: nothing found confidentially, everything found in plain, so the search works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cloister.network.processes import running_pid

pytestmark = pytest.mark.fabric


def demo(*arguments: str) -> tuple[dict[str, Any], str]:
    command = [sys.executable, "-m", "cloister", "demo", "auction", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.parametrize(("kind", "copies", "files"), [("embedded", 1, 50), ("fabric", 3, 100)])
def test_nothing_is_found_where_bids_are_sealed(
    fabric_binaries: None, tmp_path: Path, kind: str, copies: int, files: int
) -> None:
    told, _ = demo("--network", kind, "--dir", str(tmp_path / "net"))
    assert told["network"] == kind
    assert told["plaintext_hits"] == []
    assert told["winner"]["bidder"].startswith("bob-")
    assert told["late_bid"] == "AUCTION_ALREADY_CLOSED"
    assert told["searched"]["files"] > files
    assert len(told["searched"]["for"]) >= 18
    blocks = list((tmp_path / "net").rglob("blockfile_000000"))
    assert len(blocks) == copies
    for path in blocks:  # what the peer sees is really there
        assert bytes.fromhex(told["peer_sees"]["writes"][0]["value"]) in path.read_bytes()
    assert not any(running_pid(path.parent, path.stem) for path in (tmp_path / "net").rglob("*.pid"))


@pytest.mark.parametrize("kind", ["embedded", "fabric"])
def test_the_same_search_finds_everything_where_the_contract_runs_in_plain(fabric_binaries: None, kind: str) -> None:
    told, _ = demo("--plain", "--network", kind)
    assert told["winner"]["bidder"].startswith("bob-")
    found = {hit["what"] for hit in told["plaintext_hits"]}
    assert found >= set(told["searched"]["for"])
    for hit in told["plaintext_hits"]:
        assert hit["file"]
        assert hit["offset"] >= 0
