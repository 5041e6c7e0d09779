"""The chaincode keys: made by the first enclave of a definition, shared with every other attested one.

Trust level: trusted, pure (fresh randomness is handed in). Table of purposes and rotation: protocol.md section 3.
A key set belongs to one definition sequence; each has fresh secrets, so that an old measurement cannot derive newer
keys. The name key never rotates. A key ring is the name key and all key sets so far, the newest last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cloister.errors import MalformedInput, Refused
from cloister.trusted.protocol.hpke import SEED_BYTES, HpkeKey
from cloister.trusted.protocol.key_set import KeySetDescriptor
from cloister.wire.framing import decode_frame, decode_u64, encode_frame, require_length, u64

KEY_BYTES = 32
_TAG_VALUE = b"cloister/keys/value/1"
_TAG_REQUEST = b"cloister/keys/request/1"
_TAG_RESULT = b"cloister/keys/result/1"
_TAG_OUTCOME = b"cloister/keys/outcome/1"
_TAG_RANDOM = b"cloister/keys/random/1"
_TAG_COMMITMENT = b"cloister/keys/commitment/1"
_TAG_ID = b"cloister/keys/key-set-id/1"
_TAG_SET = b"cloister/keys/key-set/1"
_TAG_RING = b"cloister/keys/key-ring/1"


@dataclass(frozen=True)
class KeySet:
    """The keys of one definition sequence, all derived from 32 secret bytes. Equality and repr show no secret."""

    sequence: int
    measurement: bytes
    seed: bytes

    def __repr__(self) -> str:
        return f"KeySet(sequence={self.sequence})"

    @cached_property
    def value_key(self) -> bytes:
        """32 bytes: seals state."""
        return self._derive(_TAG_VALUE, KEY_BYTES)

    @cached_property
    def request_key(self) -> HpkeKey:
        """Opens what clients seal."""
        return HpkeKey(self._derive(_TAG_REQUEST, SEED_BYTES))

    @cached_property
    def result_key(self) -> Ed25519PrivateKey:
        """Signs result statements."""
        return Ed25519PrivateKey.from_private_bytes(self._derive(_TAG_RESULT, KEY_BYTES))

    @cached_property
    def outcome_key(self) -> bytes:
        """32 bytes: seals the outcomes that are revealed on commit only."""
        return self._derive(_TAG_OUTCOME, KEY_BYTES)

    @cached_property
    def random_key(self) -> bytes:
        """32 bytes: contracts' random bytes come from it."""
        return self._derive(_TAG_RANDOM, KEY_BYTES)

    @cached_property
    def result_public_key(self) -> bytes:
        """32 bytes, Ed25519."""
        return self.result_key.public_key().public_bytes_raw()

    def _derive(self, tag: bytes, length: int) -> bytes:
        info = encode_frame(tag, (u64(self.sequence), self.measurement))
        return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=info).derive(self.seed)


