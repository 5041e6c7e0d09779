"""The block chain: numbering, links, data, and the orderers' signatures. A block that fails here gets no verdicts.

Source: Fabric 2.5.9 internal/peer/gossip/mcs.go (VerifyBlock), protoutil/{blockutils,txutils}.go,
common/deliverclient/block_verification.go (3.1), protoutil BlockSignatureVerifier (BFT).
Steps: 1 number · 2 previous hash · 3 data present, every envelope well formed (not for a config block) · 4 data hash ·
5 signatures satisfy BlockValidation; under BFT also by a quorum that is counted here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.msp import identities_pb2

from cloister.errors import MalformedInput
from cloister.fabric.block import Block, encode_header
from cloister.fabric.decoding import decode_message

from .channel_config import ChannelConfig
from .errors import LedgerHalted
from .policies import SignedItem, valid_signers

BLOCK_VALIDATION = "/Channel/Orderer/BlockValidation"
_SIGNATURES = 0


def verify_link(block: Block, *, number: int, previous_hash: bytes) -> None:
    """Steps 1 to 4. Raises: LedgerHalted (reason: number, previous-hash, data, data-hash)."""
    if block.number != number:
        raise LedgerHalted(f"expected block {number}, got {block.number}", reason="number", block_number=number)
    if block.previous_hash != previous_hash:
        raise LedgerHalted("does not follow the block before", reason="previous-hash", block_number=number)
    if not block.transactions:
        raise LedgerHalted("without transactions", reason="data", block_number=number)
    if not is_config_block(block):
        for envelope in block.transactions:
            _require_well_formed(envelope, number)
    if not block.data_hash_matches:
        raise LedgerHalted("data does not match the header", reason="data-hash", block_number=number)


def verify_signatures(block: Block, config: ChannelConfig) -> None:
    """Step 5. Raises: LedgerHalted(reason="block-signatures")."""
    items = _signed_items(block, config)
    identities = valid_signers(items, config.msps)
    number = block.number
    if not config.policy(BLOCK_VALIDATION).evaluate(identities):
        raise LedgerHalted("signatures do not satisfy BlockValidation", reason="block-signatures", block_number=number)
    if config.bft and config.consenters:
        known = {(item.msp_id, item.certificate) for item in config.consenters}
        signers = valid_signers([item for item in items if _in(item.identity, known)], config.msps)
        if len(signers) < quorum(len(config.consenters)):
            raise LedgerHalted("fewer orderers than the quorum", reason="block-signatures", block_number=number)


def quorum(orderers: int) -> int:
    """ceil((n + f + 1) / 2) with f = floor((n - 1) / 3): how many BFT orderers must have signed."""
    faulty = (orderers - 1) // 3
    return -(-(orderers + faulty + 1) // 2)


def is_config_block(block: Block) -> bool:
    """Exactly one transaction, of type CONFIG."""
    if len(block.transactions) != 1:
        return False
    try:
        envelope = decode_message(common_pb2.Envelope(), block.transactions[0], "envelope")
        payload = decode_message(common_pb2.Payload(), envelope.payload, "payload")
        header = decode_message(common_pb2.ChannelHeader(), payload.header.channel_header, "channel header")
    except MalformedInput:
        return False
    return bool(header.type == common_pb2.CONFIG)


def _require_well_formed(encoded: bytes, number: int) -> None:
    """Payload and signature present, and the one encoding: so that transactions cannot be cut differently."""
    try:
        envelope = decode_message(common_pb2.Envelope(), encoded, "envelope")
    except MalformedInput as error:
        raise LedgerHalted("a transaction is not well formed", reason="data", block_number=number) from error
    if not envelope.payload or not envelope.signature or envelope.SerializeToString() != encoded:
        raise LedgerHalted("a transaction is not well formed", reason="data", block_number=number)


def _signed_items(block: Block, config: ChannelConfig) -> list[SignedItem]:
    if not block.metadata:
        raise LedgerHalted("without metadata", reason="block-signatures", block_number=block.number)
    header = encode_header(block.number, block.previous_hash, block.data_hash)
    try:
        metadata = decode_message(common_pb2.Metadata(), block.metadata[_SIGNATURES], "block metadata")
        return [
            item
            for signature in metadata.signatures
            for item in _signed_item(signature, metadata.value, header, config)
        ]
    except MalformedInput as error:
        raise LedgerHalted("signatures do not decode", reason="block-signatures", block_number=block.number) from error


def _signed_item(signature: Any, value: bytes, header: bytes, config: ChannelConfig) -> Sequence[SignedItem]:
    if config.bft and not signature.signature_header and signature.identifier_header:
        identifier = decode_message(common_pb2.IdentifierHeader(), signature.identifier_header, "identifier header")
        for item in config.consenters:
            if item.identifier == identifier.identifier:
                identity = identities_pb2.SerializedIdentity(mspid=item.msp_id, id_bytes=item.certificate)
                message = value + signature.identifier_header + header
                return (SignedItem(identity.SerializeToString(), message, signature.signature),)
        return ()
    creator = decode_message(common_pb2.SignatureHeader(), signature.signature_header, "signature header").creator
    return (SignedItem(creator, value + signature.signature_header + header, signature.signature),)


def _in(identity: bytes, known: set[tuple[str, bytes]]) -> bool:
    try:
        message = decode_message(identities_pb2.SerializedIdentity(), identity, "identity")
    except MalformedInput:
        return False
    return (message.mspid, message.id_bytes) in known
