"""Block hashes: vectors recomputed from Fabric's rules, see the facts stated with each."""

from __future__ import annotations

import contextlib
import hashlib

import pytest
from fabric_protos.common import common_pb2
from hypothesis import given
from hypothesis import strategies as st

from cloister.errors import MalformedInput
from cloister.fabric.block import compute_data_hash, encode_header, parse_block
from cloister.network import Network


def test_header_bytes_of_the_smallest_header() -> None:
    """Origin: executed with Fabric 2.5.9 protoutil.BlockHeaderBytes(0, "", "")."""
    encoded = encode_header(0, b"", b"")
    assert encoded.hex() == "300702010004000400"
    assert hashlib.sha256(encoded).hexdigest() == "1d1c288c6851505be0b47a0f8e7dfb91ab2abe6ad71cef63a3791d14588d1d0e"


def test_header_bytes_of_the_largest_number() -> None:
    """Origin: executed with Fabric 2.5.9, number 2^64 - 1, hashes 01 32 times and 02 32 times."""
    encoded = encode_header(2**64 - 1, b"\1" * 32, b"\2" * 32)
    assert encoded.hex().startswith("304f020900ffffffffffffffff0420")
    assert hashlib.sha256(encoded).hexdigest() == "04ef0f8d995f7f46582885653b0c2a342bda707322a5e29aed1a267dea42711d"


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_are_refused(encoded: bytes) -> None:
    with contextlib.suppress(MalformedInput):
        parse_block(encoded)


def test_a_block_without_header_is_refused() -> None:
    with pytest.raises(MalformedInput):
        parse_block(common_pb2.Block(data=common_pb2.BlockData(data=[b"x"])).SerializeToString())


@pytest.mark.fabric
def test_a_real_genesis_block_has_the_data_hash_that_it_claims(fabric_network: Network) -> None:
    block = parse_block(fabric_network.genesis_block_path.read_bytes())
    assert (block.number, block.previous_hash, len(block.transactions)) == (0, b"", 1)
    assert block.data_hash_matches
    assert compute_data_hash((*block.transactions, b"more")) != block.data_hash
