"""What is taken apart without the library is what the library reads, and only what the library would write."""

from __future__ import annotations

from fabric_protos.common import common_pb2
from hypothesis import given
from hypothesis import strategies as st

from cloister.errors import MalformedInput
from cloister.fabric.block import Block, parse_block
from cloister.fabric.byte_fields import split_fields, split_repeated
from cloister.fabric.decoding import decode_message
from cloister.fabric.wire_format import encode_varint

CONTENTS = st.lists(
    st.one_of(st.binary(max_size=6), st.sampled_from([bytes(size) for size in (127, 128, 16383, 16384)]))
)
BLOCKS = st.builds(
    lambda number, hashes, data, metadata: common_pb2.Block(
        header=common_pb2.BlockHeader(number=number, previous_hash=hashes[0], data_hash=hashes[1]),
        data=common_pb2.BlockData(data=data),
        metadata=common_pb2.BlockMetadata(metadata=metadata),
    ).SerializeToString(),
    st.integers(0, 2**64 - 1),
    st.tuples(st.binary(max_size=33), st.binary(max_size=33)),
    CONTENTS,
    CONTENTS,
)


def by_the_library(encoded: bytes) -> Block | None:
    try:
        block = decode_message(common_pb2.Block(), encoded, "block")
    except MalformedInput:
        return None
    if not block.HasField("header"):
        return None
    header = block.header
    items = tuple(block.data.data), tuple(block.metadata.metadata)
    return Block(header.number, header.previous_hash, header.data_hash, *items)


def by_us(encoded: bytes) -> Block | None:
    try:
        return parse_block(encoded)
    except MalformedInput:
        return None


@given(CONTENTS)
def test_what_the_library_writes_is_split_into_what_it_read(contents: list[bytes]) -> None:
    encoded = common_pb2.BlockData(data=contents).SerializeToString()
    assert split_repeated(encoded, b"\x0a") == contents
    assert split_fields(encoded) == (b"\x0a" * len(contents), contents)


@given(st.binary(max_size=40))
def test_what_is_split_the_library_writes_the_same(encoded: bytes) -> None:
    contents = split_repeated(encoded, b"\x0a")
    if contents is not None:
        assert common_pb2.BlockData(data=contents).SerializeToString() == encoded


def test_longer_lengths_than_need_be_and_cut_ones_are_left_to_the_library() -> None:
    for content in (b"", b"x", bytes(128)):
        shortest = encode_varint(len(content))
        longer = shortest[:-1] + bytes((shortest[-1] | 0x80, 0))
        assert split_fields(b"\x0a" + shortest + content) == (b"\x0a", [content])
        assert split_fields(b"\x0a" + longer + content) is None
        assert split_fields(b"\x0a" + shortest + content + b"\x0a") is None
    assert split_fields(b"\x0a" + b"\xff" * 100_000) is None
    assert split_fields(b"\x0a\x05abcd") is None


@given(BLOCKS, st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), max_size=2), st.integers(0, 40))
def test_blocks_read_as_the_library_reads_them(sound: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    assert by_us(sound) == by_the_library(sound) is not None
    damaged = bytearray(sound)
    for offset, value in changes:
        damaged[offset % min(len(damaged), 80)] = value
    for encoded in (bytes(damaged), bytes(damaged[: len(damaged) - cut]), sound + sound, sound + bytes(damaged[:cut])):
        assert by_us(encoded) == by_the_library(encoded)
