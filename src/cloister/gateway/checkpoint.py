"""Where an event listener stopped: in memory, or in a file that survives a kill.

A checkpoint names the next block to read and the transaction of it that was dealt with last, if any: so that a listener
resumes exactly after the last event it has dealt with, also in the middle of a block.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cloister.errors import EnvironmentFailed, MalformedInput


@dataclass(frozen=True, slots=True)
class Position:
    """`block_number` None: nothing dealt with yet. `transaction_id` "": the block begins."""

    block_number: int | None = None
    transaction_id: str = ""


class Checkpointer(Protocol):
    """What event methods need of a checkpointer."""

    @property
    def position(self) -> Position:
        """Where to go on."""
        ...

    def checkpoint_block(self, block_number: int) -> None:
        """This block has been dealt with entirely."""
        ...

    def checkpoint_transaction(self, block_number: int, transaction_id: str) -> None:
        """This transaction's event has been dealt with."""
        ...


class InMemoryCheckpointer:
    """Survives a broken stream, not the process."""

    def __init__(self) -> None:
        self._position = Position()

    @property
    def position(self) -> Position:
        """Where to go on."""
        return self._position

    def checkpoint_block(self, block_number: int) -> None:
        """This block has been dealt with entirely."""
        self._move(Position(block_number + 1))

    def checkpoint_transaction(self, block_number: int, transaction_id: str) -> None:
        """This transaction's event has been dealt with."""
        self._move(Position(block_number, transaction_id))

    def checkpoint_event(self, event: HasPosition) -> None:
        """This chaincode event has been dealt with."""
        self.checkpoint_transaction(event.block_number, event.transaction_id)

    def _move(self, position: Position) -> None:
        self._position = position


class FileCheckpointer(InMemoryCheckpointer):
    """Survives the process: each checkpoint replaces the file in one step, written through to the disk."""

    def __init__(self, path: Path | str) -> None:
        """Raises: EnvironmentFailed (file), MalformedInput (content)."""
        super().__init__()
        self._path = Path(path)
        self._position = _load(self._path)

    def _move(self, position: Position) -> None:
        super()._move(position)
        document = {"block_number": position.block_number, "transaction_id": position.transaction_id}
        temporary = self._path.with_name(self._path.name + ".new")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                json.dump(document, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError as error:
            raise EnvironmentFailed(f"checkpoint {self._path}: {error.strerror}") from error


class HasPosition(Protocol):
    """An event that knows its place."""

    @property
    def block_number(self) -> int: ...

    @property
    def transaction_id(self) -> str: ...


def _load(path: Path) -> Position:
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Position()
    except OSError as error:
        raise EnvironmentFailed(f"checkpoint {path}: {error.strerror}") from error
    except ValueError as error:
        raise MalformedInput(f"checkpoint {path}: not JSON", field="checkpoint") from error
    number, transaction_id = (
        (document.get("block_number"), document.get("transaction_id")) if isinstance(document, dict) else (-1, None)
    )
    valid_number = number is None or (isinstance(number, int) and not isinstance(number, bool) and number >= 0)
    if not valid_number or not isinstance(transaction_id, str):
        raise MalformedInput(f"checkpoint {path}: expected block_number and transaction_id", field="checkpoint")
    return Position(number, transaction_id)
