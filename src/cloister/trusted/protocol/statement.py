"""The result statement: what the enclave signs about one transaction or one query.

Trust level: trusted, pure; verified by clients and, later, by the ledger enclave. Format: protocol.md section 6.
Separate tags for transactions and queries, so that neither passes for the other. Only a query names a checkpoint:
endorsed payloads must be byte-equal at endorsers of different heights.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cloister.errors import MalformedInput, Refused
from cloister.wire.framing import decode_frame, decode_text, decode_u64, encode_frame, require_length, u64

_TAG_TRANSACTION = b"cloister/statement/transaction/1"
_TAG_QUERY = b"cloister/statement/query/1"
_TAG_SELECTOR = b"cloister/selector/1"
NO_EVENT = bytes(32)
REVEAL_AT_ENDORSEMENT = "at-endorsement"
REVEAL_ON_COMMIT = "on-commit"
REVEAL_MODES = (REVEAL_AT_ENDORSEMENT, REVEAL_ON_COMMIT)
_COMMON_FIELDS = 18
_HASH_BYTES = 32
_HASHES = (0, 4, 5, 7, 8, 9, *range(11, 17))
"""Which fields are hashes, digests and ids."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A height (number of blocks) and the hash of the last one (32 bytes). Height 0 and no hash: none is known."""

    height: int
    block_hash: bytes


NO_CHECKPOINT = Checkpoint(0, b"")


@dataclass(frozen=True, slots=True)
class ResultStatement:
    """All hashes, digests and ids are 32 bytes; `transaction_id` is 64 hex characters. A query has a checkpoint.

    `read_list_hash` is of the encoded ReadList beside the statement: the ledger enclave evaluates no list of reads that
    the enclave did not make itself, for that can take as long as a forger likes.
    """

    genesis_hash: bytes
    channel: str
    chaincode: str
    sequence: int
    measurement: bytes
    key_set_id: bytes
    transaction_id: str
    proposal_hash: bytes
    creator_hash: bytes
    request_hash: bytes
    reveal: str
    reads_digest: bytes
    read_list_hash: bytes
    writes_digest: bytes
    metadata_digest: bytes
    event_hash: bytes
    response_hash: bytes
    checkpoint: Checkpoint | None = None

    @property
    def is_query(self) -> bool:
        """True for the statement of a query, which must never be taken for a transaction's."""
        return self.checkpoint is not None

    def encode(self) -> bytes:
        """Canonical bytes: what is signed."""
        fields = [
            self.genesis_hash,
            self.channel.encode(),
            self.chaincode.encode(),
            u64(self.sequence),
            self.measurement,
            self.key_set_id,
            self.transaction_id.encode(),
            self.proposal_hash,
            self.creator_hash,
            self.request_hash,
            self.reveal.encode(),
            self.reads_digest,
            self.read_list_hash,
            self.writes_digest,
            self.metadata_digest,
            self.event_hash,
            self.response_hash,
            b"",
        ]
        if self.checkpoint is None:
            return encode_frame(_TAG_TRANSACTION, fields)
        fields[-1] = encode_frame(b"", (u64(self.checkpoint.height), self.checkpoint.block_hash))
        return encode_frame(_TAG_QUERY, fields)

    def sign(self, key: Ed25519PrivateKey) -> bytes:
        """64 bytes, deterministic: all endorsers' payloads must agree."""
        return key.sign(self.encode())


def decode_statement(encoded: bytes) -> ResultStatement:
    """Inverse of `ResultStatement.encode`. Raises: MalformedInput for any other bytes."""
    is_query = encoded[4 : 4 + len(_TAG_QUERY)] == _TAG_QUERY
    fields = decode_frame(_TAG_QUERY if is_query else _TAG_TRANSACTION, encoded, count=_COMMON_FIELDS)
    if any(len(fields[index]) != _HASH_BYTES for index in _HASHES):
        raise MalformedInput(f"statement: expected hashes of {_HASH_BYTES} bytes", field="statement")
    checkpoint = _decode_checkpoint(fields[17]) if is_query else None
    if not is_query:
        require_length(fields[17], (0,), "statement")
    reveal = decode_text(fields[10], "reveal mode")
    if reveal not in REVEAL_MODES:
        raise MalformedInput("statement: unknown reveal mode", field="statement")
    return ResultStatement(
        genesis_hash=fields[0],
        channel=decode_text(fields[1], "channel"),
        chaincode=decode_text(fields[2], "chaincode"),
        sequence=decode_u64(fields[3], "sequence"),
        measurement=fields[4],
        key_set_id=fields[5],
        transaction_id=decode_text(require_length(fields[6], (64,), "transaction id"), "transaction id"),
        proposal_hash=fields[7],
        creator_hash=fields[8],
        request_hash=fields[9],
        reveal=reveal,
        reads_digest=fields[11],
        read_list_hash=fields[12],
        writes_digest=fields[13],
        metadata_digest=fields[14],
        event_hash=fields[15],
        response_hash=fields[16],
        checkpoint=checkpoint,
    )


def verify_statement(encoded: bytes, signature: bytes, result_key: bytes) -> ResultStatement:
    """Check the signature (Ed25519, key of 32 bytes) and return the statement.

    Raises: Refused(reason="result-signature"); MalformedInput.
    Not here: whether it is about the expected transaction: the caller compares every field it knows.
    """
    verify_result_signature(encoded, signature, result_key)
    return decode_statement(encoded)


def verify_result_signature(signed: bytes, signature: bytes, result_key: bytes) -> None:
    """Check a signature (Ed25519, 64 bytes) by a result key of 32 bytes. Raises: Refused(reason="result-signature")."""
    try:
        _public_key(result_key).verify(signature, signed)
    except (InvalidSignature, ValueError) as error:
        raise Refused("result refused: the enclave's signature does not match", reason="result-signature") from error


@lru_cache(maxsize=64)
def _public_key(encoded: bytes) -> Ed25519PublicKey:
    """One key verifies very many statements. Raises: ValueError."""
    return Ed25519PublicKey.from_public_bytes(encoded)


def compute_selector(transaction_id: str, proposal_hash: bytes, reads: bytes) -> bytes:
    """32 bytes that keep one execution's sealing apart: hash of transaction id, proposal hash, reads digest.

    All three, because the transaction id alone would make equal ciphertexts an oracle: two requests under one id,
    one of them guessing.
    """
    return hashlib.sha256(encode_frame(_TAG_SELECTOR, (transaction_id.encode(), proposal_hash, reads))).digest()


def _decode_checkpoint(encoded: bytes) -> Checkpoint:
    height, block_hash = decode_frame(b"", encoded, count=2)
    require_length(block_hash, (0, 32), "checkpoint hash")
    return Checkpoint(decode_u64(height, "checkpoint height"), block_hash)
