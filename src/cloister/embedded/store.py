"""What an embedded network keeps: blocks, private data, installed packages. One SQLite database, or memory.

A block and its private data are written in one transaction: whatever ends the process, what is found is a whole block.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from cloister.errors import EnvironmentFailed

_SCHEMA = """
CREATE TABLE IF NOT EXISTS blocks (number INTEGER PRIMARY KEY, block BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS private_data (
    organisation TEXT, number INTEGER, position INTEGER, namespace TEXT, collection TEXT, rwset BLOB NOT NULL,
    PRIMARY KEY (organisation, number, position, namespace, collection)
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


class Store:
    """Use `close` at the end. `path` None: in memory. Raises: EnvironmentFailed."""

    def __init__(self, path: Path | None) -> None:
        try:
            # One thread at a time uses it, but not always the one that opened it.
            self._database = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")  # a killed process loses nothing; a power cut might
            self._database.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise EnvironmentFailed(f"{path}: {error}") from error

    def close(self) -> None:
        """Nothing can be used any more."""
        self._database.close()

    def append(self, number: int, block: bytes, private: Sequence[PrivateRow]) -> None:
        """Write a block with the private data of its transactions, completely or not at all."""
        with self._transaction():
            self._database.execute("INSERT INTO blocks VALUES (?, ?)", (number, block))
            self._database.executemany("INSERT INTO private_data VALUES (?, ?, ?, ?, ?, ?)", private)

    def height(self) -> int:
        """How many blocks there are."""
        (count,) = self._database.execute("SELECT COUNT(*) FROM blocks").fetchone()
        return int(count)

    def block(self, number: int) -> bytes:
        """A serialised block. Raises: KeyError."""
        row = self._database.execute("SELECT block FROM blocks WHERE number = ?", (number,)).fetchone()
        if row is None:
            raise KeyError(number)
        return bytes(row[0])

    def private_rows(self, number: int, organisation: str = "") -> list[PrivateRow]:
        """The private data of one block, of one organisation or of all."""
        query = "SELECT * FROM private_data WHERE number = ? AND (? = '' OR organisation = ?) ORDER BY position"
        return [PrivateRow(*row) for row in self._database.execute(query, (number, organisation, organisation))]

    def drop_private(self, rows: Sequence[PrivateRow]) -> None:
        """Forget private data that was purged or whose time is over."""
        condition = "organisation = ? AND number = ? AND position = ? AND namespace = ? AND collection = ?"
        with self._transaction():
            self._database.executemany(f"DELETE FROM private_data WHERE {condition}", [row[:5] for row in rows])  # noqa: S608

    def put_private(self, rows: Sequence[PrivateRow]) -> None:
        """Replace private data."""
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
