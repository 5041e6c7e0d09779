"""How far each channel was, as enclaves have signed it: what a client never goes back behind.

A checkpoint is a height (number of blocks) and the hash of the last one (32 bytes). It travels in every request, and
the enclave refuses if its own chain is lower or differs there. Only statements that an enclave signed raise it, never a
Gateway's commit status. Two clients whose checkpoints name different hashes for one height were shown a fork; with the
signed statements beside them, of which the newest are kept, anybody can see that enclaves signed both (fork_proof.py).
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cloister.errors import EnvironmentFailed, MalformedInput, Refused
from cloister.trusted.protocol.statement import NO_CHECKPOINT, Checkpoint

KEPT = 256
"""Checkpoints kept per channel, the newest ones: what can be compared with another client's."""
SIGNED_KEPT = 64
"""Those of the newest whose signed statement is kept, too: about a kilobyte each."""
FORMAT = 2
"""Of the file. Files of before have no statements and load all the same."""


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """An enclave's statement that names a checkpoint, and what shows whose it is.

    `statement`: an encoded query's ResultStatement or CommitStatement; `signature` 64 bytes, by the chaincode's result
    key; `answer`: the registry's answer to `get_key_set`, with the evidence behind that key.
    """

    statement: bytes
    signature: bytes
    channel: str
    chaincode: str
    answer: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one channel: height → block hash (32 bytes), and of some heights who signed it."""

    checkpoints: dict[int, bytes] = field(default_factory=dict)
    signed: dict[int, SignedCheckpoint] = field(default_factory=dict)


class Checkpoints(Protocol):
    """Keeps checkpoints of channels, named by their genesis hash (32 bytes)."""

    def highest(self, genesis_hash: bytes) -> Checkpoint:
        """The highest one, NO_CHECKPOINT if there is none."""
        ...

    def note(self, genesis_hash: bytes, checkpoint: Checkpoint, signed: SignedCheckpoint | None = None) -> None:
        """Take one from a verified statement, which may be kept with it. Raises: Refused(reason="fork")."""
        ...


class InMemoryCheckpoints:
    """For one process."""

    def __init__(self) -> None:
        self._known: dict[bytes, Known] = {}

    def highest(self, genesis_hash: bytes) -> Checkpoint:
        return highest_of(self._known.get(genesis_hash, Known()).checkpoints)

    def note(self, genesis_hash: bytes, checkpoint: Checkpoint, signed: SignedCheckpoint | None = None) -> None:
        self._known[genesis_hash] = extended(self._known.get(genesis_hash, Known()), checkpoint, signed)


class FileCheckpoints:
    """In a folder, one JSON file per channel, named by its genesis hash.

    Shape: `format`; `checkpoints`, {height: hash in hex}; `signed`, {height: statement, signature, signer}; `signers`,
    {id: channel, chaincode, answer}; bytes as base64. Several processes may share the folder.
    Raises, all methods: EnvironmentFailed (file), MalformedInput (content).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def highest(self, genesis_hash: bytes) -> Checkpoint:
        return highest_of(load_checkpoints(self._path(genesis_hash)))

    def note(self, genesis_hash: bytes, checkpoint: Checkpoint, signed: SignedCheckpoint | None = None) -> None:
        path = self._path(genesis_hash)
        with self._locked():
            known = load_known(path)
            more = extended(known, checkpoint, signed)
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
    return load_known(path).checkpoints


def load_known(path: Path) -> Known:
    """All of one file; nothing if there is no file. Raises: EnvironmentFailed, MalformedInput."""
    try:
        document = json.loads(path.read_text("utf-8"))
        entries = document["checkpoints"]
        found = {int(height): bytes.fromhex(block_hash) for height, block_hash in entries.items()}
        signed = {int(height): _signed(item, document) for height, item in document.get("signed", {}).items()}
    except FileNotFoundError:
        return Known()
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
    return Known(found, signed)


def _signed(item: dict[str, str], document: dict[str, Any]) -> SignedCheckpoint:
    signer = document["signers"][item["signer"]]
    return SignedCheckpoint(
        base64.b64decode(item["statement"], validate=True),
        base64.b64decode(item["signature"], validate=True),
        str(signer["channel"]),
        str(signer["chaincode"]),
        base64.b64decode(signer["answer"], validate=True),
    )


def forks(ours: dict[int, bytes], theirs: dict[int, bytes]) -> list[tuple[int, bytes, bytes]]:
    """Heights that two clients know with different hashes, ascending."""
    return [
        (height, ours[height], theirs[height])
        for height in sorted(set(ours) & set(theirs))
        if ours[height] != theirs[height]
    ]


def highest_of(known: dict[int, bytes]) -> Checkpoint:
    """The highest of them, NO_CHECKPOINT if there is none."""
    height = max(known, default=0)
    return Checkpoint(height, known[height]) if height else NO_CHECKPOINT


def extended(known: Known, checkpoint: Checkpoint, signed: SignedCheckpoint | None = None) -> Known:
    """With one more, the newest of each. Raises: Refused(reason="fork") if the height is known with another hash."""
    present = known.checkpoints.get(checkpoint.height)
    if present is not None and present != checkpoint.block_hash:
        raise Refused(
            f"fork: at height {checkpoint.height} the channel had block hash {present.hex()}, "
            f"now an enclave signed {checkpoint.block_hash.hex()}",
            reason="fork",
            hint="stop, and compare checkpoints with other members: cloister checkpoint compare",
        )
    more = {**known.checkpoints, checkpoint.height: checkpoint.block_hash}
    kept = {height: more[height] for height in sorted(more)[-KEPT:]}
    statements = dict(known.signed)
    if signed is not None:
        statements.setdefault(checkpoint.height, signed)  # the first one says as much as the next
    newest = {height: statements[height] for height in sorted(statements)[-SIGNED_KEPT:]}
    return Known(kept, newest)


def _write(path: Path, known: Known) -> None:
    signers: dict[str, dict[str, str]] = {}
    signed = {}
    for height, item in sorted(known.signed.items()):
        name = hashlib.sha256(item.answer).hexdigest()[:16]
        signers[name] = {"channel": item.channel, "chaincode": item.chaincode, "answer": _base64(item.answer)}
        signed[str(height)] = {
            "statement": _base64(item.statement),
            "signature": _base64(item.signature),
            "signer": name,
        }
    document = {
        "format": FORMAT,
        "checkpoints": {str(height): block_hash.hex() for height, block_hash in sorted(known.checkpoints.items())},
        "signed": signed,
        "signers": signers,
    }
    temporary = path.with_name(path.name + ".new")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Write a folder's entries through to the disk: else a file may be the one before after a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
