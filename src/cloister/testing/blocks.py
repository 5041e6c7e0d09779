"""Blocks as orderers make them, with whatever transactions and signers a test wants.

Source: Fabric 2.5.9 orderer/common/multichannel/blockwriter.go; 3.1.5 orderer/consensus/smartbft/{assembler,signer}.go,
protoutil/blockutils.go (identifier headers).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fabric_protos.common import common_pb2

from cloister.fabric.block import compute_data_hash, encode_header

from .signers import Signer

_NONCE = b"n" * 24
"""Always the same: blocks that are made again are equal."""


@dataclass(frozen=True)
class Consenter:
    """Signs blocks under its number in the consenter mapping, as BFT orderers do, not with its certificate."""

    identifier: int
    signer: Signer


BlockSigner = Signer | Consenter


def make_block(
    number: int,
    previous_hash: bytes,
    transactions: Sequence[bytes],
    signers: Sequence[BlockSigner],
    *,
    last_config: int = 0,
    nonce: bytes = _NONCE,
) -> bytes:
    """The serialised `common.Block` with a signature of every signer, each with this nonce (24 bytes)."""
    data_hash = compute_data_hash(tuple(transactions))
    header = encode_header(number, previous_hash, data_hash)
    value = common_pb2.OrdererBlockMetadata(last_config=common_pb2.LastConfig(index=last_config)).SerializeToString()
    metadata = common_pb2.Metadata(value=value)
    metadata.signatures.extend(sign_block(signer, value, header, nonce=nonce) for signer in signers)
    last = common_pb2.Metadata(value=common_pb2.LastConfig(index=last_config).SerializeToString())
    block = common_pb2.Block(
        header=common_pb2.BlockHeader(number=number, previous_hash=previous_hash, data_hash=data_hash),
        data=common_pb2.BlockData(data=list(transactions)),
        metadata=common_pb2.BlockMetadata(
            metadata=[metadata.SerializeToString(), last.SerializeToString(), b"", b"", b""]
        ),
    )
    encoded: bytes = block.SerializeToString()
    return encoded


def sign_block(signer: BlockSigner, value: bytes, header: bytes, *, nonce: bytes = _NONCE) -> Any:
    """A `common.MetadataSignature`. `value`: of the SIGNATURES metadata; `header`: as `encode_header` gives it."""
    if isinstance(signer, Consenter):
        signed = common_pb2.IdentifierHeader(identifier=signer.identifier, nonce=nonce).SerializeToString()
        signature = signer.signer.sign(value + signed + header)
        return common_pb2.MetadataSignature(identifier_header=signed, signature=signature)
    signed = common_pb2.SignatureHeader(creator=signer.creator, nonce=nonce).SerializeToString()
    return common_pb2.MetadataSignature(signature_header=signed, signature=signer.sign(value + signed + header))


def bend_block(encoded: bytes, change: Callable[[Any], None]) -> bytes:
    """The block after a change of the generated message."""
    block = common_pb2.Block.FromString(encoded)
    change(block)
    bent: bytes = block.SerializeToString()
    return bent
