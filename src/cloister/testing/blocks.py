"""Blocks as a Raft orderer makes them, with whatever transactions and signers a test wants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fabric_protos.common import common_pb2

from cloister.fabric.block import compute_data_hash, encode_header

from .signers import Signer


def make_block(
    number: int,
    previous_hash: bytes,
    transactions: Sequence[bytes],
    signers: Sequence[Signer],
    *,
    last_config: int = 0,
) -> bytes:
    """The serialised `common.Block` with a signature of every signer."""
    data_hash = compute_data_hash(tuple(transactions))
    header = encode_header(number, previous_hash, data_hash)
    value = common_pb2.OrdererBlockMetadata(last_config=common_pb2.LastConfig(index=last_config)).SerializeToString()
    metadata = common_pb2.Metadata(value=value)
    for signer in signers:
        signature_header = common_pb2.SignatureHeader(creator=signer.creator, nonce=b"n" * 24).SerializeToString()
        signature = signer.sign(value + signature_header + header)
        metadata.signatures.add(signature_header=signature_header, signature=signature)
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


def bend_block(encoded: bytes, change: Callable[[Any], None]) -> bytes:
    """The block after a change of the generated message."""
    block = common_pb2.Block.FromString(encoded)
    change(block)
    bent: bytes = block.SerializeToString()
    return bent
