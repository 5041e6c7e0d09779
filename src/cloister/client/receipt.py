"""A receipt: one file that shows, to anybody and offline, what a committed confidential transaction was and did.

Shape (JSON, bytes as base64): channel, chaincode, transaction_id; `credentials`, the registry's answer (evidence,
descriptor); `committed`, the enclave's answer to `open` (commit statement, signature, sealed outcome); `block`, the
serialised block; and, if the caller wants the outcome to be seen, `response_key`.

Links, in the order in which they are checked; the first that breaks is named: *format* · *credentials* (evidence under
the reader's own policy, pinned measurements, channel by genesis hash) · *commit statement* (signed by the attested
chaincode's key: valid and covered in this block) · *block* (header hash as signed, data hash, one way to cut it) ·
*orderer signatures* (they hold; by whom is told, which policy they satisfy the ledger enclave has checked) ·
*transaction* (it stands in the block) · *result* (its statement is the committed one, about these very writes) ·
*outcome* (the shown response key opens exactly what was signed).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fabric_protos.common import common_pb2

from cloister.errors import MalformedInput, Refused
from cloister.fabric.block import Block, encode_header, parse_block
from cloister.fabric.decoding import decode_message
from cloister.fabric.identity import decode_serialized_identity, verify_signature
from cloister.fabric.transaction import EndorsedTransaction, is_well_formed, parse_endorsed_transaction
from cloister.trusted.protocol.committed import CommitStatement, decode_committed_outcome, verify_commit_statement
from cloister.trusted.protocol.outcome import Outcome, decode_sealed_outcome
from cloister.trusted.protocol.statement import ResultStatement, decode_statement, verify_statement

from .credentials import Credentials, Trust, verify_credentials
from .results import PendingOutcome, VerifiedOutcome, effects_of, verify_committed, verify_effects

MAX_RECEIPT_BYTES = 256 * 1024 * 1024
_SIGNATURES = 0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a valid receipt shows. `signers`: (MSP ID, certificate subject) of the orderers that signed the block."""

    channel: str
    chaincode: str
    transaction_id: str
    credentials: Credentials
    commit: CommitStatement
    statement: ResultStatement
    creator_msp_id: str
    creator: str
    signers: tuple[tuple[str, str], ...]
    writes: int
    outcome: Outcome | None


def make_receipt(
    *,
    channel: str,
    chaincode: str,
    credentials: Credentials,
    opened: VerifiedOutcome,
    block: bytes,
    response_key: bytes,
) -> bytes:
    """The receipt's bytes. `response_key` empty: the outcome stays sealed."""
    document = {
        "channel": channel,
        "chaincode": chaincode,
        "transaction_id": opened.statement.transaction_id,
        "credentials": _base64(credentials.answer),
        "committed": _base64(opened.payload),
        "block": _base64(block),
        **({"response_key": _base64(response_key)} if response_key else {}),
    }
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def verify_receipt(encoded: bytes, trust: Trust) -> Receipt:
    """Check a receipt by one's own trust. Raises: Refused whose `reason` is the link that broke."""
    with _link("format"):
        document = _parse(encoded)
        channel, chaincode, transaction_id = (document[name] for name in ("channel", "chaincode", "transaction_id"))
        answer, payload, encoded_block = (_bytes(document[name]) for name in ("credentials", "committed", "block"))
        response_key = _bytes(document.get("response_key", ""))
    with _link("credentials"):
        credentials = verify_credentials(answer, channel=channel, chaincode=chaincode, trust=trust)
    with _link("commit statement"):
        commit = _commit_statement(payload, credentials, transaction_id)
    with _link("block"):
        block = _block(encoded_block, commit)
    with _link("orderer signatures"):
        signers = _signers(block)
    with _link("transaction"):
        transaction = _transaction(block, transaction_id, chaincode)
    with _link("result"):
        statement, writes = _result(transaction, commit, credentials)
    outcome = None
    if response_key:
        with _link("outcome"):
            pending = PendingOutcome(transaction_id, commit.response_hash, response_key)
            outcome = verify_committed(payload, credentials.descriptor, pending).outcome
    with _link("transaction"):
        creator = decode_serialized_identity(transaction.creator)
        subject = creator.certificate().subject.rfc4514_string()
    return Receipt(
        channel=channel,
        chaincode=chaincode,
        transaction_id=transaction_id,
        credentials=credentials,
        commit=commit,
        statement=statement,
        creator_msp_id=creator.msp_id,
        creator=subject,
        signers=signers,
        writes=writes,
        outcome=outcome,
    )


