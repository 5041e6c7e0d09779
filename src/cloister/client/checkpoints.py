"""How far each channel was, as enclaves have signed it: what a client never goes back behind.

A checkpoint is a height (number of blocks) and the hash of the last one (32 bytes). It travels in every request, and
the enclave refuses if its own chain is lower or differs there. Only statements that an enclave signed raise it, never a
Gateway's commit status. Two clients whose checkpoints name different hashes for one height have proof of a fork.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from cloister.errors import EnvironmentFailed, MalformedInput, Refused
from cloister.trusted.protocol.statement import NO_CHECKPOINT, Checkpoint

KEPT = 256
"""Checkpoints kept per channel, the newest ones: what can be compared with another client's."""


class Checkpoints(Protocol):
    """Keeps checkpoints of channels, named by their genesis hash (32 bytes)."""

    def highest(self, genesis_hash: bytes) -> Checkpoint:
        """The highest one, NO_CHECKPOINT if there is none."""
        ...

    def note(self, genesis_hash: bytes, checkpoint: Checkpoint) -> None:
        """Take one from a verified statement. Raises: Refused(reason="fork")."""
        ...


class InMemoryCheckpoints:
    """For one process."""

    def __init__(self) -> None:
        self._known: dict[bytes, dict[int, bytes]] = {}

    def highest(self, genesis_hash: bytes) -> Checkpoint:
        return highest_of(self._known.get(genesis_hash, {}))

    def note(self, genesis_hash: bytes, checkpoint: Checkpoint) -> None:
        self._known[genesis_hash] = extended(self._known.get(genesis_hash, {}), checkpoint)


class FileCheckpoints:
    """In a folder, one JSON file per channel, named by its genesis hash: {"checkpoints": {height: hash in hex}}.

    Several processes may share the folder. Raises, all methods: EnvironmentFailed (file), MalformedInput (content).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def highest(self, genesis_hash: bytes) -> Checkpoint:
        return highest_of(load_checkpoints(self._path(genesis_hash)))

    def note(self, genesis_hash: bytes, checkpoint: Checkpoint) -> None:
        path = self._path(genesis_hash)
        with self._locked():
            known = load_checkpoints(path)
            more = extended(known, checkpoint)
            if more != known:
                _write(path, more)

    def _path(self, genesis_hash: bytes) -> Path:
        return self._folder / f"{genesis_hash.hex()}.json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with (self._folder / "lock").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise EnvironmentFailed(f"checkpoints in {self._folder}: {error.strerror}") from error


def load_checkpoints(path: Path) -> dict[int, bytes]:
    """Height → block hash, of one file; nothing if there is no file. Raises: EnvironmentFailed, MalformedInput."""
    try:
        document = json.loads(path.read_text("utf-8"))
        entries = document["checkpoints"]
        found = {int(height): bytes.fromhex(block_hash) for height, block_hash in entries.items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise EnvironmentFailed(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MalformedInput(
            f"{path}: not a file of checkpoints",
            field="checkpoints",
            hint="move it away only if you accept to be shown an older state of the channel once",
        ) from error
    if any(not 0 < height < 2**64 or len(block_hash) != 32 for height, block_hash in found.items()):
        raise MalformedInput(f"{path}: not a file of checkpoints", field="checkpoints")
    return found


def forks(ours: dict[int, bytes], theirs: dict[int, bytes]) -> list[tuple[int, bytes, bytes]]:
    """Heights that two clients know with different hashes, ascending: proof that two chains were shown."""
    return [
        (height, ours[height], theirs[height])
        for height in sorted(set(ours) & set(theirs))
        if ours[height] != theirs[height]
    ]


def highest_of(known: dict[int, bytes]) -> Checkpoint:
    """The highest of them, NO_CHECKPOINT if there is none."""
    height = max(known, default=0)
    return Checkpoint(height, known[height]) if height else NO_CHECKPOINT


def extended(known: dict[int, bytes], checkpoint: Checkpoint) -> dict[int, bytes]:
    """With one more, the newest KEPT. Raises: Refused(reason="fork") if the height is known with another hash."""
    present = known.get(checkpoint.height)
    if present is not None and present != checkpoint.block_hash:
        raise Refused(
            f"fork: at height {checkpoint.height} the channel had block hash {present.hex()}, "
            f"now an enclave signed {checkpoint.block_hash.hex()}",
            reason="fork",
            hint="stop, and compare checkpoints with other members: cloister checkpoint compare",
        )
    more = {**known, checkpoint.height: checkpoint.block_hash}
    return {height: more[height] for height in sorted(more)[-KEPT:]}


def _write(path: Path, known: dict[int, bytes]) -> None:
    document = {"checkpoints": {str(height): block_hash.hex() for height, block_hash in sorted(known.items())}}
    temporary = path.with_name(path.name + ".new")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
