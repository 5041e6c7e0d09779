"""One envelope of a block, taken apart in Fabric's order of checks (facts: core/common/validation/msgvalidation.go,
core/committer/txvalidator/v20/validator.go and plugindispatcher/dispatcher.go of 2.5.9).

Numbers in comments are the steps of that order. What depends on state or history is done elsewhere: `endorsement.py`,
`judge.py`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from fabric_protos.peer import chaincode_event_pb2, proposal_pb2, proposal_response_pb2, transaction_pb2

from cloister.errors import MalformedInput
from cloister.fabric.decoding import decode_message
from cloister.fabric.proposal import compute_transaction_id

from .codes import Code, Invalid
from .errors import IdentityInvalid, LedgerHalted
from .msp import MspManager
from .policies import SignedItem

_CONFIG, _CONFIG_UPDATE, _ENDORSER = common_pb2.CONFIG, common_pb2.CONFIG_UPDATE, common_pb2.ENDORSER_TRANSACTION


@dataclass(frozen=True)
class Hashed:
    """One collection's hashed reads and writes."""

    collection: str
    rwset: Any


@dataclass(frozen=True)
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
            or any(item.rwset.hashed_writes or item.rwset.metadata_writes for item in self.hashed)
        )


@dataclass
class Endorsed:
    """An endorser transaction that has passed the structural checks."""

    chaincode: str
    namespaces: tuple[NamespaceSet, ...]
    endorsements: tuple[SignedItem, ...]


@dataclass
class Parsed:
    """What is known of one envelope; `code` is set as soon as it is settled before state is asked."""

    index: int
    header_type: int = -1
    transaction_id: str = ""
    indexed_id: str = ""
    """Under which id the block index files it: computed where the header has none, "" for the undecodable."""
    config_data: bytes = b""
    extension: bytes = b""
    action: Any = None
    endorsed: Endorsed | None = None
    code: Code = Code.VALID


def parse_transaction(encoded: bytes, index: int, *, channel: str, msps: MspManager) -> Parsed:
    """Steps 1 to 5. Raises: LedgerHalted where a peer has no verdict."""
    parsed = Parsed(index)
    try:
        _parse(parsed, encoded, channel, msps)
    except Invalid as invalid:
        parsed.code = invalid.code
    return parsed


def _parse(parsed: Parsed, encoded: bytes, channel: str, msps: MspManager) -> None:
    envelope = _decode(common_pb2.Envelope(), encoded, Code.INVALID_OTHER_REASON)  # 1
    payload = _decode(common_pb2.Payload(), envelope.payload, Code.BAD_PAYLOAD)  # 2
    if not payload.HasField("header"):
        raise LedgerHalted("a payload without header", reason="header")
    header = _decode(common_pb2.ChannelHeader(), payload.header.channel_header, Code.BAD_COMMON_HEADER)  # 3
    signature_header = _decode(common_pb2.SignatureHeader(), payload.header.signature_header, Code.BAD_COMMON_HEADER)
    parsed.header_type, parsed.transaction_id = header.type, header.tx_id
    parsed.indexed_id = header.tx_id or compute_transaction_id(signature_header.nonce, signature_header.creator)
    if header.type not in (_CONFIG, _CONFIG_UPDATE, _ENDORSER) or header.epoch != 0:
        raise Invalid(Code.BAD_COMMON_HEADER)
    if not signature_header.nonce or not signature_header.creator:
        raise Invalid(Code.BAD_COMMON_HEADER)
    if header.channel_id != channel:
        raise LedgerHalted("a transaction of another channel", reason="channel")
    _check_creator(signature_header.creator, envelope.payload, envelope.signature, msps)  # 4
    if header.type == _CONFIG_UPDATE:  # 5
        raise Invalid(Code.UNSUPPORTED_TX_PAYLOAD)
    if header.type == _CONFIG:
        if not payload.data:
            raise Invalid(Code.INVALID_CONFIG_TRANSACTION)
        parsed.config_data = payload.data
        return
    if header.tx_id != compute_transaction_id(signature_header.nonce, signature_header.creator):
        raise Invalid(Code.BAD_PROPOSAL_TXID)
    parsed.extension, parsed.action = header.extension, _check_structure(payload)


def dispatch(parsed: Parsed) -> Endorsed:
    """Step 7, as far as it needs no state: names, response payload, read/write set. Raises: Invalid."""
    extension = _decode(proposal_pb2.ChaincodeHeaderExtension(), parsed.extension, Code.BAD_HEADER_EXTENSION)
    if parsed.action is None:
        raise Invalid(Code.BAD_RESPONSE_PAYLOAD)
    endorsed = parsed.action.action
    response_bytes = endorsed.proposal_response_payload
    if not response_bytes:
        raise Invalid(Code.BAD_RESPONSE_PAYLOAD)
    response = _decode(proposal_response_pb2.ProposalResponsePayload(), response_bytes, Code.BAD_RESPONSE_PAYLOAD)
    if not response.extension:
        raise Invalid(Code.BAD_RESPONSE_PAYLOAD)
    action = _decode(proposal_pb2.ChaincodeAction(), response.extension, Code.BAD_RESPONSE_PAYLOAD)
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
    return Endorsed(
        chaincode=name,
        namespaces=namespaces,
        endorsements=tuple(
            SignedItem(item.endorser, response_bytes + item.endorser, item.signature) for item in endorsed.endorsements
        ),
    )


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


def _check_creator(creator: bytes, payload: bytes, signature: bytes, msps: MspManager) -> None:
    try:
        identity = msps.deserialize(creator)
        msps.validate(identity)
    except IdentityInvalid as error:
        raise Invalid(Code.BAD_CREATOR_SIGNATURE) from error
    if not identity.verify(payload, signature):
        raise Invalid(Code.BAD_CREATOR_SIGNATURE)


def _check_structure(payload: Any) -> Any:
    """The ChaincodeActionPayload, if the transaction's structure and proposal hash hold."""
    code = Code.INVALID_ENDORSER_TRANSACTION
    if not payload.data:
        raise Invalid(code)
    transaction = _decode(transaction_pb2.Transaction(), payload.data, code)
    if len(transaction.actions) != 1:
        raise Invalid(code)
    action = transaction.actions[0]
    header = _decode(common_pb2.SignatureHeader(), action.header, code)
    if not header.nonce or not header.creator:
        raise Invalid(code)
    action_payload = _decode(transaction_pb2.ChaincodeActionPayload(), action.payload, code)
    if not action_payload.HasField("action"):
        raise LedgerHalted("a chaincode action payload without action", reason="action")
    response = _decode(
        proposal_response_pb2.ProposalResponsePayload(), action_payload.action.proposal_response_payload, code
    )
    if not action_payload.chaincode_proposal_payload:
        raise Invalid(code)
    expected = hashlib.sha256(
        payload.header.channel_header + action.header + action_payload.chaincode_proposal_payload
    ).digest()
    if expected != response.proposal_hash:
        raise Invalid(code)
    return action_payload


def _decode(message: Any, encoded: bytes, code: Code) -> Any:
    try:
        return decode_message(message, encoded, "transaction")
    except MalformedInput as error:
        raise Invalid(code) from error
