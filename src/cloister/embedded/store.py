"""What an embedded network keeps: blocks in a peer's file format, private data and packages in SQLite. Or in memory.

Whatever ends the process, what is found is a whole block with its private data: those are written first, and count
only if the block is there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from cloister.errors import EnvironmentFailed

from .block_file import Blocks, FileBlocks, MemoryBlocks

DATABASE = "private.sqlite"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS private_data (
    organisation TEXT, number INTEGER, position INTEGER, namespace TEXT, collection TEXT, rwset BLOB NOT NULL,
    PRIMARY KEY (organisation, number, position, namespace, collection)
);
CREATE TABLE IF NOT EXISTS transient (
    transaction_id TEXT, height INTEGER, namespace TEXT, collection TEXT, rwset BLOB NOT NULL,
    PRIMARY KEY (transaction_id, namespace, collection)
);
CREATE TABLE IF NOT EXISTS packages (organisation TEXT, id TEXT, package BLOB NOT NULL, PRIMARY KEY (organisation, id));
"""


class PrivateRow(NamedTuple):
    """A transaction's private writes to one collection, as one organisation holds them. `rwset`: a KVRWSet."""

    organisation: str
    number: int
    position: int
    namespace: str
    collection: str
    rwset: bytes


class TransientRow(NamedTuple):
    """Private writes to one collection of a transaction that was endorsed when there were `height` blocks."""

    transaction_id: str
    height: int
    namespace: str
    collection: str
    rwset: bytes


class Store:
    """Use `close` at the end. `folder` None: in memory. Raises: EnvironmentFailed."""

    def __init__(self, folder: Path | None, channel: str) -> None:
        self._blocks: Blocks = MemoryBlocks() if folder is None else FileBlocks(folder / channel)
        path = folder / DATABASE if folder is not None else ":memory:"
        try:
            # One thread at a time uses it, but not always the one that opened it.
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")  # a killed process loses nothing; a power cut might
            self._database.execute("PRAGMA secure_delete=ON")  # purged data are not to lie about in free pages
            self._database.executescript(_SCHEMA)
            self._database.execute("DELETE FROM private_data WHERE number >= ?", (len(self._blocks),))
        except sqlite3.Error as error:
            raise EnvironmentFailed(f"{path}: {error}") from error

    def close(self) -> None:
        """Nothing can be used any more."""
        self._database.close()
        self._blocks.close()

    def append(self, number: int, block: bytes, private: Sequence[PrivateRow]) -> None:
        """Write a block with the private data of its transactions."""
        if number != len(self._blocks):
            raise ValueError(f"expected block {len(self._blocks)}, got {number}")
        if private:
            with self._transaction():
                self._database.executemany("INSERT OR REPLACE INTO private_data VALUES (?, ?, ?, ?, ?, ?)", private)
        self._blocks.append(block)

    def height(self) -> int:
        """How many blocks there are."""
        return len(self._blocks)

    def block(self, number: int) -> bytes:
        """A serialised block. Raises: KeyError."""
        return self._blocks.read(number)

    def private_rows(self, number: int, organisation: str = "") -> list[PrivateRow]:
        """The private data of one block, of one organisation or of all."""
        query = "SELECT * FROM private_data WHERE number = ? AND (? = '' OR organisation = ?) ORDER BY position"
        return [PrivateRow(*row) for row in self._database.execute(query, (number, organisation, organisation))]

    def save_transient(self, rows: Sequence[TransientRow]) -> None:
        """Keep what waits for its transaction."""
        with self._transaction():
            self._database.executemany("INSERT OR REPLACE INTO transient VALUES (?, ?, ?, ?, ?)", rows)

    def transient(self) -> list[TransientRow]:
        """Everything that waits for its transaction."""
        return [TransientRow(*row) for row in self._database.execute("SELECT * FROM transient")]

    def drop_transient(self, transaction_ids: Sequence[str]) -> None:
        """Forget what waited for these transactions."""
        if not transaction_ids:
            return
        with self._transaction():
            self._database.executemany(
                "DELETE FROM transient WHERE transaction_id = ?", [(item,) for item in transaction_ids]
            )

    def drop_private(self, rows: Sequence[PrivateRow]) -> None:
        """Forget private data that was purged or whose time is over."""
        condition = "organisation = ? AND number = ? AND position = ? AND namespace = ? AND collection = ?"
        if not rows:
            return
        with self._transaction():
            self._database.executemany(f"DELETE FROM private_data WHERE {condition}", [row[:5] for row in rows])  # noqa: S608

    def put_private(self, rows: Sequence[PrivateRow]) -> None:
        """Replace private data."""
        if not rows:
            return
        with self._transaction():
            self._database.executemany("INSERT OR REPLACE INTO private_data VALUES (?, ?, ?, ?, ?, ?)", rows)

    def rows_of_collection(self, namespace: str, collection: str) -> Iterator[PrivateRow]:
        """All private data of a collection."""
        query = "SELECT * FROM private_data WHERE namespace = ? AND collection = ?"
        with closing(self._database.execute(query, (namespace, collection))) as rows:
            for row in rows.fetchall():
                yield PrivateRow(*row)

    def save_package(self, organisation: str, package_id: str, package: bytes) -> None:
        """Keep an installed package."""
        self._database.execute("INSERT OR REPLACE INTO packages VALUES (?, ?, ?)", (organisation, package_id, package))

    def packages(self, organisation: str) -> dict[str, bytes]:
        """An organisation's installed packages by id."""
        query = "SELECT id, package FROM packages WHERE organisation = ? ORDER BY id"
        return {str(name): bytes(package) for name, package in self._database.execute(query, (organisation,))}

    def _transaction(self) -> _Transaction:
        return _Transaction(self._database)


class _Transaction:
    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._database.execute("COMMIT" if kind is None else "ROLLBACK")