@dataclass(frozen=True)
class KeyRing:
    """`key_sets` in ascending sequence, never empty; the last one is current. Bound to a genesis hash and chaincode."""

    genesis_hash: bytes
    chaincode: str
    name_key: bytes
    key_sets: tuple[KeySet, ...]

    def __repr__(self) -> str:
        return f"KeyRing({self.chaincode}, {len(self.key_sets)} key sets)"

    @property
    def current(self) -> KeySet:
        """The newest key set."""
        return self.key_sets[-1]

    @property
    def previous(self) -> KeySet | None:
        """The key set before the newest, None if there is none."""
        return self.key_sets[-2] if len(self.key_sets) > 1 else None

    def find(self, key_set_id: bytes) -> KeySet | None:
        """The key set with this id, None if it is not in the ring."""
        return self.by_id.get(key_set_id)

    def key_set_id(self, key_set: KeySet) -> bytes:
        """32 bytes that commit to all keys of the set and to the name key, without telling any."""
        for item, key_set_id in self._ids:
            if item is key_set:
                return key_set_id
        return self._compute_id(key_set)

    @cached_property
    def by_id(self) -> dict[bytes, KeySet]:
        """All key sets by their ids."""
        return {key_set_id: item for item, key_set_id in self._ids}

    @cached_property
    def _ids(self) -> tuple[tuple[KeySet, bytes], ...]:
        return tuple((item, self._compute_id(item)) for item in self.key_sets)

    def _compute_id(self, key_set: KeySet) -> bytes:
        commitment = hashlib.sha256(encode_frame(_TAG_COMMITMENT, (self.name_key, key_set.seed))).digest()
        return hashlib.sha256(
            encode_frame(
                _TAG_ID,
                (
                    self.genesis_hash,
                    self.chaincode.encode(),
                    u64(key_set.sequence),
                    key_set.measurement,
                    key_set.request_key.public_bytes,
                    key_set.result_public_key,
                    commitment,
                ),
            )
        ).digest()

    def encode(self) -> bytes:
        """Canonical bytes. Secret."""
        sets = [encode_frame(_TAG_SET, (u64(item.sequence), item.measurement, item.seed)) for item in self.key_sets]
        return encode_frame(_TAG_RING, (self.genesis_hash, self.chaincode.encode(), self.name_key, *sets))


def decode_key_ring(encoded: bytes, *, genesis_hash: bytes, chaincode: str) -> KeyRing:
    """Inverse of `KeyRing.encode`, for the expected channel and chaincode only.

    Raises: MalformedInput; Refused(reason="key-ring") if it is bound elsewhere or not in ascending order.
    """
    fields = decode_frame(_TAG_RING, encoded)
    if len(fields) < 4:
        raise MalformedInput("key ring: too few fields", field="key ring")
    if fields[0] != genesis_hash or fields[1] != chaincode.encode():
        raise Refused("key ring refused: it belongs to another channel or chaincode", reason="key-ring")
    key_sets = tuple(_decode_key_set(item) for item in fields[3:])
    sequences = [item.sequence for item in key_sets]
    if sequences != sorted(set(sequences)):
        raise Refused("key ring refused: sequences out of order", reason="key-ring")
    return KeyRing(genesis_hash, chaincode, require_length(fields[2], (KEY_BYTES,), "name key"), key_sets)


def make_key_ring(
    *,
    genesis_hash: bytes,
    chaincode: str,
    sequence: int,
    measurement: bytes,
    earlier: KeyRing | None,
    random_bytes: Callable[[int], bytes],
) -> KeyRing:
    """A new ring, or the earlier one with a fresh key set for a higher sequence.

    Raises: Refused(reason="key-ring") if the earlier ring already has this sequence or a later one.
    """
    fresh = KeySet(sequence, measurement, random_bytes(KEY_BYTES))
    if earlier is None:
        return KeyRing(genesis_hash, chaincode, random_bytes(KEY_BYTES), (fresh,))
    if earlier.current.sequence >= sequence:
        raise Refused("key set refused: this sequence has keys already", reason="key-ring")
    return KeyRing(genesis_hash, chaincode, earlier.name_key, (*earlier.key_sets, fresh))


def describe_key_set(ring: KeyRing, *, channel: str, maker: bytes) -> KeySetDescriptor:
    """The descriptor of a ring's current key set."""
    current = ring.current
    return KeySetDescriptor(
        genesis_hash=ring.genesis_hash,
        channel=channel,
        chaincode=ring.chaincode,
        sequence=current.sequence,
        measurement=current.measurement,
        key_set_id=ring.key_set_id(current),
        request_key=current.request_key.public_bytes,
        result_key=current.result_public_key,
        maker=maker,
    )


def _decode_key_set(encoded: bytes) -> KeySet:
    sequence, measurement, seed = decode_frame(_TAG_SET, encoded, count=3)
    return KeySet(
        decode_u64(sequence, "sequence"),
        require_length(measurement, (32,), "measurement"),
        require_length(seed, (KEY_BYTES,), "seed"),
    )
