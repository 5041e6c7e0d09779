"""What one proposal asks for, as everything that runs for it needs it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.peer import chaincode_pb2, proposal_pb2

from cloister.errors import MalformedInput
from cloister.fabric.decoding import decode_message
from cloister.fabric.proposal import compute_transaction_id
from cloister.trusted.ledger.policies import SignedItem

from .errors import ProposalRefused


@dataclass(frozen=True)
class Invocation:
    """A proposal taken apart. `signed` is the `protos.SignedProposal`, `input` the `protos.ChaincodeInput`."""

    signed: Any
    header: Any
    channel: str
    transaction_id: str
    creator: bytes
    chaincode: str
    input: Any
    payload: Any
    proposal_hash: bytes

    @property
    def signed_item(self) -> SignedItem:
        """Who claims to have signed it."""
        return SignedItem(self.creator, self.signed.proposal_bytes, self.signed.signature)

    @property
    def arguments(self) -> Sequence[bytes]:
        """The chaincode's arguments."""
        return tuple(self.input.args)


def parse_invocation(signed: Any) -> Invocation:
    """From a `protos.SignedProposal`. Raises: ProposalRefused.

    Source: Fabric 2.5.9 core/endorser/msgvalidation.go. Not here: who signed it.
    """
    try:
        return _parse(signed)
    except MalformedInput as error:
        raise ProposalRefused(f"error unmarshalling proposal: {error.message}") from error


def _parse(signed: Any) -> Invocation:
    proposal = decode_message(proposal_pb2.Proposal(), signed.proposal_bytes, "Proposal")
    header = decode_message(common_pb2.Header(), proposal.header, "Header")
    channel_header = decode_message(common_pb2.ChannelHeader(), header.channel_header, "ChannelHeader")
    signature_header = decode_message(common_pb2.SignatureHeader(), header.signature_header, "SignatureHeader")
    extension = decode_message(proposal_pb2.ChaincodeHeaderExtension(), channel_header.extension, "extension")
    payload = decode_message(proposal_pb2.ChaincodeProposalPayload(), proposal.payload, "ChaincodeProposalPayload")
    spec = decode_message(chaincode_pb2.ChaincodeInvocationSpec(), payload.input, "ChaincodeInvocationSpec")
    _check(channel_header, signature_header, extension, spec.chaincode_spec)
    bare = proposal_pb2.ChaincodeProposalPayload(input=payload.input).SerializeToString()
    return Invocation(
        signed=signed,
        header=header,
        channel=channel_header.channel_id,
        transaction_id=channel_header.tx_id,
        creator=signature_header.creator,
        chaincode=extension.chaincode_id.name,
        input=spec.chaincode_spec.input,
        payload=payload,
        proposal_hash=hashlib.sha256(header.channel_header + header.signature_header + bare).digest(),
    )


def _check(channel_header: Any, signature_header: Any, extension: Any, spec: Any) -> None:
    if channel_header.type not in (common_pb2.ENDORSER_TRANSACTION, common_pb2.CONFIG):
        kind = common_pb2.HeaderType.Name(channel_header.type)
        raise ProposalRefused(f"error validating proposal: invalid header type {kind}")
    if channel_header.epoch:
        raise ProposalRefused("error validating proposal: epoch is non-zero")
    if not signature_header.nonce:
        raise ProposalRefused("error validating proposal: nonce is empty")
    if not signature_header.creator:
        raise ProposalRefused("error validating proposal: creator is empty")
    expected = compute_transaction_id(signature_header.nonce, signature_header.creator)
    if channel_header.tx_id != expected:
        raise ProposalRefused(
            f"error validating proposal: incorrectly computed txid '{channel_header.tx_id}' -- expected '{expected}'"
        )
    if not extension.chaincode_id.name:
        raise ProposalRefused("error unmarshalling proposal: chaincode name is empty")
    if extension.chaincode_id.name != spec.chaincode_id.name:
        raise ProposalRefused("error validating proposal: chaincode names in header and payload differ")
