"""What a ledger service keeps on disk: its enclave's sealed checkpoint, and blocks that it refused."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from cloister.errors import EnvironmentFailed

_CURRENT, _NEW, _OLD = "checkpoint", "checkpoint.new", "checkpoint.old"


class CheckpointStore:
    """Keeps one checkpoint in `folder`, as a folder of parts. Raises, all methods: EnvironmentFailed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._saving = threading.Lock()

    def load(self) -> list[bytes]:
        """The parts in order; none if there is no checkpoint."""
        current = self._folder / _CURRENT
        if not current.is_dir():
            current = self._folder / _OLD  # killed between the two renames
        with _told(current):
            return [path.read_bytes() for path in sorted(current.glob("*.part"))] if current.is_dir() else []

    def save(self, parts: Sequence[bytes]) -> None:
        """Replace the checkpoint. A crash at any moment leaves the old one or the new one."""
        new, current, old = (self._folder / name for name in (_NEW, _CURRENT, _OLD))
        with self._saving, _told(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(mode=0o700)
            for number, part in enumerate(parts):
                _write(new / f"{number:06}.part", part)
            if current.is_dir():
                shutil.rmtree(old, ignore_errors=True)
                current.rename(old)
            new.rename(current)
            shutil.rmtree(old, ignore_errors=True)


def keep_refused(folder: Path, number: int, block: bytes) -> Path:
    """Keep a block that the enclave refused, as evidence against who sent it; where. Raises: EnvironmentFailed."""
    path = folder / f"refused-{number}.block"
    with _told(path):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_bytes(block)
    return path


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EnvironmentFailed(f"{path}: {error.strerror}") from error


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
