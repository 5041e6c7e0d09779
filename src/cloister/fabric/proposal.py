"""Chaincode proposals: built by clients, parsed by enclaves.

Trust level: pure, measured into enclaves.
Sources: Fabric 2.5.9 protoutil/proputils.go (CreateChaincodeProposalWithTxIDNonceAndTransient, ComputeTxID,
GetProposalHash1), core/endorser/msgvalidation.go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fabric_protos.common import common_pb2
from fabric_protos.peer import chaincode_pb2, proposal_pb2
from google.protobuf.message import Message

from .decoding import decode_message

NONCE_BYTES = 24
"""Length of a nonce in bytes. Fabric takes any; fixed here because SHA-256(nonce + creator) has no boundary."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal ready to be signed: `encoded` is the serialised `protos.Proposal`; the signature is over it.

    `proposal_hash` is 32 bytes, as Fabric computes it (without transient data).
    """

    encoded: bytes
    proposal_hash: bytes
    transaction_id: str
    channel: str
    chaincode: str


@dataclass(frozen=True, slots=True)
class ParsedProposal:
    """What a signed proposal says, nothing of it verified but its well-formedness.

    `signed_bytes` and `signature` are as received; `proposal_hash` is 32 bytes, as Fabric computes it (without
    transient data); `arguments` are the chaincode input's arguments, the first one usually the function name.
    """

    signed_bytes: bytes
    signature: bytes
    proposal_hash: bytes
    header_type: int
    channel: str
    transaction_id: str
    epoch: int
    timestamp_seconds: int
    timestamp_nanos: int
    creator: bytes
    nonce: bytes
    extension_chaincode: str
    spec_chaincode: str
    arguments: tuple[bytes, ...]
    is_init: bool
    has_decorations: bool
    transient: Mapping[str, bytes]


def compute_transaction_id(nonce: bytes, creator: bytes) -> str:
    """Lower-case hex SHA-256(nonce + creator), 64 characters."""
    return hashlib.sha256(nonce + creator).hexdigest()


def build_proposal(
    *,
    channel: str,
    chaincode: str,
    arguments: Sequence[bytes],
    creator: bytes,
    nonce: bytes,
    timestamp_ns: int,
    transient: Mapping[str, bytes] | None = None,
    is_init: bool = False,
) -> Proposal:
    """Build an endorser-transaction proposal (header type 3, epoch 0).

    Shape: `creator` is a serialised identity, `nonce` NONCE_BYTES random bytes, `timestamp_ns` nanoseconds since 1970.
    An empty `channel` is allowed, as for installing chaincode.
    Raises: ValueError on a nonce of another length.
    """
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"nonce: expected {NONCE_BYTES} bytes, got {len(nonce)}")
    transaction_id = compute_transaction_id(nonce, creator)
    chaincode_id = chaincode_pb2.ChaincodeID(name=chaincode)
    header = common_pb2.ChannelHeader(
        type=common_pb2.ENDORSER_TRANSACTION,
        channel_id=channel,
        tx_id=transaction_id,
        extension=_encode(proposal_pb2.ChaincodeHeaderExtension(chaincode_id=chaincode_id)),
    )
    header.timestamp.seconds, header.timestamp.nanos = divmod(timestamp_ns, 1_000_000_000)
    spec = chaincode_pb2.ChaincodeInvocationSpec(
        chaincode_spec=chaincode_pb2.ChaincodeSpec(
            type=chaincode_pb2.ChaincodeSpec.GOLANG,  # what the official clients send; peers do not look at it
            chaincode_id=chaincode_id,
            input=chaincode_pb2.ChaincodeInput(args=list(arguments), is_init=is_init),
        )
    )
    channel_header = _encode(header)
    signature_header = _encode(common_pb2.SignatureHeader(creator=creator, nonce=nonce))
    payload = proposal_pb2.ChaincodeProposalPayload(input=_encode(spec))
    proposal_hash = hashlib.sha256(channel_header + signature_header + _encode(payload)).digest()
    payload.TransientMap.update(transient or {})
    proposal = proposal_pb2.Proposal(
        header=_encode(common_pb2.Header(channel_header=channel_header, signature_header=signature_header)),
        payload=_encode(payload),
    )
    return Proposal(_encode(proposal), proposal_hash, transaction_id, channel, chaincode)


def encode_signed_proposal(proposal: bytes, signature: bytes) -> bytes:
    """Serialised `protos.SignedProposal`."""
    return _encode(proposal_pb2.SignedProposal(proposal_bytes=proposal, signature=signature))


def parse_signed_proposal(encoded: bytes) -> ParsedProposal:
    """Parse a `protos.SignedProposal` down to the chaincode's arguments.

    Raises: MalformedInput, and nothing else, for any bytes.
    Not here: signature, transaction id, names: `trusted/chaincode/admission.py` judges them.
    """
    signed = decode_message(proposal_pb2.SignedProposal(), encoded, "signed proposal")
    proposal = decode_message(proposal_pb2.Proposal(), signed.proposal_bytes, "proposal")
    header = decode_message(common_pb2.Header(), proposal.header, "header")
    channel_header = decode_message(common_pb2.ChannelHeader(), header.channel_header, "channel header")
    signature_header = decode_message(common_pb2.SignatureHeader(), header.signature_header, "signature header")
    extension = decode_message(proposal_pb2.ChaincodeHeaderExtension(), channel_header.extension, "header extension")
    payload = decode_message(proposal_pb2.ChaincodeProposalPayload(), proposal.payload, "proposal payload")
    spec = decode_message(chaincode_pb2.ChaincodeInvocationSpec(), payload.input, "chaincode invocation").chaincode_spec
    bare_payload = _encode(proposal_pb2.ChaincodeProposalPayload(input=payload.input))
    return ParsedProposal(
        signed_bytes=signed.proposal_bytes,
        signature=signed.signature,
        proposal_hash=hashlib.sha256(header.channel_header + header.signature_header + bare_payload).digest(),
        header_type=channel_header.type,
        channel=channel_header.channel_id,
        transaction_id=channel_header.tx_id,
        epoch=channel_header.epoch,
        timestamp_seconds=channel_header.timestamp.seconds,
        timestamp_nanos=channel_header.timestamp.nanos,
        creator=signature_header.creator,
        nonce=signature_header.nonce,
        extension_chaincode=extension.chaincode_id.name,
        spec_chaincode=spec.chaincode_id.name,
        arguments=tuple(spec.input.args),
        is_init=spec.input.is_init,
        has_decorations=bool(spec.input.decorations),
        transient=dict(payload.TransientMap),
    )


def _encode(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)
