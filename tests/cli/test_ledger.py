"""`cloister ledger` as its user sees it, where no network is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.programs import fake_programs


def test_comparing_under_bft_with_programs_of_2_5_is_one_clear_error(tmp_path: Path) -> None:
    folder = fake_programs(tmp_path / "bin", "v2.5.9")
    command = [sys.executable, "-m", "cloister", "ledger", "compare", "--consensus", "bft"]
    done = subprocess.run(
        command, env={**os.environ, "FABRIC_BIN": str(folder)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (7, "")
    assert done.stderr.splitlines()[-2:] == [
        f"cloister: error: BFT orderers need Fabric 3.1, the programs in {folder} are of version 2.5.9",
        "hint: set FABRIC_BIN to a folder with Fabric 3.1 programs",
    ]
