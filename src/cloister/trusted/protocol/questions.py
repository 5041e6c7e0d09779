"""What chaincode enclaves ask a ledger enclave, and what it answers. They travel inside a session (attest/session.py).

Trust level: trusted, pure.
A *height* is a number of blocks: at height h the blocks 0 … h-1 count, and a value that block b writes is current
from height b+1 on. Answers about keys are *segments*: (from which height, what was there), newest first; a segment ends
where the one before it in the list begins, the newest at the answer's own height. The oldest one begins where the
ledger enclave's memory does, which is later than the truth. All questions are about the session's own chaincode.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloister.wire.codec import Codec

ABSENT = b""
"""A segment in which there was nothing."""
UNCOVERED = b"!"
"""A segment whose value or absence no result statement covers: never to be believed."""

MINIMUM_HOLDS = "holds"
MINIMUM_BEHIND = "behind"
MINIMUM_FORK = "fork"
"""A client's checkpoint is on the chain; lies above it; is of another chain."""


# --- questions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AskCaller:
    """May this creator write on the channel, and is this checkpoint (height, hash of its last block) on the chain?"""

    creator: bytes
    height: int
    block_hash: bytes


@dataclass(frozen=True, slots=True)
class AskKey:
    """The value of one stored key."""

    key: str


@dataclass(frozen=True, slots=True)
class AskParameter:
    """The endorsement parameter of one stored key."""

    key: str


@dataclass(frozen=True, slots=True)
class AskMarks:
    """Whether one stored key is marked, and what was last covered of it: for a repair."""

    key: str


@dataclass(frozen=True, slots=True)
class AskRange:
    """The rows of [start, end). `past`: also what they were before; else the current ones alone."""

    start: str
    end: str
    past: int


@dataclass(frozen=True, slots=True)
class AskTransaction:
    """Where a transaction stands."""

    transaction_id: str


@dataclass(frozen=True, slots=True)
class AskBlock:
    """The hash of a block's header."""

    number: int


@dataclass(frozen=True, slots=True)
class AskKeySet:
    """The first key set that was ever committed for a sequence of the definition, and that sequence's measurement."""

    sequence: int


@dataclass(frozen=True, slots=True)
class AskAdministrators:
    """Which application organisations have an administrator among these serialised identities?"""

    identities: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class AskRevoked:
    """Has the registry revoked the enclave of this chaincode with this attested signing key (32 bytes)?

    And has it ever shown its evidence, by this id (32 bytes)?
    """

    signing_key: bytes
    evidence_id: bytes


# --- answers --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Head:
    """Where the ledger enclave stands as it answers: part of every answer.

    `block_hash`: 32 bytes, of block height-1. `config_block`: number of the newest configuration. `sequence` and
    `measurement` (text of the version): the committed definition, 0 and "" if there is none. `time_s`: the channel's
    own time, seconds since 1970 (median over organisations of their latest committed timestamps).
    """

    height: int
    block_hash: bytes
    config_block: int
    sequence: int
    measurement: str
    time_s: int


@dataclass(frozen=True, slots=True)
class CallerAnswer:
    """`may_write` 0 or 1; `minimum` is one of the MINIMUM_… words."""

    head: bytes
    may_write: int
    minimum: str


@dataclass(frozen=True, slots=True)
class SegmentsAnswer:
    """For a key: ABSENT, UNCOVERED or the value's hash; for a range: UNCOVERED or the rows' digest.

    `writer`: the transaction that made it uncovered, if the newest segment is.
    """

    head: bytes
    segments: tuple[tuple[int, bytes], ...]
    writer: str


@dataclass(frozen=True, slots=True)
class MarksAnswer:
    """`…_marked` 0 or 1: whether the key's value, its endorsement parameter was last written uncovered.

    Of what is marked `value` and `parameter` are the last covered one's hash (32 bytes) or ABSENT; else empty.
    """

    head: bytes
    value_marked: int
    value: bytes
    parameter_marked: int
    parameter: bytes


@dataclass(frozen=True, slots=True)
class TransactionAnswer:
    """`known` 0 or 1. `code`: the verdict's number; `covered` 0 or 1; `block_hash`: 32 bytes, of its block's header.

    `envelope_hash`: SHA-256 of the envelope as it stands in the block; empty if it is not covered or long ago.
    """

    head: bytes
    known: int
    block: int
    index: int
    code: int
    covered: int
    block_hash: bytes
    envelope_hash: bytes


@dataclass(frozen=True, slots=True)
class BlockAnswer:
    """32 bytes, or empty if the block is not there yet."""

    head: bytes
    block_hash: bytes


@dataclass(frozen=True, slots=True)
class KeySetAnswer:
    """`key_set_id` and `result_key` 32 bytes, or empty if none was committed, or nothing that could be read as one.

    `result_key`: whose signatures cover transactions, whatever the id says that stands beside it. `measurement`: 32
    bytes, or empty if that sequence was never committed or is not confidential. `used` 1 if a transaction was covered
    under it itself, else 0.
    """

    head: bytes
    key_set_id: bytes
    measurement: bytes
    result_key: bytes
    used: int


@dataclass(frozen=True, slots=True)
class AdministratorsAnswer:
    """MSP IDs of those who signed, and of all application organisations, sorted."""

    head: bytes
    signed: tuple[str, ...]
    all: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RevokedAnswer:
    """`revoked` and `registered` 0 or 1."""

    head: bytes
    revoked: int
    registered: int


Question = (
    AskCaller
    | AskKey
    | AskParameter
    | AskMarks
    | AskRange
    | AskTransaction
    | AskBlock
    | AskKeySet
    | AskAdministrators
    | AskRevoked
)
Answer = (
    CallerAnswer
    | SegmentsAnswer
    | MarksAnswer
    | TransactionAnswer
    | BlockAnswer
    | KeySetAnswer
    | AdministratorsAnswer
    | RevokedAnswer
)

HEADS: Codec[Head] = Codec((Head,))
QUESTIONS: Codec[Question] = Codec(
    (
        AskCaller,
        AskKey,
        AskParameter,
        AskMarks,
        AskRange,
        AskTransaction,
        AskBlock,
        AskKeySet,
        AskAdministrators,
        AskRevoked,
    )
)
ANSWERS: Codec[Answer] = Codec(
    (
        CallerAnswer,
        SegmentsAnswer,
        MarksAnswer,
        TransactionAnswer,
        BlockAnswer,
        KeySetAnswer,
        AdministratorsAnswer,
        RevokedAnswer,
    )
)
