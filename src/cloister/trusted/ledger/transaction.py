"""One envelope of a block, taken apart in Fabric's order of checks. No configuration, no state: bytes in, facts out.

Numbers in comments are the steps of that order (facts: Fabric 2.5.9 core/common/validation/msgvalidation.go,
core/committer/txvalidator/v20/validator.go and plugindispatcher/dispatcher.go). What depends on the configuration (4),
on history (6) or on state (7, 9) comes between these steps, in judge.py and endorsement.py: so the first problem found
is kept together with the stage at which it counts.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from fabric_protos.peer import chaincode_event_pb2, proposal_pb2, proposal_response_pb2, transaction_pb2

from cloister.errors import MalformedInput
from cloister.fabric.decoding import decode_message
from cloister.fabric.proposal import compute_transaction_id
from cloister.fabric.transaction import is_written_by_go

from .codes import Code, Invalid
from .errors import LedgerHalted
from .policies import SignedItem

_CONFIG, _CONFIG_UPDATE, _ENDORSER = common_pb2.CONFIG, common_pb2.CONFIG_UPDATE, common_pb2.ENDORSER_TRANSACTION


class Stage(IntEnum):
    """Where in the order of checks a problem counts: before the creator is looked at, before history is, after."""

    HEADER = 1
    STRUCTURE = 2
    CONTENT = 3


@dataclass(frozen=True, slots=True)
class Hashed:
    """One collection's hashed reads and writes, as generated message."""

    collection: str
    rwset: Any

    @property
    def writes_anything(self) -> bool:
        """Hashed writes or metadata writes."""
        return bool(self.rwset.hashed_writes or self.rwset.metadata_writes)


@dataclass(frozen=True, slots=True)
class NamespaceSet:
    """One namespace's part of the read/write set, as generated messages."""

    namespace: str
    public: Any
    hashed: tuple[Hashed, ...]

    @property
    def writes_anything(self) -> bool:
        """Public or hashed writes or metadata writes: then the namespace's policy is asked."""
        return bool(
            self.public.writes
            or self.public.metadata_writes
            or (self.hashed and any(item.writes_anything for item in self.hashed))
        )


@dataclass(slots=True)
class Transaction:
    """What is known of one envelope. What comes after the first problem has not been looked at."""

    index: int
    well_formed: bool = False
    """Payload and signature present, and the one encoding: so that transactions cannot be cut differently."""
    header_type: int = -1
    channel: str = ""
    transaction_id: str = ""
    computed_id: str = ""
    """What the id should be; "" if the headers do not decode."""
    extension: bytes = b""
    timestamp: tuple[int, int] = (0, 0)
    """Seconds and nanoseconds; the client's claim."""
    creator: SignedItem | None = None
    config_data: bytes = b""
    payload: Any = None
    """The `common.Payload` of an endorser transaction."""
    endorsed: Any = None
    """Its `protos.ChaincodeActionPayload`."""
    response: Any = None
    """Its `protos.ProposalResponsePayload`."""
    action: Any = None
    """Its `protos.ChaincodeAction`."""
    action_header: bytes = b""
    chaincode: str = ""
    namespaces: tuple[NamespaceSet, ...] = ()
    endorsements: list[SignedItem] = field(default_factory=list)
    problem: Invalid | LedgerHalted | None = None
    problem_stage: Stage = Stage.CONTENT

    @property
    def indexed_id(self) -> str:
        """Under which id the block index files it: computed where the header has none, "" for the undecodable."""
        return self.transaction_id or self.computed_id

    def raise_problem(self, stage: Stage) -> None:
        """Raises: the problem of this stage, if there is one: Invalid, or LedgerHalted where a peer has no verdict."""
        if self.problem is not None and self.problem_stage is stage:
            raise self.problem


def parse_transaction(encoded: bytes, index: int) -> Transaction:
    """Steps 1 to 3, 5, and those parts of 7 that need no state. Never raises."""
    found = Transaction(index)
    try:
        found.problem_stage = Stage.HEADER
        payload = _parse_headers(found, encoded)
        found.problem_stage = Stage.STRUCTURE
        _parse_body(found, payload)
        found.problem_stage = Stage.CONTENT
        if found.endorsed is not None:
            _parse_content(found)
    except (Invalid, LedgerHalted) as problem:
        found.problem = problem
    return found


def extract_namespaces(encoded: bytes) -> tuple[NamespaceSet, ...] | None:
    """What a transaction would write, whatever its verdict; None if it cannot be read down to its action.

    Source: core/common/validation/statebased/vpmanagerimpl.go (extractDependenciesForTx): a read/write set that does
    not decode counts as empty, anything before it makes later transactions wait.
    """
    try:
        envelope = decode_message(common_pb2.Envelope(), encoded, "envelope")
        payload = decode_message(common_pb2.Payload(), envelope.payload, "payload")
        transaction = decode_message(transaction_pb2.Transaction(), payload.data, "transaction")
        if not transaction.actions:
            return None
        action = decode_message(transaction_pb2.ChaincodeActionPayload(), transaction.actions[0].payload, "action")
        encoded_response = action.action.proposal_response_payload
        response = decode_message(proposal_response_pb2.ProposalResponsePayload(), encoded_response, "response")
        if not response.extension:
            return None
        results = decode_message(proposal_pb2.ChaincodeAction(), response.extension, "chaincode action").results
    except MalformedInput:
        return None
    try:
        return _parse_rwset(results)
    except Invalid:
        return ()


