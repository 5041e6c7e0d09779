"""Checking a result before it is believed, and a transaction before it is submitted."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cloister.errors import Refused
from cloister.trusted.chaincode.key_set import KeySetDescriptor
from cloister.trusted.chaincode.outcome import Outcome, decode_outcome, decode_sealed_outcome
from cloister.trusted.chaincode.reads import MetadataWrite, Write, event_hash, metadata_digest, writes_digest
from cloister.trusted.chaincode.sealing import Place, open_response
from cloister.trusted.chaincode.statement import NO_EVENT, ResultStatement, verify_statement


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the client knows about its own call. Hashes 32 bytes; `response_key` is the one sealed in the request."""

    descriptor: KeySetDescriptor
    transaction_id: str
    proposal_hash: bytes
    creator: bytes
    sealed_request: bytes
    response_key: bytes


@dataclass(frozen=True, slots=True)
class VerifiedResult:
    """A result whose statement is the enclave's and is about exactly this call."""

    outcome: Outcome
    statement: ResultStatement


def verify_result(payload: bytes, expectation: Expectation) -> VerifiedResult:
    """Verify and open a response payload.

    Steps: 1 signature under the verified result key · 2 every field that the client knows · 3 the ciphertext is the
    signed one · 4 it opens under the response key.
    Raises: Refused (reason: result-signature, result, integrity); MalformedInput.
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
    }
    for name, value in expected.items():
        if getattr(statement, name) != value:
            raise Refused(f"result refused: its statement has another {name.replace('_', ' ')}", reason="result")
    content = open_response(  # 4
        response_key=expectation.response_key,
        place=Place(descriptor.genesis_hash, descriptor.channel, descriptor.chaincode),
        transaction_id=expectation.transaction_id,
        sealed=sealed.ciphertext,
    )
    return VerifiedResult(decode_outcome(content), statement)


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
