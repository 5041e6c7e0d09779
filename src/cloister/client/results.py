"""Checking a result before it is believed, a transaction before it is submitted, and an outcome that was committed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from cloister.errors import Refused
from cloister.fabric.transaction import NamespaceRwset, parameter_entry
from cloister.trusted.protocol.committed import (
    CommitStatement,
    decode_committed_outcome,
    outcome_hash,
    verify_commit_statement,
)
from cloister.trusted.protocol.key_set import KeySetDescriptor
from cloister.trusted.protocol.outcome import Outcome, decode_outcome, decode_sealed_outcome
from cloister.trusted.protocol.reads import MetadataWrite, Write, event_hash, metadata_digest, writes_digest
from cloister.trusted.protocol.sealing import Place, open_response
from cloister.trusted.protocol.statement import (
    NO_CHECKPOINT,
    NO_EVENT,
    REVEAL_ON_COMMIT,
    Checkpoint,
    ResultStatement,
    verify_statement,
)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the client knows about its own call. Hashes 32 bytes; `response_key` is the one sealed in the request."""

    descriptor: KeySetDescriptor
    transaction_id: str
    proposal_hash: bytes
    creator: bytes
    sealed_request: bytes
    response_key: bytes
    minimum: Checkpoint = NO_CHECKPOINT


@dataclass(frozen=True, slots=True)
class VerifiedResult:
    """A result whose statement is the enclave's and is about exactly this call. No outcome: it opens on commit only."""

    outcome: Outcome | None
    statement: ResultStatement


@dataclass(frozen=True, slots=True)
class PendingOutcome:
    """What is needed to open an outcome once its transaction is committed. `response_key` (32 bytes) is secret."""

    transaction_id: str
    response_hash: bytes
    response_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class VerifiedOutcome:
    """A committed outcome, the enclave's statement that its transaction is valid and covered, and the payload."""

    outcome: Outcome
    statement: CommitStatement
    payload: bytes = field(repr=False)


def verify_result(payload: bytes, expectation: Expectation) -> VerifiedResult:
    """Verify and open a response payload.

    Steps: 1 signature under the verified result key · 2 every field that the client knows · 3 ciphertext and list of
    reads are the signed ones · 4 a query was answered at the client's own checkpoint or above · 5 it opens under the
    response key, unless it is revealed on commit.
    Raises: Refused (reason: result-signature, result, checkpoint, integrity); MalformedInput.
    """
    sealed = decode_sealed_outcome(payload)
    descriptor = expectation.descriptor
    statement = verify_statement(sealed.statement, sealed.signature, descriptor.result_key)  # 1
    expected: dict[str, object] = {  # 2
        "genesis_hash": descriptor.genesis_hash,
        "channel": descriptor.channel,
        "chaincode": descriptor.chaincode,
        "sequence": descriptor.sequence,
        "measurement": descriptor.measurement,
        "key_set_id": descriptor.key_set_id,
        "transaction_id": expectation.transaction_id,
        "proposal_hash": expectation.proposal_hash,
        "creator_hash": hashlib.sha256(expectation.creator).digest(),
        "request_hash": hashlib.sha256(expectation.sealed_request).digest(),
        "response_hash": hashlib.sha256(sealed.ciphertext).digest(),  # 3
        "read_list_hash": hashlib.sha256(sealed.reads).digest(),
    }
    for name, value in expected.items():
        if getattr(statement, name) != value:
            raise Refused(f"result refused: its statement has another {name.replace('_', ' ')}", reason="result")
    _check_checkpoint(statement, expectation.minimum)  # 4
    if statement.reveal == REVEAL_ON_COMMIT:
        return VerifiedResult(None, statement)
    content = open_response(  # 5
        response_key=expectation.response_key,
        place=_place(descriptor),
        transaction_id=expectation.transaction_id,
        sealed=sealed.ciphertext,
    )
    return VerifiedResult(decode_outcome(content), statement)


def verify_committed(payload: bytes, descriptor: KeySetDescriptor, pending: PendingOutcome) -> VerifiedOutcome:
    """Verify and open a committed outcome. `descriptor`: of the key set that is current now.

    Raises: Refused (reason: result-signature, result, integrity); MalformedInput.
    """
    committed = decode_committed_outcome(payload)
    statement = verify_commit_statement(committed.statement, committed.signature, descriptor.result_key)
    expected: dict[str, object] = {
        "genesis_hash": descriptor.genesis_hash,
        "channel": descriptor.channel,
        "chaincode": descriptor.chaincode,
        "key_set_id": descriptor.key_set_id,
        "transaction_id": pending.transaction_id,
        "response_hash": pending.response_hash,
    }
    for name, value in expected.items():
        if getattr(statement, name) != value:
            raise Refused(f"result refused: its statement has another {name.replace('_', ' ')}", reason="result")
    if not statement.block < statement.checkpoint.height:
        raise Refused("result refused: its block lies above its checkpoint", reason="result")
    content = open_response(
        response_key=pending.response_key,
        place=_place(descriptor),
        transaction_id=pending.transaction_id,
        sealed=committed.ciphertext,
    )
    if statement.outcome_hash != outcome_hash(pending.response_key, content):
        raise Refused("result refused: the outcome is not the signed one", reason="result")
    return VerifiedOutcome(decode_outcome(content), statement, payload)


def effects_of(part: NamespaceRwset | None) -> tuple[list[Write], list[MetadataWrite]]:
    """What a transaction writes in one namespace, as statements have it.

    Raises: Refused(reason="result") on metadata that is not exactly one endorsement parameter: no enclave writes such.
    """
    if part is None:
        return [], []
    parameters = []
    for item in part.metadata_writes:
        (name, parameter), *more = item.entries or (("", b""),)
        if more or name != parameter_entry(parameter):
            raise Refused("result refused: it writes metadata that no enclave writes", reason="result")
        parameters.append(MetadataWrite(item.key, parameter))
    return [Write(item.key, None if item.is_delete else item.value) for item in part.writes], parameters


def verify_effects(
    statement: ResultStatement,
    *,
    writes: Sequence[Write],
    parameters: Sequence[MetadataWrite],
    event: tuple[str, bytes] | None,
) -> None:
    """Check that a transaction about to be submitted does exactly what the enclave signed.

    Raises: Refused(reason="result") if writes, endorsement parameters or the event differ, or it is a query.
    """
    if statement.is_query:
        raise Refused(
            "result refused: the function is a query", reason="result", hint="evaluate it instead of submitting it"
        )
    found = (writes_digest(writes), metadata_digest(parameters), event_hash(*event) if event else NO_EVENT)
    if found != (statement.writes_digest, statement.metadata_digest, statement.event_hash):
        raise Refused("result refused: the transaction differs from what the enclave signed", reason="result")


def _check_checkpoint(statement: ResultStatement, minimum: Checkpoint) -> None:
    """The enclave has checked that our checkpoint is on its chain; here, that it did not answer below it."""
    checkpoint = statement.checkpoint
    if checkpoint is None:
        return
    if checkpoint.height < minimum.height:
        raise Refused(
            f"result refused: it is of height {checkpoint.height}, this client has seen {minimum.height}",
            reason="checkpoint",
        )
    if checkpoint.height == minimum.height and checkpoint.block_hash != minimum.block_hash:
        raise Refused("result refused: it is of another chain than this client has seen", reason="fork")


def _place(descriptor: KeySetDescriptor) -> Place:
    return Place(descriptor.genesis_hash, descriptor.channel, descriptor.chaincode)
