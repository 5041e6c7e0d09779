"""The comparison of test_comparison.py with a peer of Fabric 3.1 under BFT: only `make test-3.1` runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloister.testing.cases import UNREACHABLE
from cloister.testing.run_comparison import compare
from cloister.trusted.ledger.codes import Code
from ledger.test_comparison import silent

pytestmark = pytest.mark.fabric31


async def test_under_bft_verdicts_and_state_are_equal_and_forged_quorums_refused(
    fabric31: None, tmp_path: Path
) -> None:
    found = await compare(tmp_path / "net", seed=1, transactions=300, consensus="bft", progress=silent)
    assert (found.surprises, found.differences, found.state_differences) == ([], [], [])
    assert (found.fabric_version[:4], found.consensus) == ("3.1.", "bft")
    wanted = {code.name for code in Code if code not in UNREACHABLE} | {"MVCC_READ_CONFLICT", "PHANTOM_READ_CONFLICT"}
    assert wanted <= set(found.verdicts)
    assert (found.keys > 100, found.forged > 20) == (True, True)
