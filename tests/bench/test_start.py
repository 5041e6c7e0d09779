"""The benchmark of the first transaction does what it times."""

from __future__ import annotations

from pathlib import Path

from cloister.bench import start


def test_a_first_transaction_is_committed_and_nothing_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    times = start._first_transaction(folder, "embedded")
    assert all(seconds > 0.05 for seconds in times)
    assert not folder.exists()
