"""A contract's outcome, and the payload in which it travels: sealed outcome, statement, signature.

Trust level: trusted, pure; clients open it. Success and error look alike from outside: Fabric's status is 200 for both.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cloister.errors import MalformedInput
from cloister.wire.framing import decode_frame, decode_text, encode_frame, require_length, u32

_TAG_OUTCOME = b"cloister/outcome/1"
_TAG_PAYLOAD = b"cloister/sealed-outcome/1"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the contract answered: status as in Fabric (200 success, 500 error), message, payload."""

    status: int
    message: str = field(repr=False)
    payload: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Canonical bytes. Secret."""
        return encode_frame(_TAG_OUTCOME, (u32(self.status), self.message.encode(), self.payload))


def decode_outcome(encoded: bytes) -> Outcome:
    """Inverse of `Outcome.encode`. Raises: MalformedInput."""
    status, message, payload = decode_frame(_TAG_OUTCOME, encoded, count=3)
    require_length(status, (4,), "status")
    return Outcome(int.from_bytes(status, "big"), decode_text(message, "message"), payload)


@dataclass(frozen=True, slots=True)
class SealedOutcome:
    """The response payload of a confidential transaction. `signature` is 64 bytes over `statement`.

    `reads` is an encoded `ReadList` (reads.py), whose hash stands in the statement.
    """

    statement: bytes
    signature: bytes
    ciphertext: bytes
    reads: bytes

    def encode(self) -> bytes:
        """Canonical bytes."""
        return encode_frame(_TAG_PAYLOAD, (self.statement, self.signature, self.ciphertext, self.reads))


def decode_sealed_outcome(encoded: bytes) -> SealedOutcome:
    """Inverse of `SealedOutcome.encode`. Raises: MalformedInput."""
    statement, signature, ciphertext, reads = decode_frame(_TAG_PAYLOAD, encoded, count=4)
    if not ciphertext:
        raise MalformedInput("sealed outcome: empty", field="sealed outcome")
    return SealedOutcome(statement, require_length(signature, (64,), "signature"), ciphertext, reads)
