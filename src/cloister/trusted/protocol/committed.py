"""The answer about a committed transaction: its outcome, resealed to the caller's key, and what the enclave signed.

Trust level: trusted, pure; clients verify it. Format: protocol.md sections 8 and 9. The commit statement has a tag of
its own, so that neither a result statement nor a query's passes for it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cloister.wire.framing import decode_frame, decode_text, decode_u64, encode_frame, require_length, u64

from .statement import Checkpoint, verify_result_signature

_TAG_STATEMENT = b"cloister/statement/committed/1"
_TAG_OUTCOME = b"cloister/outcome-commitment/1"
_TAG_PAYLOAD = b"cloister/committed-outcome/1"


@dataclass(frozen=True, slots=True)
class CommitStatement:
    """That a transaction is valid and covered, in which block, and which response it committed. Hashes 32 bytes.

    `response_hash` is that of the result statement; `outcome_hash` commits to response key and outcome (`outcome_hash`
    below), so that the caller can show the outcome to others; `block_hash` is the header hash of block `block`;
    `checkpoint` where the ledger enclave stood. `key_set_id` names the key set that signs here, which may be newer than
    the result's.
    """

    genesis_hash: bytes
    channel: str
    chaincode: str
    key_set_id: bytes
    transaction_id: str
    response_hash: bytes
    outcome_hash: bytes
    block: int
    block_hash: bytes
    checkpoint: Checkpoint

    def encode(self) -> bytes:
        """Canonical bytes: what is signed."""
        return encode_frame(
            _TAG_STATEMENT,
            (
                self.genesis_hash,
                self.channel.encode(),
                self.chaincode.encode(),
                self.key_set_id,
                self.transaction_id.encode(),
                self.response_hash,
                self.outcome_hash,
                u64(self.block),
                self.block_hash,
                u64(self.checkpoint.height),
                self.checkpoint.block_hash,
            ),
        )

    def sign(self, key: Ed25519PrivateKey) -> bytes:
        """64 bytes."""
        return key.sign(self.encode())


@dataclass(frozen=True, slots=True)
class CommittedOutcome:
    """Signed commit statement and the sealed response. `signature` is 64 bytes over `statement`.

    `ciphertext`: under the response key of the request that stands in the block; for a function revealed at endorsement
    it is the one that was endorsed.
    """

    statement: bytes
    signature: bytes
    ciphertext: bytes

    def encode(self) -> bytes:
        """Canonical bytes."""
        return encode_frame(_TAG_PAYLOAD, (self.statement, self.signature, self.ciphertext))


def outcome_hash(response_key: bytes, outcome: bytes) -> bytes:
    """32 bytes that commit to an encoded outcome; the response key (32 bytes) hides it until it is shown."""
    return hashlib.sha256(encode_frame(_TAG_OUTCOME, (response_key, outcome))).digest()


def decode_committed_outcome(encoded: bytes) -> CommittedOutcome:
    """Inverse of `CommittedOutcome.encode`. Raises: MalformedInput."""
    statement, signature, ciphertext = decode_frame(_TAG_PAYLOAD, encoded, count=3)
    return CommittedOutcome(statement, require_length(signature, (64,), "signature"), ciphertext)


def verify_commit_statement(encoded: bytes, signature: bytes, result_key: bytes) -> CommitStatement:
    """Check the signature (Ed25519, key of 32 bytes) and return the statement.

    Raises: Refused(reason="result-signature"); MalformedInput.
    Not here: whether it is about the expected transaction: the caller compares every field it knows.
    """
    verify_result_signature(encoded, signature, result_key)
    fields = decode_frame(_TAG_STATEMENT, encoded, count=11)
    return CommitStatement(
        genesis_hash=require_length(fields[0], (32,), "statement"),
        channel=decode_text(fields[1], "channel"),
        chaincode=decode_text(fields[2], "chaincode"),
        key_set_id=require_length(fields[3], (32,), "statement"),
        transaction_id=decode_text(require_length(fields[4], (64,), "transaction id"), "transaction id"),
        response_hash=require_length(fields[5], (32,), "statement"),
        outcome_hash=require_length(fields[6], (32,), "statement"),
        block=decode_u64(fields[7], "block"),
        block_hash=require_length(fields[8], (32,), "statement"),
        checkpoint=Checkpoint(
            decode_u64(fields[9], "checkpoint height"), require_length(fields[10], (32,), "checkpoint hash")
        ),
    )
