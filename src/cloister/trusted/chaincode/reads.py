"""What a transaction read and wrote, and the digests of both that its result statement carries.

Trust level: trusted, pure; clients recompute the writes digest from the endorsed read/write set.
Reads are semantic: key → value hash or absent, range bounds → rows. The peer's own read set is not signed: it adds
versions, `_lifecycle` reads, a prefetched 101st key and Merkle summaries (Fabric 2.5.9
core/chaincode/query_response_generator.go).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cloister.wire.framing import encode_frame

_TAG_READS = b"cloister/reads/1"
_TAG_POINT = b"cloister/reads/point/1"
_TAG_METADATA_READ = b"cloister/reads/metadata/1"
_TAG_RANGE = b"cloister/reads/range/1"
_TAG_WRITES = b"cloister/writes/1"
_TAG_WRITE = b"cloister/writes/write/1"
_TAG_METADATA = b"cloister/metadata/1"
_TAG_METADATA_WRITE = b"cloister/metadata/write/1"
_TAG_EVENT = b"cloister/event/1"
_ABSENT = b"absent"
_PRESENT = b"present"
_DELETE = b"delete"
_PUT = b"put"


@dataclass(frozen=True, slots=True)
class PointRead:
    """One key's stored value, or None if the key is absent. `metadata` marks a read of its endorsement parameter."""

    key: str
    value: bytes | None
    metadata: bool = False

    def encode(self) -> bytes:
        """Canonical bytes, with the value's SHA-256 in its place."""
        tag = _TAG_METADATA_READ if self.metadata else _TAG_POINT
        return encode_frame(tag, (self.key.encode(), *_presence(self.value)))


@dataclass(frozen=True, slots=True)
class RangeRead:
    """All rows of [start, end) in stored-key order. `limit` 0: complete; else a page of at most so many rows."""

    start: str
    end: str
    rows: tuple[tuple[str, bytes], ...]
    limit: int = 0

    def encode(self) -> bytes:
        """Canonical bytes: bounds in clear, the rows' keys and value hashes digested."""
        digest = hashlib.sha256()
        for key, value in self.rows:
            digest.update(encode_frame(_TAG_POINT, (key.encode(), *_presence(value))))
        bounds = (self.start.encode(), self.end.encode(), str(self.limit).encode())
        return encode_frame(_TAG_RANGE, (*bounds, digest.digest()))


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


def reads_digest(points: Iterable[PointRead], ranges: Sequence[RangeRead]) -> bytes:
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


def _encode_write(write: Write) -> bytes:
    if write.value is None:
        return encode_frame(_TAG_WRITE, (write.key.encode(), _DELETE))
    return encode_frame(_TAG_WRITE, (write.key.encode(), _PUT, hashlib.sha256(write.value).digest()))


def _presence(value: bytes | None) -> tuple[bytes, ...]:
    return (_ABSENT,) if value is None else (_PRESENT, hashlib.sha256(value).digest())


def _digest(tag: bytes, encoded: Sequence[bytes]) -> bytes:
    # Hashed piece by piece: the number of reads is the host's to choose and has no small bound.
    digest = hashlib.sha256(encode_frame(tag, (str(len(encoded)).encode(),)))
    for item in encoded:
        digest.update(encode_frame(b"", (item,)))
    return digest.digest()
