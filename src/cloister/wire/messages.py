"""The messages between a host and its enclave: the only ones that cross the border.

Trust level: pure, measured into enclaves. Everything a host sends is a claim.
Shape on the wire: u32 length (stream.py), then the canonical frame with the message's name as tag and as fields the
call number (u64) and the dataclass fields in order. A call is numbered by the host; the enclave's questions and its
final answer carry the number of the call they belong to.
Field types: bytes as they are, str as UTF-8, int as u64, `bytes | None` as presence byte + bytes,
tuples of bytes or of (str, bytes) pairs as nested frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final, TypeVar

from cloister.errors import MalformedInput

from .framing import decode_frame, decode_text, decode_u64, encode_frame, u64

MAX_ROWS: Final = 1_000_000


# --- host → enclave -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Restore:
    """Start from a sealed file. Answered by Status."""

    sealed: bytes


@dataclass(frozen=True, slots=True)
class Provision:
    """Where this enclave is to belong. Every field goes into its attested data. Answered by Provisioned.

    genesis_hash and upgrade_policy_hash 32 bytes, ledger_measurement 0 or 32; policy is canonical JSON.
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
class MakeKeys:
    """Make a candidate key set, used only once `Activate` has shown it as the first committed. Answered by KeysMade."""


@dataclass(frozen=True, slots=True)
class Activate:
    """The key set descriptor that was committed first. Answered by Sealed."""

    descriptor: bytes


@dataclass(frozen=True, slots=True)
class ExportKeys:
    """Wrap the key ring to a newcomer. `now_s` is used for collateral age only. Answered by Exported."""

    evidence: bytes
    endorsements: bytes
    now_s: int


@dataclass(frozen=True, slots=True)
class ImportKeys:
    """Take over a key ring. Answered by Sealed."""

    export: bytes
    exporter_evidence: bytes
    exporter_endorsements: bytes
    descriptor: bytes
    now_s: int


@dataclass(frozen=True, slots=True)
class GetStatus:
    """Answered by Status."""


@dataclass(frozen=True, slots=True)
class Invoke:
    """Run one signed proposal (serialised `protos.SignedProposal`). Answered by questions, then Result or Refusal."""

    signed_proposal: bytes


@dataclass(frozen=True, slots=True)
class ValueAnswer:
    """Answer to GetState or GetParameter: the stored bytes, or None if the key is absent."""

    value: bytes | None


@dataclass(frozen=True, slots=True)
class RowsAnswer:
    """Answer to GetRange: rows in key order; `bookmark` is the peer's for the next page, empty if there is none."""

    rows: tuple[tuple[str, bytes], ...]
    bookmark: str


@dataclass(frozen=True, slots=True)
class Abandon:
    """The peer ended this call (or answered a question with an error): forget it. Not answered."""


# --- enclave → host -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Status:
    """Public facts about the enclave. `state` is one of new, provisioned, candidate, ready.

    measurement 32 bytes; evidence empty before provisioning; key_set_id 0 or 32 bytes.
    """

    state: str
    kind: str
    measurement: bytes
    sequence: int
    evidence: bytes
    key_set_id: bytes


@dataclass(frozen=True, slots=True)
class Provisioned:
    """The enclave's evidence, and its state sealed for the host to keep."""

    evidence: bytes
    sealed: bytes


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


@dataclass(frozen=True, slots=True)
class GetParameter:
    """Question: the endorsement parameter of one stored key."""

    key: str


@dataclass(frozen=True, slots=True)
class GetRange:
    """Question: rows of [start, end); all of them if `limit` is 0, else one page from `bookmark`."""

    start: str
    end: str
    limit: int
    bookmark: str


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
class Refusal:
    """The enclave will not do this. `reason` is a stable code without any secret."""

    reason: str


HostMessage = (
    Restore
    | Provision
    | MakeKeys
    | Activate
    | ExportKeys
    | ImportKeys
    | GetStatus
    | Invoke
    | ValueAnswer
    | RowsAnswer
    | Abandon
)
Question = GetState | GetParameter | GetRange
Answer = ValueAnswer | RowsAnswer
EnclaveMessage = Status | Provisioned | KeysMade | Sealed | Exported | Question | Result | Refusal

_T = TypeVar("_T")


