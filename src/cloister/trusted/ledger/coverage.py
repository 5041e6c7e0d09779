"""Which keys of confidential chaincode were last written, or deleted, by a transaction that no statement covers.

An observer of the judge. On an honest channel nothing is marked and nothing is stored. A mark names the transaction; it
goes when a covered transaction writes or deletes the key anew. Value and endorsement parameter are marked apart. What a
namespace held before its first confidential definition is marked too; once confidential, a namespace stays watched.
Beside the marks the history of values is kept here, for both change with the same writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sortedcontainers import SortedDict

from cloister.trusted.protocol.questions import ABSENT, UNCOVERED

from .confidential import (
    NO_DEFINITION,
    ConfidentialDefinition,
    KeySets,
    defined_name,
    is_key_set_key,
    read_definition,
)
from .definitions import LIFECYCLE
from .history import Fact, History
from .mvcc import merged_range
from .state import Entry, State
from .statements import Position, is_covered, parameter_hash
from .transaction import NamespaceSet, Transaction
from .updates import BlockUpdates

BEFORE = "before"
"""Instead of a transaction id: written before the namespace became confidential."""


class Mark(NamedTuple):
    """Which transaction touched a fact uncovered, in which block."""

    block: int
    transaction_id: str


@dataclass
class _Pending:
    """What the block that is being judged will change, in the order of its transactions."""

    marks: dict[Fact, Mark | None] = field(default_factory=dict)
    key_sets: dict[str, bytes] = field(default_factory=dict)
    defined: set[str] = field(default_factory=set)


class Coverage:
    """See the module. `registry` is the enclave registry's chaincode name."""

    def __init__(self, key_sets: KeySets, registry: str, history: History | None = None) -> None:
        self.key_sets = key_sets
        self.history = history or History()
        self.watched: dict[str, dict[int, ConfidentialDefinition]] = {}
        """Namespace that is or was confidential → its definitions by sequence, in all history."""
        self.current: dict[str, ConfidentialDefinition] = {}
        """Watched namespace → its committed definition."""
        self.watched_from: dict[str, int] = {}
        """Watched namespace → least height of which its history tells."""
        self._registry = registry
        self._marks: dict[tuple[str, bool], Any] = {}
        """(namespace, metadata) → SortedDict key → Mark."""
        self._pending = _Pending()
        self._number = 0

    # --- observing --------------------------------------------------------------------------------------------------

    def begin(self, number: int) -> None:
        """A block is being judged."""
        self._pending, self._number = _Pending(), number

    def valid(self, transaction: Transaction, state: State, updates: BlockUpdates) -> bool:
        """A valid transaction, before its writes enter `updates`; True if a statement covers it."""
        position = Position(state, updates)
        covered = self._covers(transaction, position)
        for part in transaction.namespaces:
            if part.namespace == LIFECYCLE:
                self._pending.defined.update(
                    name for write in part.public.writes if (name := defined_name(write.key)) is not None
                )
            elif part.namespace == self._registry:
                self._note_key_sets(part)
            if part.namespace in self.watched or part.namespace in self._pending.defined:
                mark = None
                if not covered or part.namespace != transaction.chaincode:
                    mark = Mark(self._number, transaction.transaction_id)
                for fact in written_facts(part):
                    self._pending.marks[fact] = mark
        return covered

    def commit(self, number: int, state: State, updates: BlockUpdates) -> None:
        """The block is accepted; the state is still the one before it."""
        for key, value in self._pending.key_sets.items():
            self.key_sets.first.setdefault(key, value)
        self.history.record(number, self._changes(state, updates))
        read = _reader(Position(state, updates))
        for name in sorted(self._pending.defined):
            self._redefine(name, read_definition(name, read), state, updates)
        for fact, mark in self._pending.marks.items():
            if fact.namespace in self.watched:
                self._set_mark(fact, mark)
        self._pending = _Pending()

    # --- answers ----------------------------------------------------------------------------------------------------

    def mark(self, fact: Fact) -> Mark | None:
        """The mark on a fact, None if it may be believed."""
        marks = self._marks.get((fact.namespace, fact.metadata))
        return marks.get(fact.key) if marks is not None else None

    def first_mark(self, namespace: str, start: bytes, end: bytes) -> Mark | None:
        """A mark on the value of some key in [start, end), existing or deleted; None if there is none."""
        marks = self._marks.get((namespace, False))
        if marks is None:
            return None
        key = next(marks.irange(start, end, (True, False)), None)
        return marks[key] if key is not None else None

    def suspects(self, namespace: str | None = None) -> Iterator[tuple[Fact, Mark]]:
        """All marks, of one namespace or of all, in order."""
        for (name, metadata), marks in sorted(self._marks.items()):
            if namespace in (None, name):
                for key, mark in marks.items():
                    yield Fact(name, key, metadata), mark

    def load_mark(self, fact: Fact, mark: Mark) -> None:
        """Take a mark over from a checkpoint."""
        self._set_mark(fact, mark)

    # --- within -----------------------------------------------------------------------------------------------------

    def _covers(self, transaction: Transaction, position: Position) -> bool:
        """By the key set of the definition that is committed just before the transaction's position."""
        name = transaction.chaincode
        if name in self._pending.defined:
            definition = read_definition(name, _reader(position))
        else:
            definition = self.current.get(name, NO_DEFINITION)
        if not definition.measurement:
            return False
        descriptor = self.key_sets.find(name, definition.sequence)
        if descriptor is None or descriptor.measurement != definition.measurement:
            return False
        return is_covered(transaction, descriptor, position)

    def _note_key_sets(self, part: NamespaceSet) -> None:
        for write in part.public.writes:
            known = write.key in self.key_sets.first or write.key in self._pending.key_sets
            if is_key_set_key(write.key) and not known:
                self._pending.key_sets[write.key] = b"" if write.is_delete else write.value

    def _redefine(self, name: str, definition: ConfidentialDefinition, state: State, updates: BlockUpdates) -> None:
        if name not in self.watched:
            if not definition.measurement:
                return
            self.watched[name] = {}
            self.watched_from[name] = self._number + 1
            for key, entry in merged_range((name, ""), b"", b"", state, updates, inclusive=True):
                for metadata in (False, True) if entry.metadata else (False,):
                    self._set_mark(Fact(name, key, metadata), Mark(entry.version.block, BEFORE))
        self.current[name] = definition
        self.watched[name][definition.sequence] = definition

    def _set_mark(self, fact: Fact, mark: Mark | None) -> None:
        place = (fact.namespace, fact.metadata)
        if mark is not None:
            self._marks.setdefault(place, SortedDict())[fact.key] = mark
        elif place in self._marks:
            self._marks[place].pop(fact.key, None)
            if not self._marks[place]:
                del self._marks[place]

    def _changes(self, state: State, updates: BlockUpdates) -> Iterator[tuple[Fact, bytes]]:
        """Every fact that the block changes, with what it was: marked ones were never to be believed."""
        for (namespace, collection), keys in updates.by_space.items():
            if collection or namespace not in self.watched:
                continue
            for key, update in keys.items():
                before, after = state.get((namespace, ""), key), update.entry
                for metadata in (False, True):
                    fact = Fact(namespace, key, metadata)
                    was, now = presence(before, metadata=metadata), presence(after, metadata=metadata)
                    marked = self.mark(fact) is not None
                    if was != now or marked or self._pending.marks.get(fact) is not None:
                        yield fact, UNCOVERED if marked else was


def presence(entry: Entry | None, *, metadata: bool) -> bytes:
    """A fact as segments have it: value hash, or hash of the endorsement parameter, or ABSENT."""
    if metadata:
        return parameter_hash(entry) or ABSENT
    return entry.value_hash if entry is not None else ABSENT


def written_facts(part: NamespaceSet) -> Iterator[Fact]:
    """Every fact of public state that a transaction's part writes or deletes; a delete takes the parameter with it."""
    for write in part.public.writes:
        key = write.key.encode()
        yield Fact(part.namespace, key, metadata=False)
        if write.is_delete or not write.value:
            yield Fact(part.namespace, key, metadata=True)
    for write in part.public.metadata_writes:
        yield Fact(part.namespace, write.key.encode(), metadata=True)


def _reader(position: Position) -> Any:
    """`ReadValue` of the state at a position."""

    def read(namespace: str, key: str) -> bytes | None:
        entry = position.entry(namespace, key)
        return entry.value if entry is not None else None

    return read
