"""Which keys of confidential chaincode were last written, or deleted, by a transaction that no statement covers.

An observer of the judge. On an honest channel nothing is marked and nothing is stored. A mark names the transaction; it
goes when a covered transaction writes or deletes the key anew. Value and endorsement parameter are marked apart. What a
namespace held before its first confidential definition is marked too; once confidential, a namespace stays watched.
Definitions only go forward: the lifecycle chaincode sees to that, but colluders can write its state without it, and a
sequence that comes again, or with another version, would let an old measurement act again without the upgrade policy.
A mark keeps what was last covered, however many uncovered writes follow: that, and never what they wrote, a repair may
put back. Beside the marks the history of values is kept here, for both change with the same writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    registered_enclave,
    revoked_enclave,
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
    """Which transaction touched a fact uncovered, in which block; what of it was last covered, for repairs.

    `covered`: hash (32 bytes) or ABSENT. `covered_block`: when the key was last written before, which may have been its
    other half; 0 if it was absent.
    """

    block: int
    transaction_id: str
    covered: bytes = ABSENT
    covered_block: int = 0


@dataclass
class _Pending:
    """What the block that is being judged will change, in the order of its transactions."""

    marks: dict[Fact, Mark | None] = field(default_factory=dict)
    marked: set[Fact] = field(default_factory=set)
    """Those of them that are marked."""
    key_sets: dict[str, bytes] = field(default_factory=dict)
    revoked: set[tuple[str, bytes]] = field(default_factory=set)
    registered: set[tuple[str, bytes]] = field(default_factory=set)
    used: dict[str, list[int]] = field(default_factory=dict)
    """Chaincode → sequences of the key sets under which a transaction was covered, ascending."""
    written: set[str] = field(default_factory=set)
    """Names whose definitions the last transaction wrote: what came of it is seen at the next one's position."""
    definitions: dict[str, list[ConfidentialDefinition]] = field(default_factory=dict)

    def mark(self, fact: Fact, mark: Mark | None) -> None:
        """Mark a fact, or take its mark away."""
        self.marks[fact] = mark
        (self.marked.discard if mark is None else self.marked.add)(fact)