def encode_message(call: int, message: HostMessage | EnclaveMessage) -> bytes:
    """One message's frame, without the length in front."""
    kinds = _FIELD_KINDS[type(message)]
    body = [_ENCODERS[kind](getattr(message, name)) for name, kind in kinds]
    return encode_frame(type(message).__name__.encode(), (u64(call), *body))


def decode_host_message(encoded: bytes) -> tuple[int, HostMessage]:
    """(call, message) from a host. Raises: MalformedInput, and nothing else, for any bytes."""
    return _decode(encoded, _HOST_MESSAGES)


def decode_enclave_message(encoded: bytes) -> tuple[int, EnclaveMessage]:
    """(call, message) from an enclave. Raises: MalformedInput, and nothing else, for any bytes."""
    return _decode(encoded, _ENCLAVE_MESSAGES)


def _decode(encoded: bytes, known: dict[bytes, type[_T]]) -> tuple[int, _T]:
    length = int.from_bytes(encoded[:4], "big")
    tag = encoded[4 : 4 + length]
    message_type = known.get(tag)
    if message_type is None:
        raise MalformedInput("message: unknown kind", field="message")
    kinds = _FIELD_KINDS[message_type]
    call, *body = decode_frame(tag, encoded, count=1 + len(kinds))
    values = [_DECODERS[kind](item) for (_, kind), item in zip(kinds, body, strict=True)]
    return decode_u64(call, "call"), message_type(*values)


def _encode_optional(value: bytes | None) -> bytes:
    return b"\0" if value is None else b"\1" + value


def _decode_optional(encoded: bytes) -> bytes | None:
    if encoded == b"\0":
        return None
    if encoded[:1] != b"\1":
        raise MalformedInput("message: presence expected", field="message")
    return encoded[1:]


def _encode_pairs(rows: tuple[tuple[str, bytes], ...]) -> bytes:
    return encode_frame(b"", [part for key, value in rows for part in (key.encode(), value)])


def _decode_pairs(encoded: bytes) -> tuple[tuple[str, bytes], ...]:
    flat = decode_frame(b"", encoded, maximum=2 * MAX_ROWS)
    if len(flat) % 2:
        raise MalformedInput("message: pairs expected", field="message")
    return tuple((decode_text(flat[i], "key"), flat[i + 1]) for i in range(0, len(flat), 2))


def _encode_texts(values: tuple[str, ...]) -> bytes:
    return encode_frame(b"", [value.encode() for value in values])


def _decode_texts(encoded: bytes) -> tuple[str, ...]:
    return tuple(decode_text(item, "text") for item in decode_frame(b"", encoded, maximum=MAX_ROWS))


# Keyed by the annotation's text: annotations are not evaluated.
_ENCODERS: dict[str, Callable[[Any], bytes]] = {
    "bytes": lambda value: value,
    "str": str.encode,
    "int": u64,
    "bytes | None": _encode_optional,
    "tuple[tuple[str, bytes], ...]": _encode_pairs,
    "tuple[str, ...]": _encode_texts,
}
_DECODERS: dict[str, Callable[[bytes], Any]] = {
    "bytes": lambda value: value,
    "str": lambda value: decode_text(value, "text"),
    "int": lambda value: decode_u64(value, "number"),
    "bytes | None": _decode_optional,
    "tuple[tuple[str, bytes], ...]": _decode_pairs,
    "tuple[str, ...]": _decode_texts,
}
_HOST_TYPES: tuple[type[HostMessage], ...] = (
    Restore,
    Provision,
    MakeKeys,
    Activate,
    ExportKeys,
    ImportKeys,
    GetStatus,
    Invoke,
    ValueAnswer,
    RowsAnswer,
    Abandon,
)
_ENCLAVE_TYPES: tuple[type[EnclaveMessage], ...] = (
    Status,
    Provisioned,
    KeysMade,
    Sealed,
    Exported,
    GetState,
    GetParameter,
    GetRange,
    Result,
    Refusal,
)
_HOST_MESSAGES: dict[bytes, type[HostMessage]] = {item.__name__.encode(): item for item in _HOST_TYPES}
_ENCLAVE_MESSAGES: dict[bytes, type[EnclaveMessage]] = {item.__name__.encode(): item for item in _ENCLAVE_TYPES}
_FIELD_KINDS: dict[type, tuple[tuple[str, str], ...]] = {
    item: tuple((entry.name, str(entry.type)) for entry in fields(item)) for item in (*_HOST_TYPES, *_ENCLAVE_TYPES)
}
