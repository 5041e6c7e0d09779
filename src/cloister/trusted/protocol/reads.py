"""What a transaction read and wrote, and the digests of both that its result statement carries.

Trust level: trusted, pure; clients recompute the writes digest from the endorsed read/write set, the ledger enclave
both digests, the reads from its own state. Reads are semantic: key → value hash or absent, range bounds → rows. The
peer's own read set is not signed: it adds versions, `_lifecycle` reads, a prefetched 101st key and Merkle summaries
(Fabric 2.5.9 core/chaincode/query_response_generator.go), and colluding endorsers may strip it. So *what* was read
travels beside the statement, as a `ReadList` whose hash it names; that all of it holds shows in the digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from cloister.errors import MalformedInput
from cloister.wire.framing import begin_frame, decode_frame, decode_text, encode_frame, frame_field, u32

_TAG_READS = b"cloister/reads/1"
_TAG_POINT = b"cloister/reads/point/1"
_TAG_METADATA_READ = b"cloister/reads/metadata/1"
_TAG_RESTORED = b"cloister/reads/restored/1"
_TAG_METADATA_RESTORED = b"cloister/reads/restored-metadata/1"
_TAG_RANGE = b"cloister/reads/range/1"
_TAG_ROWS = b"cloister/reads/rows/1"
_TAG_LIST = b"cloister/reads/list/2"
_TAG_WRITES = b"cloister/writes/1"
_TAG_WRITE = b"cloister/writes/write/1"
_TAG_METADATA = b"cloister/metadata/1"
_TAG_METADATA_WRITE = b"cloister/metadata/write/1"
_TAG_EVENT = b"cloister/event/1"
_ONE_ITEM = begin_frame(b"", 1, ())
_ABSENT = b"absent"
_PRESENT = b"present"
_DELETE = b"delete"
_PUT = b"put"
MAX_READS = 1_000_000
"""Bound on the entries of a read list."""
_HASHED_ROWS = 1024
"""Rows that are hashed at once."""
_NO_FIELDS = encode_frame(b"", ())


@dataclass(frozen=True, slots=True)
class PointRead:
    """One key's value hash (32 bytes), None if the key is absent. `metadata`: of its endorsement parameter instead."""

    key: str
    value_hash: bytes | None
    metadata: bool = False

    def encode(self) -> bytes:
        """Canonical bytes."""
        presence = (_ABSENT,) if self.value_hash is None else (_PRESENT, self.value_hash)
        return encode_frame(_TAG_METADATA_READ if self.metadata else _TAG_POINT, (self.key.encode(), *presence))


@dataclass(frozen=True, slots=True)
class RestoredRead:
    """What a repair puts back: hash of what was last covered of a *marked* fact (32 bytes), None if it was absent.

    Not what is there now: that is never believed.
    """

    key: str
    value_hash: bytes | None
    metadata: bool = False

    def encode(self) -> bytes:
        """Canonical bytes."""
        presence = (_ABSENT,) if self.value_hash is None else (_PRESENT, self.value_hash)
        return encode_frame(_TAG_METADATA_RESTORED if self.metadata else _TAG_RESTORED, (self.key.encode(), *presence))


@dataclass(frozen=True, slots=True)
class RangeRead:
    """All rows of [start, end) in stored-key order, as `rows_digest`. `limit` 0: complete; else a page."""

    start: str
    end: str
    rows: bytes
    limit: int = 0

    def encode(self) -> bytes:
        """Canonical bytes: bounds in clear, the rows digested."""
        return encode_frame(_TAG_RANGE, (self.start.encode(), self.end.encode(), u32(self.limit), self.rows))


@dataclass(frozen=True, slots=True)
class ReadList:
    """Which keys, endorsement parameters and ranges (start, end) a transaction read. Pages are for queries only.

    `restored`, `restored_parameters`: marked ones that a repair puts back.
    """

    keys: tuple[str, ...]
    parameters: tuple[str, ...]
    ranges: tuple[tuple[str, str], ...]
    restored: tuple[str, ...] = ()
    restored_parameters: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """Canonical bytes."""
        flat = [bound for pair in self.ranges for bound in pair]
        lists = (self.keys, self.parameters, flat, self.restored, self.restored_parameters)
        encoded = [encode_frame(b"", [key.encode() for key in part]) if part else _NO_FIELDS for part in lists]
        return encode_frame(_TAG_LIST, encoded)


