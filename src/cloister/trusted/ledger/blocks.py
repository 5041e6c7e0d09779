"""The block chain: numbering, links, data, and the orderers' signatures. A block that fails here gets no verdicts.

Source: Fabric 2.5.9 internal/peer/gossip/mcs.go (VerifyBlock), protoutil/{blockutils,txutils}.go,
common/deliverclient/block_verification.go (3.1), protoutil BlockSignatureVerifier (BFT).
Steps: 1 number · 2 previous hash · 3 data present, the first envelope of this channel, every one well formed (not for a
config block) · 4 data hash · 5 signatures satisfy BlockValidation; under BFT also by a quorum that is counted here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.msp import identities_pb2

from cloister.errors import MalformedInput
from cloister.fabric.block import Block, encode_header, parse_block
from cloister.fabric.decoding import decode_message

from .channel_config import ChannelConfig
from .errors import LedgerHalted
from .identities import SignatureChecker
from .msp import Identity, Roles, role_principal
from .policies import SignedItem, valid_signers
from .transaction import Transaction, parse_transaction

BLOCK_VALIDATION = "/Channel/Orderer/BlockValidation"
_SIGNATURES = 0


@dataclass(frozen=True, slots=True)
class PreparedBlock:
    """A block with everything that can be found out without configuration and state. `header_hash` is 32 bytes."""

    block: Block
    header_hash: bytes
    transactions: tuple[Transaction, ...]

    @property
    def is_config(self) -> bool:
        """Exactly one transaction, of type CONFIG."""
        return len(self.transactions) == 1 and self.transactions[0].header_type == common_pb2.CONFIG


def prepare_blocks(encoded: Sequence[bytes], checker: SignatureChecker) -> list[PreparedBlock]:
    """Take serialised blocks apart and check all creators' and endorsers' signatures in them at once.

    Raises: LedgerHalted(reason="data") if one does not decode.
    """
    prepared = [_prepare(item) for item in encoded]
    items: list[SignedItem] = []
    for block in prepared:
        for transaction in block.transactions:
            if transaction.creator is not None:
                items.append(transaction.creator)
            items.extend(transaction.endorsements)
    checker.check(items)
    return prepared


def _prepare(encoded: bytes) -> PreparedBlock:
    try:
        block = parse_block(encoded)
    except MalformedInput as error:
        raise LedgerHalted("a block that does not decode", reason="data") from error
    transactions = tuple(parse_transaction(item, index) for index, item in enumerate(block.transactions))
    return PreparedBlock(block, block.header_hash, transactions)


def verify_link(prepared: PreparedBlock, *, channel: str, number: int, previous_hash: bytes) -> None:
    """Steps 1 to 4. Raises: LedgerHalted (reason: number, previous-hash, data, channel, data-hash)."""
    block = prepared.block
    if block.number != number:
        raise LedgerHalted(f"expected block {number}, got {block.number}", reason="number")
    if block.previous_hash != previous_hash:
        raise LedgerHalted("does not follow the block before", reason="previous-hash")
    if not block.transactions:
        raise LedgerHalted("without transactions", reason="data")
    if prepared.transactions[0].channel != channel:  # also if it cannot be read as far as that
        raise LedgerHalted("the first transaction is of another channel", reason="channel")
    if not prepared.is_config and not all(item.well_formed for item in prepared.transactions):
        raise LedgerHalted("a transaction is not well formed", reason="data")
    if not block.data_hash_matches:
        raise LedgerHalted("data does not match the header", reason="data-hash")


def verify_signatures(block: Block, config: ChannelConfig, *, orderers: int = 0) -> None:
    """Step 5; `orderers`: how many distinct identities must have signed in the role of an orderer.

    Raises: LedgerHalted(reason="block-signatures").
    """
    items = _signed_items(block, config)
    identities = valid_signers(items, config.msps)
    if not config.policy(BLOCK_VALIDATION).evaluate(identities):
        raise LedgerHalted("signatures do not satisfy BlockValidation", reason="block-signatures")
    if orderers and sum(_is_orderer(identity, config) for identity in identities) < orderers:
        raise LedgerHalted("fewer orderers than the appraisal policy demands", reason="block-signatures")
    if config.bft and config.consenters:
        known = {(item.msp_id, item.certificate) for item in config.consenters}
        signers = valid_signers([item for item in items if _in(item.identity, known)], config.msps)
        if len(signers) < quorum(len(config.consenters)):
            raise LedgerHalted("fewer orderers than the quorum", reason="block-signatures")


def _is_orderer(identity: Identity, config: ChannelConfig) -> bool:
    return config.msps.satisfies(identity, role_principal(identity.msp_id, Roles.ORDERER))


def quorum(orderers: int) -> int:
    """ceil((n + f + 1) / 2) with f = floor((n - 1) / 3): how many BFT orderers must have signed."""
    faulty = (orderers - 1) // 3
    return -(-(orderers + faulty + 1) // 2)


def _signed_items(block: Block, config: ChannelConfig) -> list[SignedItem]:
    if not block.metadata:
        raise LedgerHalted("without metadata", reason="block-signatures")
    header = encode_header(block.number, block.previous_hash, block.data_hash)
    try:
        metadata = decode_message(common_pb2.Metadata(), block.metadata[_SIGNATURES], "block metadata")
        return [
            item
            for signature in metadata.signatures
            for item in _signed_item(signature, metadata.value, header, config)
        ]
    except MalformedInput as error:
        raise LedgerHalted("signatures do not decode", reason="block-signatures") from error


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
