"""The messages between a host and its chaincode enclave: the only ones that cross the border.

Trust level: pure, measured into enclaves. Everything a host sends is a claim.
Shape on the wire: u32 length (stream.py), then the canonical frame with the message's name as tag and as fields the
call number (u64) and the dataclass fields in order (codec.py). A call is numbered by the host; the enclave's questions
and its final answer carry the number of the call they belong to. `ledger` in questions and answers is sealed between
this enclave and a ledger enclave (attest/session.py); empty in an answer: the host could not get one.
"""

from __future__ import annotations

from dataclasses import dataclass

from .codec import Codec
from .framing import decode_u64, u64

# --- host → enclave -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Restore:
    """Start from a sealed file. Answered by Status."""

    sealed: bytes


@dataclass(frozen=True, slots=True)
class Provision:
    """Where this enclave is to belong. Every field goes into its attested data. Answered by Provisioned.

    genesis_hash, upgrade_policy_hash, ledger_measurement 32 bytes; policy is canonical JSON.
    """

    channel: str
    genesis_hash: bytes
    chaincode: str
    sequence: int
    msp_id: str
    policy: bytes
    registry: str
    upgrade_policy_hash: bytes
    ledger_measurement: bytes


@dataclass(frozen=True, slots=True)
class ConnectLedger:
    """Begin a session with a ledger enclave. Answered by LedgerHello."""


@dataclass(frozen=True, slots=True)
class LedgerWelcome:
    """The ledger enclave's answer to the hello. Answered by LedgerConfirm; the session is used from then on."""

    welcome: bytes


@dataclass(frozen=True, slots=True)
class MakeKeys:
    """Make a candidate key set, used only once `Activate` has shown it as the first committed. Answered by KeysMade."""


@dataclass(frozen=True, slots=True)
class Activate:
    """Use the candidate, if the ledger enclave has its key set as the first committed. Answered by Sealed."""


@dataclass(frozen=True, slots=True)
class ExportKeys:
    """Wrap the key ring to a newcomer, of this definition or of the one committed now. Answered by Exported."""

    evidence: bytes
    endorsements: bytes
    upgrade: bytes


@dataclass(frozen=True, slots=True)
class ImportKeys:
    """Take over a key ring. Answered by Sealed."""

    export: bytes
    exporter_evidence: bytes
    exporter_endorsements: bytes


@dataclass(frozen=True, slots=True)
class GetStatus:
    """Answered by Status."""


@dataclass(frozen=True, slots=True)
class Invoke:
    """Run one signed proposal (serialised `protos.SignedProposal`). Answered by questions, then Result or Refusal."""

    signed_proposal: bytes


@dataclass(frozen=True, slots=True)
class OpenCommitted:
    """Open the response of a committed transaction. Answered by Opened.

    `committed`: its envelope (`common.Envelope`) as it stands in the block, or the whole block (`common.Block`).
    """

    transaction_id: str
    committed: bytes


@dataclass(frozen=True, slots=True)
class ValueAnswer:
    """Answer to GetState or GetParameter: the stored bytes, or None if the key is absent."""

    value: bytes | None
    ledger: bytes


@dataclass(frozen=True, slots=True)
class RowsAnswer:
    """Answer to GetRange: rows in key order; `bookmark` is the peer's for the next page, empty if there is none."""

    rows: tuple[tuple[str, bytes], ...]
    bookmark: str
    ledger: bytes


@dataclass(frozen=True, slots=True)
class LedgerReplied:
    """Answer to AskLedger."""

    ledger: bytes


@dataclass(frozen=True, slots=True)
class Abandon:
    """The peer ended this call (or answered a question with an error): forget it. Not answered."""


# --- enclave → host -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Status:
    """Public facts about the enclave. `state` is one of new, provisioned, candidate, ready.

    measurement 32 bytes; evidence empty before provisioning; key_set_id 0 or 32 bytes; `ledger` 0 or 1: whether a
    session with a ledger enclave stands.
    """

    state: str
    kind: str
    measurement: bytes
    sequence: int
    evidence: bytes
    key_set_id: bytes
    ledger: int