def decode_read_list(encoded: bytes) -> ReadList:
    """Inverse of `ReadList.encode`. Raises: MalformedInput."""
    parts = [_decode_texts(part) for part in decode_frame(_TAG_LIST, encoded, count=5)]
    keys, parameters, flat, restored, restored_parameters = parts
    if len(flat) % 2:
        raise MalformedInput("read list: pairs expected", field="reads")
    ranges = tuple(zip(flat[::2], flat[1::2], strict=True))
    return ReadList(keys, parameters, ranges, restored, restored_parameters)


@dataclass(frozen=True, slots=True)
class Write:
    """One key's new stored value, or None for a delete."""

    key: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class MetadataWrite:
    """One key's new endorsement parameter (serialised SignaturePolicyEnvelope)."""

    key: str
    parameter: bytes


def value_hash(value: bytes | None) -> bytes | None:
    """What stands for a stored value: SHA-256, or None if there is none."""
    return hashlib.sha256(value).digest() if value else None


def rows_digest(rows: Iterable[tuple[bytes, bytes]]) -> bytes:
    """32 bytes over the rows of a range in order, each (stored key as UTF-8, value hash of 32 bytes)."""
    digest, waiting = hashlib.sha256(encode_frame(_TAG_ROWS, ())), iter(rows)
    while some := list(islice(waiting, _HASHED_ROWS)):
        digest.update(b"".join([u32(len(key)) + key + hashed for key, hashed in some]))
    return digest.digest()


def reads_digest(points: Iterable[PointRead | RestoredRead], ranges: Sequence[RangeRead]) -> bytes:
    """32 bytes over all reads: points sorted by their encoding, ranges in the order they were made."""
    encoded = sorted(point.encode() for point in points)
    encoded.extend(item.encode() for item in ranges)
    return _digest(_TAG_READS, encoded)


def writes_digest(writes: Iterable[Write]) -> bytes:
    """32 bytes over all writes, sorted by stored key (UTF-8 order). Each key once."""
    ordered = sorted(writes, key=lambda write: write.key.encode())
    return _digest(_TAG_WRITES, [_encode_write(write) for write in ordered])


def metadata_digest(writes: Iterable[MetadataWrite]) -> bytes:
    """32 bytes over all key-level endorsement parameters, sorted by stored key."""
    ordered = sorted(writes, key=lambda write: write.key.encode())
    encoded = [encode_frame(_TAG_METADATA_WRITE, (write.key.encode(), write.parameter)) for write in ordered]
    return _digest(_TAG_METADATA, encoded)


def event_hash(name: str, payload: bytes) -> bytes:
    """32 bytes over a chaincode event; 32 zero bytes stand for "no event" in the statement."""
    return hashlib.sha256(encode_frame(_TAG_EVENT, (name.encode(), payload))).digest()


def _decode_texts(encoded: bytes) -> tuple[str, ...]:
    if encoded == _NO_FIELDS:  # most lists of most transactions
        return ()
    return tuple([decode_text(item, "read") for item in decode_frame(b"", encoded, maximum=MAX_READS)])


def _encode_write(write: Write) -> bytes:
    if write.value is None:
        return encode_frame(_TAG_WRITE, (write.key.encode(), _DELETE))
    return encode_frame(_TAG_WRITE, (write.key.encode(), _PUT, hashlib.sha256(write.value).digest()))


def _digest(tag: bytes, encoded: Sequence[bytes]) -> bytes:
    # Hashed piece by piece: the number of reads is the host's to choose and has no small bound.
    digest = hashlib.sha256(encode_frame(tag, (str(len(encoded)).encode(),)))
    for item in encoded:
        digest.update(_ONE_ITEM + frame_field(item))
    return digest.digest()
