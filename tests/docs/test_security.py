"""docs/security.md promises tests: every one that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_the_table_names_exists() -> None:
    table = [line for line in (ROOT / "docs" / "security.md").read_text("utf-8").splitlines() if line.startswith("| ")]
    named = {name for line in table[1:] for name in re.findall(r"`([a-z0-9_]{12,})`", line.split("|")[4])}
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    missing = sorted(name for name in named if f"def test_{name}(" not in sources)
    assert missing == []
    assert len(named) > 80
