"""Does a result statement cover a transaction? The enclave transaction validator of protocol.md section 7.

A valid transaction of confidential chaincode P is covered iff, in this order: 1 its headers agree and its action is
P's · 2 the payload carries a statement that the first key set of the definition current at its position signed · 3 for
exactly this channel, definition, transaction, proposal, creator and request · 4 its writes, endorsement parameters,
event, response and list of reads are the signed ones · 5 these reads hold on the ledger enclave's own state just before
its position, and nothing of it is marked; what a repair restores must be marked, and was last covered as signed.
Without 5 colluders could strip or refresh the reads whose versions are checked, or put back what had been read, and
commit a stale, signed double spend.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fabric_protos.peer import chaincode_event_pb2, chaincode_pb2, proposal_pb2

from cloister.errors import MalformedInput, Refused
from cloister.fabric.decoding import decode_message
from cloister.fabric.transaction import VALIDATION_PARAMETER, parameter_entry
from cloister.trusted.protocol.key_set import KeySetDescriptor
from cloister.trusted.protocol.outcome import SealedOutcome, decode_sealed_outcome
from cloister.trusted.protocol.reads import (
    MetadataWrite,
    PointRead,
    RangeRead,
    ReadList,
    RestoredRead,
    Write,
    decode_read_list,
    event_hash,
    metadata_digest,
    reads_digest,
    rows_digest,
    writes_digest,
)
from cloister.trusted.protocol.statement import NO_EVENT, ResultStatement, verify_statement

from .history import Fact
from .mvcc import summary_of_range
from .state import Entry, Rows, State
from .transaction import NamespaceSet, Transaction
from .updates import BlockUpdates


@dataclass(frozen=True, slots=True)
class Position:
    """The state just before a transaction's position: before the block, and what the block has written so far."""

    state: State
    updates: BlockUpdates

    def entry(self, namespace: str, key: str) -> Entry | None:
        """A public key's entry."""
        return self.updates.current((namespace, ""), key.encode(), self.state)

    def rows(self, namespace: str, start: str, end: str) -> bytes:
        """`rows_digest` of [start, end)."""
        bounds = start.encode(), end.encode()
        return summary_of_range((namespace, ""), *bounds, self.state, self.updates, entries_digest, inclusive=False)


class Marks(Protocol):
    """What must not be believed just before a transaction's position."""

    def has_marks(self, namespace: str) -> bool:
        """Whether anything of a namespace may be; if not, nothing of it is."""
        ...

    def is_marked(self, fact: Fact) -> bool:
        """One value, or endorsement parameter, existing or deleted."""
        ...

    def last_covered(self, fact: Fact) -> bytes | None:
        """Of a marked fact: hash of what was last covered, or ABSENT; None if it is not marked."""
        ...

    def any_marked(self, namespace: str, start: bytes, end: bytes) -> bool:
        """The value of some key in [start, end), existing or deleted; an empty end: all from `start` on."""
        ...


def is_covered(transaction: Transaction, descriptor: KeySetDescriptor, position: Position, marks: Marks) -> bool:
    """Whether a statement of this key set covers a valid transaction. The descriptor is of the current definition."""
    try:
        return _is_covered(transaction, descriptor, position, marks)
    except (Refused, MalformedInput):
        return False


def _is_covered(transaction: Transaction, descriptor: KeySetDescriptor, position: Position, marks: Marks) -> bool:
    chaincode = descriptor.chaincode
    if transaction.chaincode != chaincode or transaction.action is None:  # 1
        return False
    if transaction.action_header != transaction.payload.header.signature_header:
        return False
    request = _only_argument(transaction, chaincode)
    sealed = decode_sealed_outcome(transaction.action.response.payload)  # 2
    statement = verify_statement(sealed.statement, sealed.signature, descriptor.result_key)
    if statement.is_query or not _is_about(statement, transaction, descriptor, request):  # 3
        return False
    part = next((item for item in transaction.namespaces if item.namespace == chaincode), None)
    if not _effects_match(statement, sealed, part, transaction):  # 4
        return False
    reads = decode_read_list(sealed.reads)  # 5
    return not _reads_marked(reads, chaincode, marks) and (
        _reads_digest(reads, chaincode, position, marks) == statement.reads_digest
    )


def _only_argument(transaction: Transaction, chaincode: str) -> bytes:
    """The sealed request. Raises: MalformedInput if the invocation is not what an enclave admits."""
    encoded = transaction.endorsed.chaincode_proposal_payload
    payload = decode_message(proposal_pb2.ChaincodeProposalPayload(), encoded, "proposal payload")
    spec = decode_message(chaincode_pb2.ChaincodeInvocationSpec(), payload.input, "invocation").chaincode_spec
    if spec.chaincode_id.name != chaincode or spec.input.is_init or len(spec.input.args) != 1:
        raise MalformedInput("invocation: not of one sealed request", field="invocation")
    request: bytes = spec.input.args[0]
    return request


