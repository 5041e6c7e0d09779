"""What a client keeps of a channel: never back, never two hashes for one height, safe between runs and processes."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cloister.client.checkpoints import KEPT, FileCheckpoints, InMemoryCheckpoints, forks, load_checkpoints
from cloister.errors import MalformedInput, Refused
from cloister.trusted.protocol.statement import NO_CHECKPOINT, Checkpoint

CHANNEL = b"g" * 32


def at(height: int, fill: int = 1) -> Checkpoint:
    return Checkpoint(height, bytes([fill]) * 32)


@pytest.fixture(params=["memory", "file"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> InMemoryCheckpoints | FileCheckpoints:
    return InMemoryCheckpoints() if request.param == "memory" else FileCheckpoints(tmp_path / "checkpoints")


def test_the_highest_counts_whatever_comes_later(kept: InMemoryCheckpoints | FileCheckpoints) -> None:
    assert kept.highest(CHANNEL) == NO_CHECKPOINT
    for height in (5, 9, 7):
        kept.note(CHANNEL, at(height))
    assert kept.highest(CHANNEL) == at(9)
    assert kept.highest(b"h" * 32) == NO_CHECKPOINT


def test_a11_two_hashes_for_one_height_are_a_fork(kept: InMemoryCheckpoints | FileCheckpoints) -> None:
    kept.note(CHANNEL, at(5))
    kept.note(CHANNEL, at(5))
    with pytest.raises(Refused, match="fork: at height 5") as caught:
        kept.note(CHANNEL, at(5, fill=2))
    assert caught.value.reason == "fork"
    assert kept.highest(CHANNEL) == at(5)


def test_the_newest_ones_are_kept(kept: InMemoryCheckpoints | FileCheckpoints, tmp_path: Path) -> None:
    for height in range(1, KEPT + 20):
        kept.note(CHANNEL, at(height))
    assert kept.highest(CHANNEL) == at(KEPT + 19)
    file = tmp_path / "checkpoints" / f"{CHANNEL.hex()}.json"
    if file.exists():
        assert len(load_checkpoints(file)) == KEPT


def test_several_writers_lose_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda height: FileCheckpoints(tmp_path).note(CHANNEL, at(height)), range(1, 60)))
    assert set(load_checkpoints(tmp_path / f"{CHANNEL.hex()}.json")) == set(range(1, 60))


def test_b12_a_damaged_file_is_an_error_and_not_a_fresh_start(tmp_path: Path) -> None:
    FileCheckpoints(tmp_path).note(CHANNEL, at(5))
    path = tmp_path / f"{CHANNEL.hex()}.json"
    for damage in ("", "{}", '{"checkpoints": {"0": "00"}}', '{"checkpoints": {"x": "00"}}', "[]"):
        path.write_text(damage)
        with pytest.raises(MalformedInput, match="not a file of checkpoints"):
            FileCheckpoints(tmp_path).highest(CHANNEL)


def test_forks_are_found_at_common_heights_alone() -> None:
    ours, theirs = {3: b"a", 5: b"b", 6: b"c"}, {4: b"x", 5: b"b", 6: b"d"}
    assert forks(ours, theirs) == [(6, b"c", b"d")]


def test_a_checkpoint_is_on_the_disk_with_its_folder_before_its_result_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a loss of power an older file would let the channel be shown as it was before."""
    synced: list[Path] = []

    def fsync(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))

    monkeypatch.setattr(os, "fsync", fsync)
    FileCheckpoints(tmp_path).note(CHANNEL, at(5))
    assert synced[-1] == tmp_path
    assert [path.parent for path in synced[:-1]] == [tmp_path]
