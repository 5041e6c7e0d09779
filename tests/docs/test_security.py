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


def test_every_row_that_can_be_attacked_now_has_a_test_of_its_name_among_the_adversarys() -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "tests" / "adversary").glob("test_*.py"))
    prefixes = re.findall(r"def test_((?:[abcdep]\d+_)+)", sources)
    attacked = {row.upper() for prefix in prefixes for row in prefix.rstrip("_").split("_")}
    wanted = [f"A{number}" for number in range(1, 18)] + [f"B{number}" for number in range(1, 13)]
    wanted += ["C1", "C2", "C5", "C9", "C11", "D1", "D2", "D3", "D5", "D6", "E1", "E2", "E3", "E4"]
    wanted += [f"P{number}" for number in range(1, 11)]
    assert [row for row in wanted if row not in attacked] == []
