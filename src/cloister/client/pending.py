"""Calls whose outcome may still have to be opened: kept in a folder, readable by their owner alone.

One JSON file per transaction, named by its id. The response key in it opens the outcome and nothing else.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from cloister.errors import EnvironmentFailed, MalformedInput, UsageError

from .checkpoints import sync_folder
from .results import PendingOutcome


class PendingCalls:
    """Raises, all methods: EnvironmentFailed (file), MalformedInput (content)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, pending: PendingOutcome) -> None:
        """Write it through to the disk."""
        document = {
            "transaction_id": pending.transaction_id,
            "response_hash": pending.response_hash.hex(),
            "response_key": pending.response_key.hex(),
        }
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self._path(pending.transaction_id), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(document, file)
                file.flush()
                os.fsync(file.fileno())
            sync_folder(self._folder)
        except OSError as error:
            raise EnvironmentFailed(f"{self._folder}: {error.strerror}") from error

    def load(self, transaction_id: str) -> PendingOutcome:
        """What opens a transaction's outcome. Raises: UsageError if it was not called from here."""
        path = self._path(transaction_id)
        try:
            document = json.loads(path.read_text("utf-8"))
            return PendingOutcome(
                document["transaction_id"],
                bytes.fromhex(document["response_hash"]),
                bytes.fromhex(document["response_key"]),
            )
        except FileNotFoundError as error:
            raise UsageError(
                f"transaction {transaction_id} was not submitted from here: nobody else can open it",
                hint=f"its key would be in {self._folder}",
            ) from error
        except OSError as error:
            raise EnvironmentFailed(f"{path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise MalformedInput(f"{path}: not a pending call", field="pending") from error

    def _path(self, transaction_id: str) -> Path:
        if len(transaction_id) != 64 or any(character not in "0123456789abcdef" for character in transaction_id):
            raise UsageError(f"transaction id: expected 64 lower-case hex digits, got {transaction_id!r}")
        return self._folder / f"{transaction_id}.json"
