"""Blocks in a peer's own file format, so that whatever reads a peer's ledger reads this one.

Source: Fabric 2.5.9 common/ledger/blkstorage/{blockfile_mgr,block_serialization}.go. It is not the protobuf encoding. A
block that was cut short by the end of its process is dropped when the file is opened again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from fabric_protos.common import common_pb2

from cloister.errors import EnvironmentFailed
from cloister.fabric.wire_format import encode_varint
from cloister.ledger.sources import decode_stored_block, read_varint

NAME = "blockfile_000000"


class Blocks(Protocol):
    """All blocks of a channel, by number."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def append(self, block: bytes) -> None:
        """Keep the next block (serialised `common.Block`)."""
        ...

    def read(self, number: int) -> bytes:
        """A block. Raises: KeyError."""
        ...

    def close(self) -> None:
        """Nothing can be used any more."""
        ...


class MemoryBlocks:
    """Gone with the process."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def __len__(self) -> int:
        return len(self._blocks)

    def append(self, block: bytes) -> None:
        """Keep the next block."""
        self._blocks.append(block)

    def read(self, number: int) -> bytes:
        """A block. Raises: KeyError."""
        if not 0 <= number < len(self._blocks):
            raise KeyError(number)
        return self._blocks[number]

    def close(self) -> None:
        """Nothing to close."""


class FileBlocks:
    """In `FOLDER/blockfile_000000`; the folder's name is the channel's."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / NAME).open("a+b", buffering=0)
        except OSError as error:
            raise EnvironmentFailed(f"{folder}: {error.strerror}") from error
        self._places: list[tuple[int, int]] = []
        self._find_blocks()

    def __len__(self) -> int:
        return len(self._places)

    def append(self, block: bytes) -> None:
        """Write the next block: one write, so that it is there or cut short, and never followed by another one."""
        body = _encode(block)
        prefix = encode_varint(len(body))
        start = self._file.seek(0, os.SEEK_END) + len(prefix)
        self._file.write(prefix + body)
        self._places.append((start, len(body)))

    def read(self, number: int) -> bytes:
        """A block. Raises: KeyError."""
        if not 0 <= number < len(self._places):
            raise KeyError(number)
        start, length = self._places[number]
        self._file.seek(start)
        return decode_stored_block(self._file.read(length))

    def close(self) -> None:
        """Nothing can be used any more."""
        self._file.close()

    def _find_blocks(self) -> None:
        self._file.seek(0)
        content, offset = self._file.readall(), 0
        while offset < len(content):
            try:
                length, start = read_varint(content, offset)
            except IndexError:
                break
            if start + length > len(content):
                break
            self._places.append((start, length))
            offset = start + length
        self._file.truncate(offset)


def _encode(encoded: bytes) -> bytes:
    block = common_pb2.Block.FromString(encoded)
    transactions, metadata = block.data.data, block.metadata.metadata
    parts = [
        encode_varint(block.header.number),
        _prefixed(block.header.data_hash),
        _prefixed(block.header.previous_hash),
        encode_varint(len(transactions)),
        *map(_prefixed, transactions),
        encode_varint(len(metadata)),
        *map(_prefixed, metadata),
    ]
    return b"".join(parts)


def _prefixed(content: bytes) -> bytes:
    return encode_varint(len(content)) + content
