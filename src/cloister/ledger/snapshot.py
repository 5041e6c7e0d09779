"""A peer's own state, out of the snapshot that `peer snapshot submitrequest` makes of it.

Source: Fabric 2.5.9 core/ledger/kvledger/snapshot.go and txmgmt/privacyenabledstate/snapshot.go. `public_state.data`
and `private_state_hashes.data`: one format byte, then per key uvarint length and `SnapshotRecord` {1 key, 2 value,
3 metadata, 4 version}; the `.metadata` files say how many of them belong to which namespace, in order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2

from cloister.errors import EnvironmentFailed, MalformedInput
from cloister.fabric.decoding import decode_message
from cloister.fabric.transaction import Version
from cloister.trusted.ledger.state import Entry, Space, State

_FORMAT = 1
_HASHED = "$$h"
_SIGNABLE = "_snapshot_signable_metadata.json"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where a snapshot was taken, and every key in it. Hashed keys' values are their hashes."""

    channel: str
    last_block: int
    last_block_hash: bytes
    entries: dict[tuple[Space, bytes], Entry]


@dataclass(frozen=True, slots=True)
class StateDifference:
    """A key on which judge and peer do not agree. `judged` and `peer` describe version and value hash."""

    namespace: str
    collection: str
    key: str
    judged: str
    peer: str


def read_snapshot(folder: Path) -> Snapshot:
    """Read a snapshot's folder. Raises: EnvironmentFailed, MalformedInput."""
    try:
        about = json.loads((folder / _SIGNABLE).read_text("utf-8"))
        entries = dict(_read_state(folder, "public_state")) | dict(_read_state(folder, "private_state_hashes"))
        return Snapshot(
            about["channel_name"], about["last_block_number"], bytes.fromhex(about["last_block_hash"]), entries
        )
    except OSError as error:
        raise EnvironmentFailed(
            f"{error.filename}: {error.strerror}", hint="give the folder that holds public_state.data"
        ) from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise MalformedInput(f"{folder}: not a peer's snapshot", field="snapshot") from error


def compare_state(state: State, snapshot: Snapshot) -> list[StateDifference]:
    """Every key whose value hash, version or metadata differs between the judge's state and the peer's."""
    judged = {
        (space, key): entry for space in state.spaces() for key, entry in state.range(space, b"", b"", inclusive=True)
    }
    differences = []
    for place in sorted(judged.keys() | snapshot.entries.keys()):
        ours, theirs = judged.get(place), snapshot.entries.get(place)
        if _comparable(ours) != _comparable(theirs):
            space, key = place
            differences.append(StateDifference(*space, _show_key(space, key), _describe(ours), _describe(theirs)))
    return differences


def _read_state(folder: Path, name: str) -> Iterator[tuple[tuple[Space, bytes], Entry]]:
    data_path, counts_path = folder / f"{name}.data", folder / f"{name}.metadata"
    if not data_path.exists():
        return
    records = _records(data_path.read_bytes())
    for space, count in _namespaces(counts_path.read_bytes()):
        for _ in range(count):
            record = next(records, None)
            if record is None:
                raise MalformedInput("snapshot: fewer keys than counted", field="snapshot")
            key, value, metadata, version = (record.get(number, b"") for number in (1, 2, 3, 4))
            value_hash = value if space[1] else hashlib.sha256(value).digest()
            yield (space, key), Entry(value_hash, _version(version), _metadata(metadata))


def _namespaces(content: bytes) -> list[tuple[Space, int]]:
    """Format byte, uvarint number of rows, then per row length-prefixed name and uvarint count."""
    if content[:1] != bytes((_FORMAT,)):
        raise MalformedInput("snapshot: another format", field="snapshot")
    rows, offset = _uvarint(content, 1)
    found = []
    for _ in range(rows):
        length, offset = _uvarint(content, offset)
        name = content[offset : offset + length].decode()
        count, offset = _uvarint(content, offset + length)
        namespace, _, collection = name.partition(_HASHED)
        found.append(((namespace, collection), count))
    return found


def _records(content: bytes) -> Iterator[dict[int, bytes]]:
    if content[:1] != bytes((_FORMAT,)):
        raise MalformedInput("snapshot: another format", field="snapshot")
    offset = 1
    while offset < len(content):
        length, offset = _uvarint(content, offset)
        yield _fields(content[offset : offset + length])
        offset += length


def _fields(record: bytes) -> dict[int, bytes]:
    """The length-delimited fields of a protobuf message."""
    found, offset = {}, 0
    while offset < len(record):
        tag, offset = _uvarint(record, offset)
        length, offset = _uvarint(record, offset)
        found[tag >> 3] = record[offset : offset + length]
        offset += length
    return found


def _version(encoded: bytes) -> Version:
    """Per number one length byte and that many bytes, big endian."""
    block_end = 1 + encoded[0]
    end = block_end + 1 + encoded[block_end]
    return Version(int.from_bytes(encoded[1:block_end], "big"), int.from_bytes(encoded[block_end + 1 : end], "big"))


def _metadata(encoded: bytes) -> tuple[tuple[str, bytes], ...]:
    message = decode_message(kv_rwset_pb2.KVMetadataWrite(), encoded, "metadata")
    return tuple((entry.name, entry.value) for entry in message.entries)


def _uvarint(content: bytes, offset: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[offset]
        offset += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, offset
        shift += 7


def _comparable(entry: Entry | None) -> object:
    return (entry.value_hash, entry.version, entry.metadata) if entry is not None else None


def _describe(entry: Entry | None) -> str:
    if entry is None:
        return "absent"
    metadata = f", metadata {dict(entry.metadata)}" if entry.metadata else ""
    return f"version {entry.version.block}:{entry.version.transaction}, value hash {entry.value_hash.hex()}{metadata}"


def _show_key(space: Space, key: bytes) -> str:
    return key.hex() if space[1] else key.decode("utf-8", "replace")