@contextmanager
def _link(name: str) -> Iterator[None]:
    try:
        yield
    except (Refused, MalformedInput) as error:
        raise Refused(f"receipt refused, link {name!r} broke: {error.message}", reason=name, hint=error.hint) from error


def _parse(encoded: bytes) -> dict[str, Any]:
    if len(encoded) > MAX_RECEIPT_BYTES:
        raise MalformedInput("receipt: too long", field="receipt")
    try:
        document = json.loads(encoded)
    except (ValueError, RecursionError) as error:
        raise MalformedInput("receipt: not JSON", field="receipt") from error
    names = {"channel", "chaincode", "transaction_id", "credentials", "committed", "block"}
    if not isinstance(document, dict) or not names <= set(document) <= names | {"response_key"}:
        raise MalformedInput("receipt: not the fields of a receipt", field="receipt")
    if not all(isinstance(value, str) for value in document.values()):
        raise MalformedInput("receipt: every field is text", field="receipt")
    return document


def _commit_statement(payload: bytes, credentials: Credentials, transaction_id: str) -> CommitStatement:
    committed, descriptor = decode_committed_outcome(payload), credentials.descriptor
    statement = verify_commit_statement(committed.statement, committed.signature, descriptor.result_key)
    found = statement.genesis_hash, statement.channel, statement.chaincode, statement.key_set_id
    wanted = descriptor.genesis_hash, descriptor.channel, descriptor.chaincode, descriptor.key_set_id
    if found != wanted or statement.transaction_id != transaction_id:
        raise Refused("it is about something else", reason="commit statement")
    return statement


def _block(encoded: bytes, commit: CommitStatement) -> Block:
    block = parse_block(encoded)
    if block.number != commit.block or block.header_hash != commit.block_hash:
        raise Refused("it is not the block that was signed", reason="block")
    if not block.data_hash_matches or not all(is_well_formed(item) for item in block.transactions):
        raise Refused("its data is not what its header says", reason="block")
    return block


def _signers(block: Block) -> tuple[tuple[str, str], ...]:
    """Who signed the block; every signature must hold. BFT orderers that sign by consenter number are not told."""
    if not block.metadata:
        raise Refused("none is there", reason="orderer signatures")
    metadata = decode_message(common_pb2.Metadata(), block.metadata[_SIGNATURES], "block metadata")
    header = encode_header(block.number, block.previous_hash, block.data_hash)
    found = []
    for signature in metadata.signatures:
        if not signature.signature_header:
            continue
        creator = decode_message(common_pb2.SignatureHeader(), signature.signature_header, "signature header").creator
        identity = decode_serialized_identity(creator)
        certificate = identity.certificate()
        verify_signature(certificate, metadata.value + signature.signature_header + header, signature.signature)
        found.append((identity.msp_id, certificate.subject.rfc4514_string()))
    if not metadata.signatures:
        raise Refused("none is there", reason="orderer signatures")
    return tuple(found)


def _transaction(block: Block, transaction_id: str, chaincode: str) -> EndorsedTransaction:
    for envelope in block.transactions:
        try:
            transaction = parse_endorsed_transaction(envelope)
        except MalformedInput:
            continue  # of another kind, or one that every committer calls invalid
        if transaction.transaction_id == transaction_id:
            if transaction.action.chaincode != chaincode:
                raise Refused("it is another chaincode's", reason="transaction")
            return transaction
    raise Refused("it does not stand in the block", reason="transaction")


def _result(
    transaction: EndorsedTransaction, commit: CommitStatement, credentials: Credentials
) -> tuple[ResultStatement, int]:
    sealed, descriptor = decode_sealed_outcome(transaction.action.payload), credentials.descriptor
    statement = decode_statement(sealed.statement)
    if statement.key_set_id == descriptor.key_set_id:  # else of an earlier definition: the enclave vouches for it
        verify_statement(sealed.statement, sealed.signature, descriptor.result_key)
    found = statement.transaction_id, statement.response_hash, statement.creator_hash
    wanted = commit.transaction_id, commit.response_hash, hashlib.sha256(transaction.creator).digest()
    if found != wanted or hashlib.sha256(sealed.ciphertext).digest() != statement.response_hash:
        raise Refused("its statement is about something else", reason="result")
    if statement.proposal_hash != transaction.action.proposal_hash:
        raise Refused("its statement is about another proposal", reason="result")
    writes, parameters = effects_of(transaction.action.namespace(statement.chaincode))
    verify_effects(statement, writes=writes, parameters=parameters, event=transaction.action.event)
    return statement, len(writes)


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedInput("receipt: not base64", field="receipt") from error
