"""Where blocks come from: a folder of serialised blocks, or a peer's own ledger directory.

Source of the block file format: Fabric 2.5.9 common/ledger/blkstorage/{blockfile_mgr,block_serialization}.go. It is not
the protobuf encoding, and the data hash comes before the previous hash.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fabric_protos.common import common_pb2

from cloister.errors import EnvironmentFailed, MalformedInput, UsageError
from cloister.fabric.block import parse_block

_BLOCK_FILES = "blockfile_*"
_GENESIS = "genesis.block"


@dataclass(frozen=True, slots=True)
class BlockSource:
    """Blocks in ascending order; `description` for people."""

    description: str
    count: int | None
    folder: Path
    is_peer_ledger: bool

    def blocks(self) -> Iterator[bytes]:
        """Serialised `common.Block`s. Raises: EnvironmentFailed, MalformedInput."""
        return _peer_blocks(self.folder) if self.is_peer_ledger else _file_blocks(self.folder)


def open_source(path: Path, channel: str | None = None) -> BlockSource:
    """Look at a path: `*.block` files, one channel's block files, or a ledger directory (then by channel).

    Raises: UsageError if there are no blocks, or several channels and none is named; EnvironmentFailed.
    """
    if not path.exists():
        raise EnvironmentFailed(f"{path}: no such file or folder")
    if path.is_file():
        return BlockSource(f"one block, {path.name}", 1, path, is_peer_ledger=False)
    files = list(path.glob("*.block"))
    only_genesis = [file.name for file in files] == [_GENESIS] and any(path.rglob(_BLOCK_FILES))
    if files and not only_genesis:  # a network's folder holds that one beside its ledgers
        return BlockSource(f"{len(files)} block files in {path}", len(files), path, is_peer_ledger=False)
    found = sorted({file.parent for file in path.rglob(_BLOCK_FILES)})
    if channel is not None:
        found = [folder for folder in found if folder.name == channel]
    if len(found) > 1:
        names = ", ".join(str(folder.relative_to(path)) for folder in found)
        raise UsageError(f"{path} holds several ledgers: {names}", hint="give the folder of one")
    if not found:
        raise UsageError(
            f"no blocks in {path}: expected *.block files or a peer's ledger directory",
            hint="a peer's blocks are in its fileSystemPath under ledgersData/chains/chains/CHANNEL",
        )
    return BlockSource(f"ledger of {found[0].name} in {found[0]}", None, found[0], is_peer_ledger=True)


def _file_blocks(path: Path) -> Iterator[bytes]:
    """Ordered by the number inside, whatever the names are."""
    files = [path] if path.is_file() else list(path.glob("*.block"))
    try:
        blocks = [file.read_bytes() for file in files]
    except OSError as error:
        raise EnvironmentFailed(f"{error.filename}: {error.strerror}") from error
    numbered = []
    for file, encoded in zip(files, blocks, strict=True):
        try:
            numbered.append((parse_block(encoded).number, file.name, encoded))
        except MalformedInput as error:
            raise MalformedInput(f"{file}: not a block", field="block") from error
    for _, _, encoded in sorted(numbered):
        yield encoded


def _peer_blocks(folder: Path) -> Iterator[bytes]:
    for file in sorted(folder.glob(_BLOCK_FILES)):
        try:
            content = file.read_bytes()
        except OSError as error:
            raise EnvironmentFailed(f"{file}: {error.strerror}") from error
        offset = 0
        while offset < len(content):
            try:
                length, start = read_varint(content, offset)
                if start + length > len(content):
                    return  # a peer that was killed leaves a last block cut short, and writes it anew
                yield decode_stored_block(content[start : start + length])
            except (IndexError, ValueError) as error:
                raise MalformedInput(f"{file}: no block at byte {offset}", field="block file") from error
            offset = start + length


def decode_stored_block(body: bytes) -> bytes:
    """A block file's entry as serialised `common.Block`. Raises: IndexError, ValueError if it is none."""
    reader = _Reader(body)
    header = common_pb2.BlockHeader(number=reader.varint(), data_hash=reader.bytes(), previous_hash=reader.bytes())
    data = common_pb2.BlockData(data=[reader.bytes() for _ in range(reader.varint())])
    metadata = common_pb2.BlockMetadata(metadata=[reader.bytes() for _ in range(reader.varint())])
    encoded: bytes = common_pb2.Block(header=header, data=data, metadata=metadata).SerializeToString()
    return encoded


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._offset = 0

    def varint(self) -> int:
        value, self._offset = read_varint(self._content, self._offset)
        return value

    def bytes(self) -> bytes:
        length = self.varint()
        end = self._offset + length
        if end > len(self._content):
            raise ValueError("cut short")
        found = self._content[self._offset : end]
        self._offset = end
        return found


def read_varint(content: bytes, offset: int) -> tuple[int, int]:
    """(value, offset behind it). Raises: IndexError if it is cut short; ValueError if it is too long."""
    value = shift = 0
    while True:
        byte = content[offset]
        offset += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, offset
        shift += 7
        if shift > 63:
            raise ValueError("varint too long")