def _is_about(
    statement: ResultStatement, transaction: Transaction, descriptor: KeySetDescriptor, request: bytes
) -> bool:
    creator = transaction.creator
    return (
        creator is not None
        and statement.genesis_hash == descriptor.genesis_hash
        and statement.channel == descriptor.channel == transaction.channel
        and statement.chaincode == descriptor.chaincode
        and statement.sequence == descriptor.sequence
        and statement.measurement == descriptor.measurement
        and statement.key_set_id == descriptor.key_set_id
        and statement.transaction_id == transaction.transaction_id
        and statement.proposal_hash == transaction.response.proposal_hash
        and statement.creator_hash == hashlib.sha256(creator.identity).digest()
        and statement.request_hash == hashlib.sha256(request).digest()
    )


def _effects_match(
    statement: ResultStatement, sealed: SealedOutcome, part: NamespaceSet | None, transaction: Transaction
) -> bool:
    if statement.response_hash != hashlib.sha256(sealed.ciphertext).digest():
        return False
    if statement.read_list_hash != hashlib.sha256(sealed.reads).digest():
        return False
    if statement.event_hash != _event_hash(transaction.action.events):
        return False
    if part is not None and part.hashed:
        return False
    writes = _writes(part.public.writes if part is not None else ())
    parameters = _parameters(part.public.metadata_writes if part is not None else ())
    return (statement.writes_digest, statement.metadata_digest) == (
        writes_digest(writes),
        metadata_digest(parameters),
    )


def _event_hash(encoded: bytes) -> bytes:
    if not encoded:
        return NO_EVENT
    event = decode_message(chaincode_event_pb2.ChaincodeEvent(), encoded, "event")
    return event_hash(event.event_name, event.payload)


def _writes(writes: Sequence[Any]) -> list[Write]:
    found = [Write(item.key, None if item.is_delete else item.value) for item in writes]
    if len({item.key for item in found}) != len(found):
        raise MalformedInput("writes: a key stands there twice", field="writes")
    return found


def _parameters(writes: Sequence[Any]) -> list[MetadataWrite]:
    found = []
    for item in writes:
        entry = item.entries[0] if len(item.entries) == 1 else None
        if entry is None or entry.name != parameter_entry(entry.value):
            raise MalformedInput("metadata: not of one endorsement parameter", field="metadata")
        found.append(MetadataWrite(item.key, entry.value))
    if len({item.key for item in found}) != len(found):
        raise MalformedInput("metadata: a key stands there twice", field="metadata")
    return found


def _reads_marked(reads: ReadList, chaincode: str, marks: Marks) -> bool:
    """An enclave reads nothing marked: such a fact is not what it has read, even where it looks the same again."""
    return marks.has_marks(chaincode) and (
        any(marks.is_marked(Fact(chaincode, key.encode(), metadata=False)) for key in reads.keys)
        or any(marks.is_marked(Fact(chaincode, key.encode(), metadata=True)) for key in reads.parameters)
        or any(marks.any_marked(chaincode, start.encode(), end.encode()) for start, end in reads.ranges)
    )


def _reads_digest(reads: ReadList, chaincode: str, position: Position, marks: Marks) -> bytes:
    """The digest of these reads on our own state. Raises: MalformedInput if what is restored is not marked."""
    points: list[PointRead | RestoredRead] = []
    for key in reads.keys:
        entry = position.entry(chaincode, key)
        points.append(PointRead(key, entry.value_hash if entry is not None else None))
    for key in reads.parameters:
        entry = position.entry(chaincode, key)
        points.append(PointRead(key, parameter_hash(entry), metadata=True))
    for keys, metadata in ((reads.restored, False), (reads.restored_parameters, True)):
        points.extend(_restored(key, chaincode, marks, metadata=metadata) for key in keys)
    ranges = [RangeRead(start, end, position.rows(chaincode, start, end)) for start, end in reads.ranges]
    return reads_digest(points, ranges)


def _restored(key: str, chaincode: str, marks: Marks, *, metadata: bool) -> RestoredRead:
    covered = marks.last_covered(Fact(chaincode, key.encode(), metadata))
    if covered is None:
        raise MalformedInput("reads: restored, and not marked", field="reads")
    return RestoredRead(key, covered or None, metadata)


def entries_digest(rows: Rows) -> bytes:
    """`rows_digest` of a range of the state."""
    return rows_digest((key, entry.value_hash) for key, entry in rows)


def parameter_hash(entry: Entry | None) -> bytes | None:
    """SHA-256 of a key's endorsement parameter, None if it has none."""
    parameter = dict(entry.metadata).get(VALIDATION_PARAMETER, b"") if entry is not None and entry.metadata else b""
    return hashlib.sha256(parameter).digest() if parameter else None
