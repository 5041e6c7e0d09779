"""The messages between a ledger enclave and whoever connects to it: its own host, and hosts of chaincode enclaves.

Trust level: pure, measured into enclaves. Everything that comes in is a claim. Shape on the wire as in messages.py: u32
length, then the canonical frame with the call number in front; a call's replies carry its number.
"""

from __future__ import annotations

from dataclasses import dataclass

from .codec import Codec
from .framing import decode_u64, u64

# --- host → ledger enclave ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartLedger:
    """Follow a channel from its genesis block on (serialised `common.Block`). Answered by LedgerStatus.

    `policy` is the appraisal policy as canonical JSON, `registry` the enclave registry's chaincode name.
    """

    genesis: bytes
    msp_id: str
    policy: bytes
    registry: str


@dataclass(frozen=True, slots=True)
class RestoreLedger:
    """One part of a sealed checkpoint, after StartLedger; `last` 0 or 1. Answered by LedgerStatus."""

    part: bytes
    last: int


@dataclass(frozen=True, slots=True)
class GetLedgerStatus:
    """Answered by LedgerStatus."""


@dataclass(frozen=True, slots=True)
class NextBlocks:
    """The next blocks (serialised `common.Block`s), in order. Answered by Followed, or LedgerStatus with a reason."""

    blocks: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SealLedger:
    """Answered by SealedPart, as many as there are."""


@dataclass(frozen=True, slots=True)
class SessionHello:
    """A chaincode enclave's hello. Answered by SessionWelcome."""

    hello: bytes


@dataclass(frozen=True, slots=True)
class SessionConfirm:
    """A chaincode enclave's confirm, for the welcome with this number. Answered by SessionReady."""

    number: int
    confirm: bytes


@dataclass(frozen=True, slots=True)
class SessionQuestion:
    """A sealed question. Answered by SessionAnswer."""

    sealed: bytes


@dataclass(frozen=True, slots=True)
class FindTransaction:
    """In which block a transaction stands, for the host's own use. Answered by TransactionFound."""

    transaction_id: str


@dataclass(frozen=True, slots=True)
class ListSuspects:
    """What no statement covers. Answered by Suspects."""


# --- ledger enclave → host ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """`state`: new, following or halted (then `reason` and `message` say why, at block `height`).

    measurement 32 bytes; block_hash that of block height-1. `keys` and `transactions` are counts. `warning`: who else
    than orderers may sign blocks on this channel, or nothing.
    """

    state: str
    kind: str
    measurement: bytes
    evidence: bytes
    channel: str
    height: int
    block_hash: bytes
    keys: int
    transactions: int
    suspects: int
    reason: str
    message: str
    warning: str


@dataclass(frozen=True, slots=True)
class Followed:
    """All blocks were accepted."""

    height: int
    block_hash: bytes


@dataclass(frozen=True, slots=True)
class SealedPart:
    """One part of the sealed checkpoint; `last` 0 or 1."""

    part: bytes
    last: int


@dataclass(frozen=True, slots=True)
class SessionWelcome:
    """The welcome, and the number by which the confirm refers to it."""

    number: int
    welcome: bytes


@dataclass(frozen=True, slots=True)
class SessionReady:
    """The session stands."""


@dataclass(frozen=True, slots=True)
class SessionAnswer:
    """A sealed answer."""

    sealed: bytes


@dataclass(frozen=True, slots=True)
class TransactionFound:
    """`known` 0 or 1; `code` is the verdict's number, `covered` 0 or 1."""

    known: int
    block: int
    index: int
    code: int
    covered: int


@dataclass(frozen=True, slots=True)
class Suspects:
    """One line of JSON for each mark: chaincode, key (text), parameter (true or false), block, transaction_id.

    And covered (hash of what was last covered in hex, "" if it was absent), covered_block (up to where to look for it).
    """

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LedgerRefusal:
    """The ledger enclave will not do this. `reason` is a stable code."""

    reason: str


LedgerRequest = (
    StartLedger
    | RestoreLedger
    | GetLedgerStatus
    | NextBlocks
    | SealLedger
    | SessionHello
    | SessionConfirm
    | SessionQuestion
    | FindTransaction
    | ListSuspects
)
LedgerReply = (
    LedgerStatus
    | Followed
    | SealedPart
    | SessionWelcome
    | SessionReady
    | SessionAnswer
    | TransactionFound
    | Suspects
    | LedgerRefusal
)
_REQUESTS: Codec[LedgerRequest] = Codec(
    (
        StartLedger,
        RestoreLedger,
        GetLedgerStatus,
        NextBlocks,
        SealLedger,
        SessionHello,
        SessionConfirm,
        SessionQuestion,
        FindTransaction,
        ListSuspects,
    )
)
_REPLIES: Codec[LedgerReply] = Codec(
    (
        LedgerStatus,
        Followed,
        SealedPart,
        SessionWelcome,
        SessionReady,
        SessionAnswer,
        TransactionFound,
        Suspects,
        LedgerRefusal,
    )
)


def encode_request(call: int, message: LedgerRequest) -> bytes:
    """One request's frame, without the length in front."""
    return _REQUESTS.encode(message, u64(call))


def encode_reply(call: int, message: LedgerReply) -> bytes:
    """One reply's frame, without the length in front."""
    return _REPLIES.encode(message, u64(call))


def decode_request(encoded: bytes) -> tuple[int, LedgerRequest]:
    """(call, message). Raises: MalformedInput, and nothing else, for any bytes."""
    (call,), message = _REQUESTS.decode(encoded, before=1)
    return decode_u64(call, "call"), message


def decode_reply(encoded: bytes) -> tuple[int, LedgerReply]:
    """(call, message). Raises: MalformedInput, and nothing else, for any bytes."""
    (call,), message = _REPLIES.decode(encoded, before=1)
    return decode_u64(call, "call"), message
