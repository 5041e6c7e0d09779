"""The public face of a key set: the descriptor that its maker signs and the registry shows.

Trust level: trusted, pure; clients verify descriptors. A request key counts only if an attested enclave signed it.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cloister.errors import Refused
from cloister.trusted.attest.evidence import HASH_BYTES, HPKE_KEY_BYTES
from cloister.wire.framing import decode_frame, decode_text, decode_u64, encode_frame, require_length, u64

_TAG = b"cloister/key-set-descriptor/1"
_TAG_SIGNED = b"cloister/key-set-descriptor-signed/1"
_TAG_SUCCESSION = b"cloister/key-set-succession/1"
_TAG_MADE = b"cloister/key-set-made/1"


@dataclass(frozen=True, slots=True)
class KeySetDescriptor:
    """Ids, hashes, measurement and the Ed25519 result key are 32 bytes, the HPKE request key 1216."""

    genesis_hash: bytes
    channel: str
    chaincode: str
    sequence: int
    measurement: bytes
    key_set_id: bytes
    request_key: bytes
    result_key: bytes
    maker: bytes
    """Evidence id of the enclave that made the keys; its attested signing key signs this descriptor."""

    def encode(self) -> bytes:
        """Canonical bytes: what is signed."""
        return encode_frame(
            _TAG,
            (
                self.genesis_hash,
                self.channel.encode(),
                self.chaincode.encode(),
                u64(self.sequence),
                self.measurement,
                self.key_set_id,
                self.request_key,
                self.result_key,
                self.maker,
            ),
        )


def sign_descriptor(
    descriptor: KeySetDescriptor, signing_key: Ed25519PrivateKey, *, previous: Ed25519PrivateKey | None = None
) -> bytes:
    """The signed descriptor, canonical bytes. `previous`: the result key of the chaincode's key set before this one."""
    body = descriptor.encode()
    succession = previous.sign(encode_frame(_TAG_SUCCESSION, (body,))) if previous is not None else b""
    return encode_frame(_TAG_SIGNED, (body, signing_key.sign(_made(body, succession)), succession))


def succeeds(signed: bytes, result_key: bytes) -> bool:
    """Whether the holder of an earlier key set (its Ed25519 result key, 32 bytes) signed this one as its successor.

    Raises: MalformedInput.
    """
    body, _signature, succession = decode_frame(_TAG_SIGNED, signed, count=3)
    try:
        Ed25519PublicKey.from_public_bytes(result_key).verify(succession, encode_frame(_TAG_SUCCESSION, (body,)))
    except (InvalidSignature, ValueError):
        return False
    return True


def parse_descriptor(signed: bytes) -> KeySetDescriptor:
    """What a signed descriptor says, unverified: to find out whose evidence to appraise. Raises: MalformedInput."""
    body, _signature, _succession = decode_frame(_TAG_SIGNED, signed, count=3)
    fields = decode_frame(_TAG, body, count=9)
    return KeySetDescriptor(
        genesis_hash=require_length(fields[0], (HASH_BYTES,), "genesis hash"),
        channel=decode_text(fields[1], "channel"),
        chaincode=decode_text(fields[2], "chaincode"),
        sequence=decode_u64(fields[3], "sequence"),
        measurement=require_length(fields[4], (HASH_BYTES,), "measurement"),
        key_set_id=require_length(fields[5], (HASH_BYTES,), "key-set id"),
        request_key=require_length(fields[6], (HPKE_KEY_BYTES,), "request key"),
        result_key=require_length(fields[7], (32,), "result key"),
        maker=require_length(fields[8], (HASH_BYTES,), "maker"),
    )


def verify_descriptor(signed: bytes, *, signing_key: bytes, maker: bytes) -> KeySetDescriptor:
    """Check a descriptor under the *attested* signing key of its maker (take both from an appraisal's verdict).

    Raises: Refused(reason="descriptor"); MalformedInput.
    """
    body, signature, succession = decode_frame(_TAG_SIGNED, signed, count=3)
    try:
        Ed25519PublicKey.from_public_bytes(signing_key).verify(signature, _made(body, succession))
    except (InvalidSignature, ValueError) as error:
        raise Refused("key set refused: its maker's signature does not match", reason="descriptor") from error
    descriptor = parse_descriptor(signed)
    if descriptor.maker != maker:
        raise Refused("key set refused: it names another maker", reason="descriptor")
    return descriptor


def _made(body: bytes, succession: bytes) -> bytes:
    """What the maker signs. The succession too: without it anybody who registers a key set could cut it off, and what
    the registry shows first would count for nothing, for ever."""
    return encode_frame(_TAG_MADE, (body, succession))