class Coverage:
    """See the module. `registry` is the enclave registry's chaincode name."""

    def __init__(self, key_sets: KeySets, registry: str, history: History | None = None) -> None:
        self.key_sets = key_sets
        self.history = history or History()
        self.watched: dict[str, dict[int, ConfidentialDefinition]] = {}
        """Namespace that is or was confidential → its definitions by sequence, in all history. They never change."""
        self.current: dict[str, ConfidentialDefinition] = {}
        """Watched namespace → its committed definition, NO_DEFINITION if what is committed does not count."""
        self.watched_from: dict[str, int] = {}
        """Watched namespace → least height of which its history tells."""
        self.revoked: set[tuple[str, bytes]] = set()
        """(chaincode, signing key) of enclaves that the registry has revoked, for ever."""
        self.registered: set[tuple[str, bytes]] = set()
        """(chaincode, evidence id) of enclaves whose evidence the registry has ever shown: these can be revoked."""
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
        if self._pending.written:
            self._note_definitions(position)
        covered = self._covers(transaction, position)
        for part in transaction.namespaces:
            if part.namespace == LIFECYCLE:
                self._pending.written.update(
                    name for write in part.public.writes if (name := defined_name(write.key)) is not None
                )
            elif part.namespace == self._registry:
                self._note_key_sets(part)
                self._note_enclaves(part)
            if part.namespace in self.watched or part.namespace in self._pending.definitions:
                if covered and part.namespace == transaction.chaincode:
                    for fact in written_facts(part):
                        self._pending.mark(fact, None)
                else:
                    self._mark_all(part, transaction.transaction_id, position)
        return covered

    def commit(self, number: int, state: State, updates: BlockUpdates) -> None:
        """The block is accepted; the state is still the one before it."""
        self._note_definitions(Position(state, updates))
        for name, sequences in self._pending.used.items():
            for sequence in sequences:
                self.key_sets.use(name, sequence)
        for key, value in self._pending.key_sets.items():
            self.key_sets.note(key, value)
        self.revoked |= self._pending.revoked
        self.registered |= self._pending.registered
        self.history.record(number, self._changes(state, updates))
        for name, definitions in self._pending.definitions.items():
            for definition in definitions:
                self._redefine(name, definition, state, updates)
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
        key = next(self.marked_keys(namespace, start, end), None)
        return self.mark(Fact(namespace, key, metadata=False)) if key is not None else None

    def marked_keys(self, namespace: str, start: bytes, end: bytes) -> Iterator[bytes]:
        """Keys in [start, end) whose values are marked, in order; an empty end: all from `start` on."""
        marks = self._marks.get((namespace, False))
        return iter(marks.irange(start, end or None, (True, False)) if marks is not None else ())

    def count_suspects(self) -> int:
        """How many marks there are."""
        return sum(len(marks) for marks in self._marks.values())

    def suspects(self, namespace: str | None = None) -> Iterator[tuple[Fact, Mark]]:
        """All marks, of one namespace or of all, in order."""
        for (name, metadata), marks in sorted(self._marks.items()):
            if namespace in (None, name):
                for key, mark in marks.items():
                    yield Fact(name, key, metadata), mark

    def load_mark(self, fact: Fact, mark: Mark) -> None:
        """Take a mark over from a checkpoint."""
        self._set_mark(fact, mark)

    def has_marks(self, namespace: str) -> bool:
        """Whether anything of a namespace may be marked there: on an honest channel never."""
        return bool(self._pending.marked) or (namespace, False) in self._marks or (namespace, True) in self._marks

    def is_marked(self, fact: Fact) -> bool:
        """Whether a fact is marked just before the position of the transaction that is being judged."""
        return self._mark_before(fact) is not None

    def last_covered(self, fact: Fact) -> bytes | None:
        """What was last covered of a fact that is marked there: its hash or ABSENT. None if it is not marked."""
        mark = self._mark_before(fact)
        return mark.covered if mark is not None else None

    def any_marked(self, namespace: str, start: bytes, end: bytes) -> bool:
        """The same for the value of some key in [start, end); an empty end: all from `start` on."""
        return any(
            fact.namespace == namespace and not fact.metadata and start <= fact.key and (not end or fact.key < end)
            for fact in self._pending.marked
        ) or any(
            Fact(namespace, key, metadata=False) not in self._pending.marks
            for key in self.marked_keys(namespace, start, end)
        )

    # --- within -----------------------------------------------------------------------------------------------------

    def _mark_before(self, fact: Fact) -> Mark | None:
        return self._pending.marks[fact] if fact in self._pending.marks else self.mark(fact)

    def _mark_all(self, part: NamespaceSet, transaction_id: str, position: Position) -> None:
        """Mark what an uncovered transaction writes; what was last covered stays what it was."""
        explicit = {write.key.encode() for write in part.public.metadata_writes}
        for fact in written_facts(part):
            earlier = self._mark_before(fact)
            if earlier is not None:
                mark = earlier._replace(block=self._number, transaction_id=transaction_id)
            else:
                mark = self._first_mark(fact, transaction_id, position)
                if fact.metadata and mark.covered == ABSENT and fact.key not in explicit:
                    continue  # a delete takes no parameter with it where there was none
            self._pending.mark(fact, mark)

    def _first_mark(self, fact: Fact, transaction_id: str, position: Position) -> Mark:
        entry = position.updates.current((fact.namespace, ""), fact.key, position.state)
        if entry is None or fact.namespace not in self.watched:  # nothing of it was ever covered
            return Mark(self._number, transaction_id)
        return Mark(self._number, transaction_id, presence(entry, metadata=fact.metadata), entry.version.block)

    def _covers(self, transaction: Transaction, position: Position) -> bool:
        """By the key set of the definition that is committed just before the transaction's position."""
        name = transaction.chaincode
        pending = self._pending.definitions.get(name)
        definition = pending[-1] if pending else self.current.get(name, NO_DEFINITION)
        measurement = definition.measurement
        if not measurement:
            return False
        descriptor = self.key_sets.find(name, definition.sequence)
        if descriptor is None or descriptor.measurement != measurement:
            return False
        used = self._pending.used.get(name, [])
        if used and not self.key_sets.follows(name, definition.sequence, used[-1]):
            return False  # it counted only as long as nothing had been covered under the one before
        covered = is_covered(transaction, descriptor, position, self)
        if covered and definition.sequence not in used:
            self._pending.used[name] = [*used, definition.sequence]
        return covered

    def _note_definitions(self, position: Position) -> None:
        read = _reader(position)
        for name in sorted(self._pending.written):
            found = self._pending.definitions.setdefault(name, [])
            found.append(self._counting(read_definition(name, read), (*self.watched.get(name, {}).values(), *found)))
        self._pending.written.clear()

    @staticmethod
    def _counting(
        definition: ConfidentialDefinition, earlier: Iterable[ConfidentialDefinition]
    ) -> ConfidentialDefinition:
        """The definition itself if it is the newest of its name, as it always was; else none."""
        known = {item.sequence: item for item in earlier}
        newest = max(known, default=0)
        known.setdefault(definition.sequence, definition)
        is_newest = definition.sequence >= newest and known[definition.sequence] == definition
        return definition if is_newest else NO_DEFINITION

    def _note_key_sets(self, part: NamespaceSet) -> None:
        for write in part.public.writes:
            known = write.key in self.key_sets.first or write.key in self._pending.key_sets
            if is_key_set_key(write.key) and not known:
                self._pending.key_sets[write.key] = b"" if write.is_delete else write.value

    def _note_enclaves(self, part: NamespaceSet) -> None:
        for write in part.public.writes:
            if write.value and not write.is_delete:
                if (revoked := revoked_enclave(write.key)) is not None:
                    self._pending.revoked.add(revoked)
                if (registered := registered_enclave(write.key, write.value)) is not None:
                    self._pending.registered.add(registered)

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
        if definition.sequence:
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
        """Every fact that the block changes, with what it was: marked ones were never to be believed.

        A write may leave the state as it was (Fabric drops some) and still bring a mark, or take one away.
        """
        touched = {
            Fact(namespace, key, metadata): None
            for (namespace, collection), keys in updates.by_space.items()
            if not collection and namespace in self.watched
            for key in keys
            for metadata in (False, True)
        }
        for fact in {**touched, **self._pending.marks}:
            if fact.namespace not in self.watched:
                continue
            space, marked = (fact.namespace, ""), self.mark(fact) is not None
            was = presence(state.get(space, fact.key), metadata=fact.metadata)
            now = presence(updates.current(space, fact.key, state), metadata=fact.metadata)
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
