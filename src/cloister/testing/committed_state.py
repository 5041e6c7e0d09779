"""What a peer has committed of one chaincode, at every height, and simulations on it that record what they read.

A *height* is a number of blocks: at height h the blocks 0 … h-1 count. Source of what is recorded: Fabric 2.5.9
core/ledger/kvledger/txmgmt/rwsetutil/rwset_builder.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fabric_protos.ledger.rwset import rwset_pb2
from sortedcontainers import SortedDict

from cloister.wire.messages import GetParameter, GetRange, GetState, Result, RowsAnswer, ValueAnswer

from .forge import VersionPair, range_query, rwset

StateQuestion = GetState | GetParameter | GetRange
StateAnswer = ValueAnswer | RowsAnswer


@dataclass(frozen=True, slots=True)
class Entry:
    """From `height` on a key has this value (None: deleted) and version (block, transaction)."""

    height: int
    value: bytes | None
    version: VersionPair


class CommittedState:
    """Every key's history, values and endorsement parameters apart."""

    def __init__(self) -> None:
        self._values: Any = SortedDict()
        self._parameters: dict[str, list[Entry]] = {}

    def value(self, key: str, height: int) -> Entry | None:
        """What a key had at a height; None if it was absent."""
        return _at(self._values.get(key.encode(), ()), height)

    def parameter(self, key: str, height: int) -> Entry | None:
        """The key's endorsement parameter at a height."""
        return _at(self._parameters.get(key, ()), height)

    def history(self, key: str) -> list[Entry]:
        """Everything the key ever had, oldest first."""
        return list(self._values.get(key.encode(), ()))

    def keys(self, height: int, start: str = "", end: str | None = None) -> list[str]:
        """Keys present at a height, of [start, end), in Fabric's order."""
        last = end.encode() if end is not None else None
        found = self._values.irange(start.encode(), last, inclusive=(True, False))
        return [key.decode() for key in found if _at(self._values[key], height) is not None]

    def put(self, key: str, value: bytes | None, version: VersionPair) -> None:
        """A committed write (None deletes) of a transaction at `version`."""
        self._values.setdefault(key.encode(), []).append(Entry(version[0] + 1, value or None, version))
        if not value:
            self._parameters.pop(key, None)

    def put_parameter(self, key: str, parameter: bytes | None, version: VersionPair) -> None:
        """A committed endorsement parameter (None removes)."""
        self._parameters.setdefault(key, []).append(Entry(version[0] + 1, parameter, version))


@dataclass
class Simulation:
    """One execution on a peer: an unchanging snapshot, and what was read of it."""

    state: CommittedState
    height: int
    reads: dict[str, VersionPair | None] = field(default_factory=dict)
    ranges: list[Any] = field(default_factory=list)

    def answer(self, question: StateQuestion, ledger: bytes) -> StateAnswer:
        """The honest answer, with what the ledger enclave says to it."""
        if isinstance(question, GetRange):
            return self._rows(question, ledger)
        if isinstance(question, GetParameter):
            found = self.state.parameter(question.key, self.height)
        else:
            found = self.state.value(question.key, self.height)
        present = self.state.value(question.key, self.height)
        self.reads[question.key] = present.version if present is not None else None
        return ValueAnswer(found.value if found is not None else None, ledger)

    def _rows(self, question: GetRange, ledger: bytes) -> RowsAnswer:
        keys = self.state.keys(self.height, question.bookmark or question.start, question.end)
        page = keys[: question.limit] if question.limit else keys
        entries = [(key, self.state.value(key, self.height)) for key in page]
        rows = [(key, entry) for key, entry in entries if entry is not None]
        if not question.limit:
            versions = [(key, entry.version) for key, entry in rows]
            self.ranges.append(range_query(question.start, question.end, versions))
        bookmark = keys[len(page)] if len(page) < len(keys) else ""
        return RowsAnswer(tuple((key, entry.value or b"") for key, entry in rows), bookmark, ledger)

    def results(self, chaincode: str, result: Result) -> bytes:
        """The serialised read/write set of an execution that ended with this result."""
        writes: Iterable[tuple[str, bytes | None]] = (*result.puts, *((key, None) for key in result.deletes))
        part = rwset(
            reads=sorted(self.reads.items()),
            writes=sorted(writes),
            metadata=[(key, value or None) for key, value in result.parameters],
            ranges=self.ranges,
        )
        found = rwset_pb2.TxReadWriteSet()
        found.ns_rwset.add(namespace=chaincode, rwset=part.SerializeToString())
        encoded: bytes = found.SerializeToString()
        return encoded


def _at(entries: list[Entry] | tuple[Entry, ...], height: int) -> Entry | None:
    for entry in reversed(entries):
        if entry.height <= height:
            return entry if entry.value is not None else None
    return None
