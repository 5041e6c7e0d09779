"""The enclave's sealed state on disk: written whole or not at all, readable by its owner only."""

from __future__ import annotations

import os
from pathlib import Path

from cloister.errors import EnvironmentFailed


def read_sealed(path: Path) -> bytes | None:
    """The sealed state, or None if there is none yet. Raises: EnvironmentFailed."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EnvironmentFailed(f"sealed state {path}: {error.strerror}") from error


def write_sealed(path: Path, sealed: bytes) -> None:
    """Replace the sealed state in one step that survives a crash. Raises: EnvironmentFailed."""
    temporary = path.with_name(path.name + ".new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(sealed)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise EnvironmentFailed(f"sealed state {path}: {error.strerror}") from error