@dataclass(frozen=True, slots=True)
class Provisioned:
    """The enclave's evidence, and its state sealed for the host to keep."""

    evidence: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class LedgerHello:
    """For the ledger enclave."""

    hello: bytes


@dataclass(frozen=True, slots=True)
class LedgerConfirm:
    """For the ledger enclave."""

    confirm: bytes


@dataclass(frozen=True, slots=True)
class KeysMade:
    """Signed descriptor of the candidate key set, evidence that names it, sealed state."""

    descriptor: bytes
    evidence: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Sealed:
    """The enclave's state, sealed for the host to keep."""

    sealed: bytes


@dataclass(frozen=True, slots=True)
class Exported:
    """A signed key export for the registry."""

    export: bytes


@dataclass(frozen=True, slots=True)
class GetState:
    """Question: the value of one stored key."""

    key: str
    ledger: bytes


@dataclass(frozen=True, slots=True)
class GetParameter:
    """Question: the endorsement parameter of one stored key."""

    key: str
    ledger: bytes


@dataclass(frozen=True, slots=True)
class GetRange:
    """Question: rows of [start, end); all of them if `limit` is 0, else one page from `bookmark`."""

    start: str
    end: str
    limit: int
    bookmark: str
    ledger: bytes


@dataclass(frozen=True, slots=True)
class AskLedger:
    """Question for the ledger enclave alone."""

    ledger: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """What the host writes into the peer's simulation, and the response payload. Released as a whole, at the end."""

    puts: tuple[tuple[str, bytes], ...]
    deletes: tuple[str, ...]
    parameters: tuple[tuple[str, bytes], ...]
    event_name: str
    event_payload: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class Opened:
    """The response of a committed transaction, resealed to the key in its request, and what the enclave signed."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """The enclave will not do this. `reason` is a stable code without any secret.

    `detail`: public facts that help, such as the id of the transaction that wrote a value uncovered.
    """

    reason: str
    detail: str


HostMessage = (
    Restore
    | Provision
    | ConnectLedger
    | LedgerWelcome
    | MakeKeys
    | Activate
    | ExportKeys
    | ImportKeys
    | GetStatus
    | Invoke
    | OpenCommitted
    | ValueAnswer
    | RowsAnswer
    | LedgerReplied
    | Abandon
)
Question = GetState | GetParameter | GetRange | AskLedger
Answer = ValueAnswer | RowsAnswer | LedgerReplied
EnclaveMessage = (
    Status
    | Provisioned
    | LedgerHello
    | LedgerConfirm
    | KeysMade
    | Sealed
    | Exported
    | Question
    | Result
    | Opened
    | Refusal
)
_HOST: Codec[HostMessage] = Codec(
    (
        Restore,
        Provision,
        ConnectLedger,
        LedgerWelcome,
        MakeKeys,
        Activate,
        ExportKeys,
        ImportKeys,
        GetStatus,
        Invoke,
        OpenCommitted,
        ValueAnswer,
        RowsAnswer,
        LedgerReplied,
        Abandon,
    )
)
_ENCLAVE: Codec[EnclaveMessage] = Codec(
    (
        Status,
        Provisioned,
        LedgerHello,
        LedgerConfirm,
        KeysMade,
        Sealed,
        Exported,
        GetState,
        GetParameter,
        GetRange,
        AskLedger,
        Result,
        Opened,
        Refusal,
    )
)


def encode_host_message(call: int, message: HostMessage) -> bytes:
    """One message's frame to an enclave, without the length in front."""
    return _HOST.encode(message, u64(call))


def encode_enclave_message(call: int, message: EnclaveMessage) -> bytes:
    """One message's frame to a host, without the length in front."""
    return _ENCLAVE.encode(message, u64(call))


def decode_host_message(encoded: bytes) -> tuple[int, HostMessage]:
    """(call, message) from a host. Raises: MalformedInput, and nothing else, for any bytes."""
    (call,), message = _HOST.decode(encoded, before=1)
    return decode_u64(call, "call"), message


def decode_enclave_message(encoded: bytes) -> tuple[int, EnclaveMessage]:
    """(call, message) from an enclave. Raises: MalformedInput, and nothing else, for any bytes."""
    (call,), message = _ENCLAVE.decode(encoded, before=1)
    return decode_u64(call, "call"), message
