"""Endorsed transactions: what an envelope of type ENDORSER_TRANSACTION carries, down to the read/write set.

Trust level: pure, measured into enclaves. Nothing is verified here but well-formedness.
Sources: Fabric 2.5.9 protoutil/txutils.go, fabric-protos peer/transaction.proto, ledger/rwset/*.proto. Presence
matters: a `Version` that is present and empty is height (0, 0); an absent one means "the key did not exist".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from fabric_protos.common import common_pb2
from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from fabric_protos.peer import chaincode_event_pb2, proposal_pb2, proposal_response_pb2, transaction_pb2

from cloister.errors import MalformedInput

from .decoding import decode_message
from .wire_format import remarshalled

_ENVELOPE_FIELDS = 2
"""Fields of a `common.Envelope`: payload and signature."""
VALIDATION_PARAMETER = "VALIDATION_PARAMETER"
NO_VALIDATION_PARAMETER = "NO_VALIDATION_PARAMETER"
"""Written as a key's metadata to take its endorsement parameter away: what is written replaces all that was there. An
empty parameter would not do: committers take it for none, but the Gateway for a policy that nobody satisfies (Fabric
2.5.9 core/endorser/endorser.go, parseWritesetMetadata)."""


def parameter_entry(parameter: bytes) -> str:
    """The name of the metadata entry by which enclaves set this endorsement parameter, or take it away (empty)."""
    return VALIDATION_PARAMETER if parameter else NO_VALIDATION_PARAMETER


class Version(NamedTuple):
    """Height of a key's last write: block number and index of the transaction in it."""

    block: int
    transaction: int


@dataclass(frozen=True, slots=True)
class KeyRead:
    """A public read; `version` None if the key was absent."""

    key: str
    version: Version | None


@dataclass(frozen=True, slots=True)
class KeyWrite:
    """A public write or delete."""

    key: str
    is_delete: bool
    value: bytes


@dataclass(frozen=True, slots=True)
class KeyMetadataWrite:
    """A key's whole new metadata: (name, value) entries."""

    key: str
    entries: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class RangeQuery:
    """A range query's bounds and, if recorded raw, what it read; `merkle` tells that only a summary was kept."""

    start: str
    end: str
    exhausted: bool
    reads: tuple[KeyRead, ...]
    merkle: bool


@dataclass(frozen=True, slots=True)
class NamespaceRwset:
    """One namespace's public reads and writes, in the order recorded; `collections` are names of hashed collections."""

    namespace: str
    reads: tuple[KeyRead, ...]
    ranges: tuple[RangeQuery, ...]
    writes: tuple[KeyWrite, ...]
    metadata_writes: tuple[KeyMetadataWrite, ...]
    collections: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Endorsement:
    """`endorser` is a serialised identity; it signed proposal response payload + endorser."""

    endorser: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class ChaincodeAction:
    """What the endorsers signed: response, event (name, payload) or None, chaincode, read/write sets."""

    proposal_hash: bytes
    status: int
    message: str
    payload: bytes
    event: tuple[str, bytes] | None
    chaincode: str
    chaincode_version: str
    namespaces: tuple[NamespaceRwset, ...]

    def namespace(self, name: str) -> NamespaceRwset | None:
        """The read/write set of one namespace.

        Raises: MalformedInput if the namespace stands there twice.
        """
        found = [item for item in self.namespaces if item.namespace == name]
        if len(found) > 1:
            raise MalformedInput("read/write set: a namespace stands there twice", field="results")
        return found[0] if found else None


@dataclass(frozen=True, slots=True)
class EndorsedTransaction:
    """An envelope of an endorsed transaction. `signature` is empty as long as the client has not signed."""

    channel: str
    transaction_id: str
    creator: bytes
    nonce: bytes
    signature: bytes
    chaincode_proposal_payload: bytes
    proposal_response_payload: bytes
    action: ChaincodeAction
    endorsements: tuple[Endorsement, ...]


def is_well_formed(envelope: bytes) -> bool:
    """Payload and signature, and no other bytes than those of its encoding.

    A block's data hash covers the envelopes without their boundaries; they are unique where all are well formed
    (Fabric 2.5.9 protoutil/txutils.go VerifyTransactionsAreWellFormed).
    """
    try:
        outer = decode_message(common_pb2.Envelope(), envelope, "envelope")
        return bool(outer.payload and outer.signature) and is_written_by_go(outer, envelope)
    except MalformedInput:
        return False


