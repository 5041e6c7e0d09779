"""Transactions of any kind, endorsed with the peers' own keys and sent past the Gateway straight to the orderer.

A test network's keys are the test's, so whatever a colluding channel could commit can be made here.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from fabric_protos.common import common_pb2
from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from fabric_protos.orderer import ab_pb2
from fabric_protos.peer import chaincode_pb2, proposal_pb2, proposal_response_pb2, transaction_pb2

from cloister.fabric.identity import SerializedIdentity, to_low_s
from cloister.fabric.proposal import build_proposal
from cloister.network import Network, Organisation


@dataclass(frozen=True)
class Signer:
    """A serialised identity and its key."""

    creator: bytes
    key: ec.EllipticCurvePrivateKey

    def sign(self, message: bytes) -> bytes:
        return to_low_s(self.key.sign(message, ec.ECDSA(hashes.SHA256())), self.key.curve)


def client_signer(organisation: Organisation, user: str = "User1") -> Signer:
    files = organisation.user(user)
    return _signer(organisation.msp_id, files.cert_path, files.key_path)


def peer_signer(organisation: Organisation) -> Signer:
    return signer_of(organisation.msp_id, organisation.peer_crypto / "msp")


def signer_of(msp_id: str, folder: Path) -> Signer:
    """The identity in a local MSP folder."""
    certificate = next((folder / "signcerts").iterdir())
    return _signer(msp_id, certificate, folder / "keystore" / "priv_sk")


def _signer(msp_id: str, certificate: Path, key: Path) -> Signer:
    loaded = load_pem_private_key(key.read_bytes(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    return Signer(SerializedIdentity(msp_id, certificate.read_bytes()).encode(), loaded)


@dataclass
class Draft:
    """A transaction to be forged; every field may be bent before `envelope`."""

    channel: str
    chaincode: str
    client: Signer
    endorsers: Sequence[Signer]
    namespaces: list[tuple[str, Any]] = field(default_factory=list)
    """(namespace, KVRWSet)."""
    results: bytes | None = None
    action: Callable[[Any], None] = lambda action: None
    header: Callable[[Any], None] = lambda header: None
    response: Callable[[Any], None] = lambda response: None
    payload: Callable[[Any], None] = lambda payload: None
    endorsements: Callable[[Any], None] = lambda endorsed: None
    nonce: bytes = field(default_factory=lambda: os.urandom(24))

    def envelope(self) -> bytes:
        """The signed envelope."""
        proposal = build_proposal(
            channel=self.channel,
            chaincode=self.chaincode,
            arguments=[b"forged"],
            creator=self.client.creator,
            nonce=self.nonce,
            timestamp_ns=time.time_ns(),
        )
        parsed = proposal_pb2.Proposal.FromString(proposal.encoded)
        header = common_pb2.Header.FromString(parsed.header)
        channel_header = common_pb2.ChannelHeader.FromString(header.channel_header)
        self.header(channel_header)
        header.channel_header = channel_header.SerializeToString()
        payload = proposal_pb2.ChaincodeProposalPayload.FromString(parsed.payload).SerializeToString()
        action = proposal_pb2.ChaincodeAction(
            results=self._results(),
            chaincode_id=chaincode_pb2.ChaincodeID(name=self.chaincode, version="1.0"),
        )
        action.response.status = 200
        self.action(action)
        response = proposal_response_pb2.ProposalResponsePayload(
            proposal_hash=hashlib.sha256(header.channel_header + header.signature_header + payload).digest(),
            extension=action.SerializeToString(),
        )
        self.response(response)
        encoded = response.SerializeToString()
        endorsed = transaction_pb2.ChaincodeEndorsedAction(proposal_response_payload=encoded)
        for endorser in self.endorsers:
            endorsed.endorsements.add(endorser=endorser.creator, signature=endorser.sign(encoded + endorser.creator))
        self.endorsements(endorsed)
        transaction = transaction_pb2.Transaction(
            actions=[
                transaction_pb2.TransactionAction(
                    header=header.signature_header,
                    payload=transaction_pb2.ChaincodeActionPayload(
                        chaincode_proposal_payload=payload, action=endorsed
                    ).SerializeToString(),
                )
            ]
        )
        outer = common_pb2.Payload(header=header, data=transaction.SerializeToString())
        self.payload(outer)
        bytes_ = outer.SerializeToString()
        signature = self.client.sign(bytes_)
        return common_pb2.Envelope(payload=bytes_, signature=signature).SerializeToString()  # type: ignore[no-any-return]

    def _results(self) -> bytes:
        if self.results is not None:
            return self.results
        return rwset_pb2.TxReadWriteSet(  # type: ignore[no-any-return]
            ns_rwset=[
                rwset_pb2.NsReadWriteSet(namespace=name, rwset=rwset.SerializeToString())
                for name, rwset in self.namespaces
            ]
        ).SerializeToString()


def rwset(
    *,
    reads: Sequence[tuple[str, tuple[int, int] | None]] = (),
    writes: Sequence[tuple[str, bytes | None]] = (),
    metadata: Sequence[tuple[str, bytes | None]] = (),
    ranges: Sequence[Any] = (),
) -> Any:
    """A KVRWSet: reads with versions, writes (None deletes), endorsement parameters (None removes), ranges."""
    found = kv_rwset_pb2.KVRWSet(range_queries_info=list(ranges))
    for key, version in reads:
        read = found.reads.add(key=key)
        if version is not None:
            read.version.SetInParent()
            read.version.block_num, read.version.tx_num = version
    for key, value in writes:
        found.writes.add(key=key, is_delete=value is None, value=value or b"")
    for key, value in metadata:
        write = found.metadata_writes.add(key=key)
        if value is not None:
            write.entries.add(name="VALIDATION_PARAMETER", value=value)
    return found


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
