"""Blocks as a peer's block files hold them."""

from __future__ import annotations

from pathlib import Path

import pytest
from fabric_protos.common import common_pb2

from cloister.embedded.block_file import NAME, FileBlocks, MemoryBlocks
from cloister.ledger.sources import open_source


def block(number: int, size: int = 300) -> bytes:
    message = common_pb2.Block(
        header=common_pb2.BlockHeader(number=number, previous_hash=b"p" * 32, data_hash=b"d" * 32),
        data=common_pb2.BlockData(data=[b"t" * size, b"u"]),
        metadata=common_pb2.BlockMetadata(metadata=[b"signed", b"", b"\0\0"]),
    )
    encoded: bytes = message.SerializeToString()
    return encoded


def test_what_was_written_is_read_again_and_by_ledger_verify_too(tmp_path: Path) -> None:
    written = [block(number, size=10**number) for number in range(5)]
    blocks = FileBlocks(tmp_path / "mychannel")
    for item in written:
        blocks.append(item)
    blocks.close()
    again = FileBlocks(tmp_path / "mychannel")
    assert [again.read(number) for number in range(len(again))] == written
    assert list(open_source(tmp_path, "mychannel").blocks()) == written
    again.append(block(5))
    assert again.read(5) == block(5)
    again.close()


@pytest.mark.parametrize("lost", [1, 100, 360])
def test_a_block_cut_short_is_dropped_and_its_place_used_again(tmp_path: Path, lost: int) -> None:
    blocks = FileBlocks(tmp_path)
    blocks.append(block(0))
    blocks.append(block(1))
    blocks.close()
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:-lost])
    again = FileBlocks(tmp_path)
    assert len(again) == 1
    again.append(block(1, size=7))
    assert [again.read(0), again.read(1)] == [block(0), block(1, size=7)]
    again.close()


@pytest.mark.parametrize("number", [-1, 1])
def test_there_are_no_other_blocks(tmp_path: Path, number: int) -> None:
    for blocks in (FileBlocks(tmp_path), MemoryBlocks()):
        blocks.append(block(0))
        with pytest.raises(KeyError):
            blocks.read(number)
        blocks.close()