def is_written_by_go(outer: Any, envelope: bytes) -> bool:
    """Whether Go writes this `common.Envelope` as it was, unknown fields and all. Raises: MalformedInput."""
    return outer.SerializeToString() == envelope or remarshalled(envelope, _ENVELOPE_FIELDS) == envelope


def parse_endorsed_transaction(envelope: bytes) -> EndorsedTransaction:
    """Parse a serialised `common.Envelope`. Raises: MalformedInput, and nothing else, for any bytes."""
    outer = decode_message(common_pb2.Envelope(), envelope, "envelope")
    payload = decode_message(common_pb2.Payload(), outer.payload, "payload")
    header = decode_message(common_pb2.ChannelHeader(), payload.header.channel_header, "channel header")
    if header.type != common_pb2.ENDORSER_TRANSACTION:
        raise MalformedInput("envelope: not an endorsed transaction", field="type")
    signature_header = decode_message(common_pb2.SignatureHeader(), payload.header.signature_header, "signature header")
    transaction = decode_message(transaction_pb2.Transaction(), payload.data, "transaction")
    if len(transaction.actions) != 1:
        raise MalformedInput("transaction: expected exactly one action", field="actions")
    action_payload = decode_message(
        transaction_pb2.ChaincodeActionPayload(), transaction.actions[0].payload, "chaincode action payload"
    )
    endorsed = action_payload.action
    return EndorsedTransaction(
        channel=header.channel_id,
        transaction_id=header.tx_id,
        creator=signature_header.creator,
        nonce=signature_header.nonce,
        signature=outer.signature,
        chaincode_proposal_payload=action_payload.chaincode_proposal_payload,
        proposal_response_payload=endorsed.proposal_response_payload,
        action=parse_proposal_response_payload(endorsed.proposal_response_payload),
        endorsements=tuple(Endorsement(item.endorser, item.signature) for item in endorsed.endorsements),
    )


def parse_proposal_response_payload(encoded: bytes) -> ChaincodeAction:
    """Parse a `protos.ProposalResponsePayload` down to its read/write sets. Raises: MalformedInput."""
    payload = decode_message(proposal_response_pb2.ProposalResponsePayload(), encoded, "proposal response payload")
    action = decode_message(proposal_pb2.ChaincodeAction(), payload.extension, "chaincode action")
    event = None
    if action.events:
        parsed = decode_message(chaincode_event_pb2.ChaincodeEvent(), action.events, "chaincode event")
        event = (parsed.event_name, parsed.payload)
    results = decode_message(rwset_pb2.TxReadWriteSet(), action.results, "read/write set")
    return ChaincodeAction(
        proposal_hash=payload.proposal_hash,
        status=action.response.status,
        message=action.response.message,
        payload=action.response.payload,
        event=event,
        chaincode=action.chaincode_id.name,
        chaincode_version=action.chaincode_id.version,
        namespaces=tuple(_namespace(item) for item in results.ns_rwset),
    )


def _namespace(item: Any) -> NamespaceRwset:
    rwset = decode_message(kv_rwset_pb2.KVRWSet(), item.rwset, "namespace read/write set")
    return NamespaceRwset(
        namespace=item.namespace,
        reads=tuple(_read(read) for read in rwset.reads),
        ranges=tuple(_range(query) for query in rwset.range_queries_info),
        writes=tuple(KeyWrite(write.key, write.is_delete, write.value) for write in rwset.writes),
        metadata_writes=tuple(
            KeyMetadataWrite(write.key, tuple((entry.name, entry.value) for entry in write.entries))
            for write in rwset.metadata_writes
        ),
        collections=tuple(collection.collection_name for collection in item.collection_hashed_rwset),
    )


def _read(read: Any) -> KeyRead:
    version = Version(read.version.block_num, read.version.tx_num) if read.HasField("version") else None
    return KeyRead(read.key, version)


def _range(query: Any) -> RangeQuery:
    return RangeQuery(
        start=query.start_key,
        end=query.end_key,
        exhausted=query.itr_exhausted,
        reads=tuple(_read(read) for read in query.raw_reads.kv_reads),
        merkle=query.HasField("reads_merkle_hashes"),
    )
