"""The checkpoint on disk: whatever moment a service is killed at, the next one finds a whole one."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from cloister.errors import EnvironmentFailed
from cloister.ledger_service.store import CheckpointStore, keep_refused

OLD, NEW = [b"old 1", b"old 2", b"old 3"], [b"new 1", b"new 2"]


class Killed(BaseException):
    """The process is gone at this moment."""


def test_what_was_saved_last_is_loaded(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "state")
    assert store.load() == []
    for parts in (OLD, NEW):
        store.save(parts)
        assert store.load() == parts
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["checkpoint"]
    assert stat.S_IMODE((tmp_path / "state" / "checkpoint" / "000000.part").stat().st_mode) == 0o600


def test_parts_keep_their_order(tmp_path: Path) -> None:
    parts = [b"%d" % number for number in range(12)]
    CheckpointStore(tmp_path).save(parts)
    assert CheckpointStore(tmp_path).load() == parts


def test_killed_at_any_moment_it_leaves_the_old_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [(os, "fsync"), (os, "open"), (Path, "rename"), (Path, "mkdir")]
    seen = set()
    for moment in range(12):
        folder = tmp_path / str(moment)
        CheckpointStore(folder).save(OLD)
        left = [moment]

        def dying(original: Any, left: list[int] = left) -> Any:
            def call(*arguments: Any, **options: Any) -> Any:
                if not left[0]:
                    raise Killed
                left[0] -= 1
                return original(*arguments, **options)

            return call

        with monkeypatch.context() as patch:
            for place, name in calls:
                patch.setattr(place, name, dying(getattr(place, name)))
            try:
                CheckpointStore(folder).save(NEW)
                done = True
            except Killed:
                done = False
        found = CheckpointStore(folder).load()
        assert found == NEW if done else found in (OLD, NEW)
        seen.add((done, tuple(found)))
        CheckpointStore(folder).save(NEW)
        assert CheckpointStore(folder).load() == NEW
    assert seen == {(False, tuple(OLD)), (False, tuple(NEW)), (True, tuple(NEW))}


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(EnvironmentFailed, match=r"file: "):
        CheckpointStore(file).save(NEW)
    with pytest.raises(EnvironmentFailed, match=r"refused-7\.block: "):
        keep_refused(file, 7, b"block")


def test_a_refused_block_is_kept(tmp_path: Path) -> None:
    assert keep_refused(tmp_path / "state", 7, b"block").read_bytes() == b"block"
