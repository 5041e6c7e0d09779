"""Transactions of any kind, endorsed with the peers' own keys: each part can be bent before it is signed."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
from fabric_protos.common import common_pb2
from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from fabric_protos.orderer import ab_pb2
from fabric_protos.peer import chaincode_pb2, proposal_pb2, proposal_response_pb2, transaction_pb2

from cloister.fabric.proposal import build_proposal
from cloister.fabric.transaction import parameter_entry
from cloister.network import Network

from .signers import Signer

VALIDATION_PARAMETER = "VALIDATION_PARAMETER"
Bend = Callable[[Any], None]
"""Changes a generated message in place, before whoever comes next signs it."""
VersionPair = tuple[int, int]
"""(block number, transaction index)."""


def _as_it_is(message: Any) -> None:
    del message


@dataclass(frozen=True)
class Draft:
    """A transaction to be forged. Everything that a client and its endorsers decide on is a field."""

    channel: str
    chaincode: str
    client: Signer
    endorsers: Sequence[Signer]
    namespaces: Sequence[tuple[str, Any]] = ()
    """(namespace, KVRWSet or NsReadWriteSet)."""
    arguments: Sequence[bytes] = (b"forged",)
    results: bytes | None = None
    """The serialised read/write set, instead of `namespaces`."""
    header: Bend = _as_it_is
    signature_header: Bend = _as_it_is
    action: Bend = _as_it_is
    response: Bend = _as_it_is
    endorsed: Bend = _as_it_is
    transaction: Bend = _as_it_is
    payload: Bend = _as_it_is
    envelope: Bend = _as_it_is
    nonce: bytes = field(default_factory=lambda: os.urandom(24))

    def but(self, **changes: Any) -> Draft:
        """The same with other fields, and a nonce of its own unless one is given."""
        return replace(self, **{"nonce": os.urandom(24), **changes})

    def build(self) -> bytes:
        """The signed envelope, serialised."""
        header, proposal_payload = self._proposal()
        encoded = self._response(header, proposal_payload).SerializeToString()
        endorsed = transaction_pb2.ChaincodeEndorsedAction(proposal_response_payload=encoded)
        for endorser in self.endorsers:
            endorsed.endorsements.add(endorser=endorser.creator, signature=endorser.sign(encoded + endorser.creator))
        action_payload = transaction_pb2.ChaincodeActionPayload(
            chaincode_proposal_payload=proposal_payload, action=endorsed
        )
        self.endorsed(action_payload)
        action = transaction_pb2.TransactionAction(
            header=header.signature_header, payload=action_payload.SerializeToString()
        )
        transaction = transaction_pb2.Transaction(actions=[action])
        self.transaction(transaction)
        payload = common_pb2.Payload(header=header, data=transaction.SerializeToString())
        self.payload(payload)
        return sign_envelope(payload, self.client, self.envelope)

    def _proposal(self) -> tuple[Any, bytes]:
        """(Header, serialised ChaincodeProposalPayload)."""
        proposal = build_proposal(
            channel=self.channel,
            chaincode=self.chaincode,
            arguments=self.arguments,
            creator=self.client.creator,
            nonce=self.nonce,
            timestamp_ns=time.time_ns(),
        )
        parsed = proposal_pb2.Proposal.FromString(proposal.encoded)
        header = common_pb2.Header.FromString(parsed.header)
        channel_header = common_pb2.ChannelHeader.FromString(header.channel_header)
        self.header(channel_header)
        header.channel_header = channel_header.SerializeToString()
        signature_header = common_pb2.SignatureHeader.FromString(header.signature_header)
        self.signature_header(signature_header)
        header.signature_header = signature_header.SerializeToString()
        return header, parsed.payload

    def _response(self, header: Any, proposal_payload: bytes) -> Any:
        action = proposal_pb2.ChaincodeAction(
            results=self._results(),
            chaincode_id=chaincode_pb2.ChaincodeID(name=self.chaincode, version="1.0"),
        )
        action.response.status = 200
        self.action(action)
        hashed = header.channel_header + header.signature_header + proposal_payload
        response = proposal_response_pb2.ProposalResponsePayload(
            proposal_hash=hashlib.sha256(hashed).digest(), extension=action.SerializeToString()
        )
        self.response(response)
        return response

    def _results(self) -> bytes:
        if self.results is not None:
            return self.results
        found = rwset_pb2.TxReadWriteSet()
        for name, part in self.namespaces:
            if isinstance(part, rwset_pb2.NsReadWriteSet):
                found.ns_rwset.add().CopyFrom(part)
            else:
                found.ns_rwset.add(namespace=name, rwset=part.SerializeToString())
        encoded: bytes = found.SerializeToString()
        return encoded


def sign_envelope(payload: Any, signer: Signer, bend: Bend = _as_it_is) -> bytes:
    """A payload in its signed envelope, serialised."""
    encoded = payload.SerializeToString()
    envelope = common_pb2.Envelope(payload=encoded, signature=signer.sign(encoded))
    bend(envelope)
    found: bytes = envelope.SerializeToString()
    return found


def rwset(
    *,
    reads: Sequence[tuple[str, VersionPair | None]] = (),
    writes: Sequence[tuple[str, bytes | None]] = (),
    metadata: Sequence[tuple[str, bytes | None]] = (),
    ranges: Sequence[Any] = (),
) -> Any:
    """A KVRWSet: reads with versions, writes (None deletes), endorsement parameters, ranges.

    A parameter of None removes all metadata; an empty one is written as enclaves take one away.
    """
    found = kv_rwset_pb2.KVRWSet(range_queries_info=list(ranges))
    for key, version in reads:
        set_version(found.reads.add(key=key), version)
    for key, value in writes:
        found.writes.add(key=key, is_delete=value is None, value=value or b"")
    for key, value in metadata:
        write = found.metadata_writes.add(key=key)
        if value is not None:
            write.entries.add(name=parameter_entry(value), value=value)
    return found


def hashed_rwset(
    namespace: str,
    collection: str,
    *,
    reads: Sequence[tuple[str, VersionPair | None]] = (),
    writes: Sequence[tuple[str, bytes | None]] = (),
    metadata: Sequence[tuple[str, bytes | None]] = (),
    public: Any = None,
) -> Any:
    """A NsReadWriteSet with one private-data collection; keys and values are given in clear and hashed here."""
    hashed = kv_rwset_pb2.HashedRWSet()
    for key, version in reads:
        set_version(hashed.hashed_reads.add(key_hash=_hash(key.encode())), version)
    for key, value in writes:
        write = hashed.hashed_writes.add(key_hash=_hash(key.encode()), is_delete=value is None)
        if value is not None:
            write.value_hash = _hash(value)
    for key, value in metadata:
        metadata_write = hashed.metadata_writes.add(key_hash=_hash(key.encode()))
        if value is not None:
            metadata_write.entries.add(name=VALIDATION_PARAMETER, value=value)
    part = rwset_pb2.CollectionHashedReadWriteSet(
        collection_name=collection, hashed_rwset=hashed.SerializeToString(), pvt_rwset_hash=bytes(32)
    )
    encoded = public.SerializeToString() if public is not None else b""
    return rwset_pb2.NsReadWriteSet(namespace=namespace, rwset=encoded, collection_hashed_rwset=[part])


def range_query(start: str, end: str, found: Sequence[tuple[str, VersionPair]], *, exhausted: bool = True) -> Any:
    """A RangeQueryInfo with its results recorded raw."""
    info = kv_rwset_pb2.RangeQueryInfo(start_key=start, end_key=end, itr_exhausted=exhausted)
    info.raw_reads.SetInParent()
    for key, version in found:
        set_version(info.raw_reads.kv_reads.add(key=key), version)
    return info


def set_version(read: Any, version: VersionPair | None) -> None:
    """Set a read's version; (0, 0) is present and empty, None absent."""
    if version is not None:
        read.version.SetInParent()
        read.version.block_num, read.version.tx_num = version


async def broadcast(network: Network, envelopes: Sequence[bytes]) -> list[int]:
    """Send envelopes to the orderer in this order; its status for each (200: accepted)."""
    options = [("grpc.ssl_target_name_override", network.orderer.host)]
    credentials = grpc.ssl_channel_credentials(network.orderer.tls_ca_path.read_bytes())
    statuses = []
    async with grpc.aio.secure_channel(network.orderer.endpoint, credentials, options=options) as channel:
        stream = channel.stream_stream("/orderer.AtomicBroadcast/Broadcast")()
        for envelope in envelopes:
            await stream.write(envelope)
            statuses.append(ab_pb2.BroadcastResponse.FromString(await stream.read()).status)
        await stream.done_writing()
        stream.cancel()
    return statuses


def _hash(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
