"""Whose a folder is before a network starts in it: one start at a time, and nobody else's files are touched."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from cloister.errors import EnvironmentFailed

from .layout import DESCRIPTION, STARTING
from .processes import POLL_S, stop_process

_MOMENT_S = 0.5


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Make the folder if need be, and keep other starts out of it for the time of the block.

    Raises: EnvironmentFailed if it cannot be made or another start is under way.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise EnvironmentFailed(f"{folder}: {error.strerror}", hint="choose another --dir") from error
    try:
        if not _locks(descriptor):
            raise EnvironmentFailed(f"{folder}: another start of this network is under way")
        yield
    finally:
        os.close(descriptor)


def _locks(descriptor: int) -> bool:
    """A start that has just been killed may leave the lock to a program that it was starting, for a moment."""
    deadline = time.monotonic() + _MOMENT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        else:
            return True


def make_room(folder: Path) -> None:
    """An empty folder, marked as ours. What an interrupted start left behind is stopped and removed.

    Raises: EnvironmentFailed if somebody else's files are in it.
    """
    content = list(folder.iterdir())
    if content and not (folder / STARTING).exists():
        raise EnvironmentFailed(f"{folder} is not empty and holds no network", hint="choose another --dir")
    (folder / STARTING).touch()
    for path in folder.rglob("*.pid"):
        stop_process(path.parent, path.stem)
    for path in content:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != STARTING:
            path.unlink(missing_ok=True)  # pid files went with their processes


def holds_network(folder: Path) -> bool:
    """True if a network was started here once, running or not."""
    return (folder / DESCRIPTION).exists()
