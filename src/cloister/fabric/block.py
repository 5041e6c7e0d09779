"""Blocks: header hash, data hash, transactions, metadata.

Trust level: pure, measured into enclaves. Nothing is verified here; `data_hash_matches` is a question to be asked.
Source: Fabric 2.5.9 protoutil/blockutils.go. The header hash is SHA-256 over DER SEQUENCE { INTEGER number, OCTET
STRING previous hash, OCTET STRING data hash }, whatever hash the channel's configuration names.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from fabric_protos.common import common_pb2

from cloister.errors import MalformedInput

from .byte_fields import split_fields, split_repeated
from .decoding import decode_message
from .der import INTEGER, OCTET_STRING, SEQUENCE, encode_element

_TAGS = b"\x0a\x12\x1a"
"""Of header, data and metadata, fields 1 to 3 of `common.Block`."""
_ITEM = b"\x0a"
"""Tag of field 1 of `common.BlockData` and of `common.BlockMetadata`."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block. `transactions` are serialised envelopes; `metadata` is indexed by BlockMetadataIndex."""

    number: int
    previous_hash: bytes
    data_hash: bytes
    transactions: tuple[bytes, ...]
    metadata: tuple[bytes, ...]

    @property
    def header_hash(self) -> bytes:
        """32 bytes: what the next block's previous hash must be."""
        return hashlib.sha256(encode_header(self.number, self.previous_hash, self.data_hash)).digest()

    @property
    def data_hash_matches(self) -> bool:
        """Whether the transactions are those that the header commits to."""
        return compute_data_hash(self.transactions) == self.data_hash


def parse_block(encoded: bytes) -> Block:
    """Parse a serialised `common.Block`. Raises: MalformedInput, and nothing else, for any bytes."""
    plain = _split_block(encoded)
    if plain is not None:
        return plain
    block = decode_message(common_pb2.Block(), encoded, "block")
    if not block.HasField("header"):
        raise MalformedInput("block: no header", field="header")
    return Block(
        number=block.header.number,
        previous_hash=block.header.previous_hash,
        data_hash=block.header.data_hash,
        transactions=tuple(block.data.data),
        metadata=tuple(block.metadata.metadata),
    )


def _split_block(encoded: bytes) -> Block | None:
    """A plainly encoded block of header, data and metadata; None if it is none."""
    found = split_fields(encoded)
    if found is None or found[0] != _TAGS:
        return None
    encoded_header, encoded_data, encoded_metadata = found[1]
    data, metadata = split_repeated(encoded_data, _ITEM), split_repeated(encoded_metadata, _ITEM)
    if data is None or metadata is None:
        return None
    header = decode_message(common_pb2.BlockHeader(), encoded_header, "block")
    return Block(header.number, header.previous_hash, header.data_hash, tuple(data), tuple(metadata))


def compute_data_hash(transactions: tuple[bytes, ...]) -> bytes:
    """SHA-256 over the transactions one after the other, without lengths: their boundaries are not protected."""
    digest = hashlib.sha256()
    for transaction in transactions:
        digest.update(transaction)
    return digest.digest()


def encode_header(number: int, previous_hash: bytes, data_hash: bytes) -> bytes:
    """The DER encoding that is hashed and signed. `number` is unsigned, 64 bits."""
    integer = number.to_bytes(number.bit_length() // 8 + 1, "big")  # a leading zero byte where the top bit is set
    hashes = encode_element(OCTET_STRING, previous_hash) + encode_element(OCTET_STRING, data_hash)
    return encode_element(SEQUENCE, encode_element(INTEGER, integer) + hashes)