def _parse_headers(found: Transaction, encoded: bytes) -> Any:
    envelope = _decode(common_pb2.Envelope(), encoded, Code.INVALID_OTHER_REASON)  # 1
    signed, signature = envelope.payload, envelope.signature
    found.well_formed = bool(signed and signature and is_written_by_go(envelope, encoded))
    payload = _decode(common_pb2.Payload(), signed, Code.BAD_PAYLOAD)  # 2
    if not payload.HasField("header"):
        raise LedgerHalted("a payload without header", reason="header")
    headers = payload.header
    header = _decode(common_pb2.ChannelHeader(), headers.channel_header, Code.BAD_COMMON_HEADER)  # 3
    found.header_type, found.channel, found.transaction_id = header.type, header.channel_id, header.tx_id
    found.timestamp = (header.timestamp.seconds, header.timestamp.nanos)
    found.extension = header.extension
    signature_header = _decode(common_pb2.SignatureHeader(), headers.signature_header, Code.BAD_COMMON_HEADER)
    nonce, creator = signature_header.nonce, signature_header.creator
    found.computed_id = compute_transaction_id(nonce, creator)
    if header.type not in (_CONFIG, _CONFIG_UPDATE, _ENDORSER) or header.epoch != 0 or not nonce or not creator:
        raise Invalid(Code.BAD_COMMON_HEADER)
    found.creator = SignedItem(creator, signed, signature)
    return payload


def _parse_body(found: Transaction, payload: Any) -> None:
    if found.header_type == _CONFIG_UPDATE:  # 5
        raise Invalid(Code.UNSUPPORTED_TX_PAYLOAD)
    if found.header_type == _CONFIG:
        if not payload.data:
            raise Invalid(Code.INVALID_CONFIG_TRANSACTION)
        found.config_data = payload.data
        return
    if found.transaction_id != found.computed_id:
        raise Invalid(Code.BAD_PROPOSAL_TXID)
    found.payload = payload
    _parse_structure(found, payload)


def _parse_structure(found: Transaction, payload: Any) -> None:
    code = Code.INVALID_ENDORSER_TRANSACTION
    data, headers = payload.data, payload.header
    if not data:
        raise Invalid(code)
    actions = _decode(transaction_pb2.Transaction(), data, code).actions
    if len(actions) != 1:
        raise Invalid(code)
    action_header = actions[0].header
    if action_header != headers.signature_header:  # else it has been checked already
        header = _decode(common_pb2.SignatureHeader(), action_header, code)
        if not header.nonce or not header.creator:
            raise Invalid(code)
    endorsed = _decode(transaction_pb2.ChaincodeActionPayload(), actions[0].payload, code)
    if not endorsed.HasField("action"):
        raise LedgerHalted("a chaincode action payload without action", reason="action")
    response = _decode(proposal_response_pb2.ProposalResponsePayload(), endorsed.action.proposal_response_payload, code)
    proposal_payload = endorsed.chaincode_proposal_payload
    if not proposal_payload:
        raise Invalid(code)
    hashed = headers.channel_header + action_header + proposal_payload
    if hashlib.sha256(hashed).digest() != response.proposal_hash:
        raise Invalid(code)
    found.endorsed, found.response, found.action_header = endorsed, response, action_header


def _parse_content(found: Transaction) -> None:
    """Step 7, as far as it needs no state: names, response payload, read/write set."""
    extension = _decode(proposal_pb2.ChaincodeHeaderExtension(), found.extension, Code.BAD_HEADER_EXTENSION)
    endorsed, encoded_action = found.endorsed.action, found.response.extension
    signed = endorsed.proposal_response_payload
    if not signed or not encoded_action:
        raise Invalid(Code.BAD_RESPONSE_PAYLOAD)
    action = _decode(proposal_pb2.ChaincodeAction(), encoded_action, Code.BAD_RESPONSE_PAYLOAD)
    namespaces = _parse_rwset(action.results)
    if not extension.HasField("chaincode_id") or not action.HasField("chaincode_id"):
        raise Invalid(Code.INVALID_OTHER_REASON)
    name = extension.chaincode_id.name
    if not name or name != action.chaincode_id.name or not action.chaincode_id.version:
        raise Invalid(Code.INVALID_CHAINCODE)
    if action.events:
        event = _decode(chaincode_event_pb2.ChaincodeEvent(), action.events, Code.INVALID_OTHER_REASON)
        if event.chaincode_id != name:
            raise Invalid(Code.INVALID_OTHER_REASON)
    if len({item.namespace for item in namespaces}) != len(namespaces):
        raise Invalid(Code.ILLEGAL_WRITESET)
    for item in endorsed.endorsements:
        endorser = item.endorser
        found.endorsements.append(SignedItem(endorser, signed + endorser, item.signature))
    found.action, found.chaincode, found.namespaces = action, name, namespaces


def _parse_rwset(results: bytes) -> tuple[NamespaceSet, ...]:
    code = Code.BAD_RWSET
    found = []
    for item in _decode(rwset_pb2.TxReadWriteSet(), results, code).ns_rwset:
        public = _decode(kv_rwset_pb2.KVRWSet(), item.rwset, code)
        hashed = tuple(
            Hashed(part.collection_name, _decode(kv_rwset_pb2.HashedRWSet(), part.hashed_rwset, code))
            for part in item.collection_hashed_rwset
        )
        found.append(NamespaceSet(item.namespace, public, hashed))
    return tuple(found)


def _decode(message: Any, encoded: bytes, code: Code) -> Any:
    try:
        return decode_message(message, encoded, "transaction")
    except MalformedInput as error:
        raise Invalid(code) from error
