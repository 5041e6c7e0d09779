"""Fixtures for tests of networks."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def no_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the cache and FABRIC_BIN of the machine's owner."""
    monkeypatch.delenv("FABRIC_BIN", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
