"""Handing the chaincode keys to another attested enclave of the same definition.

Trust level: trusted, pure. Both sides appraise each other: HPKE base mode authenticates nobody, so anyone could wrap
keys of his own choosing to a newcomer. The exporter signs with its attested key; the importer appraises the exporter
and requires the key set that was committed first.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cloister.errors import Refused
from cloister.trusted.attest.appraise import Verdict
from cloister.trusted.protocol.hpke import HpkeKey, seal_to
from cloister.wire.framing import decode_frame, encode_frame, require_length, u64

from .keys import KeyRing, decode_key_ring

_TAG_BODY = b"cloister/key-export/1"
_TAG_SIGNED = b"cloister/key-export-signed/1"
_TAG_INFO = b"cloister/key-export-info/1"
MAX_EXPORT_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class ExportScope:
    """What an export is for. All ids 32 bytes; `sequence` is the newcomer's, `key_set_id` the ring's current one."""

    genesis_hash: bytes
    chaincode: str
    sequence: int
    key_set_id: bytes
    exporter: bytes
    newcomer: bytes

    def fields(self) -> tuple[bytes, ...]:
        """The scope as frame fields."""
        return (
            self.genesis_hash,
            self.chaincode.encode(),
            u64(self.sequence),
            self.key_set_id,
            self.exporter,
            self.newcomer,
        )


def export_keys(ring: KeyRing, *, scope: ExportScope, newcomer: Verdict, signing_key: Ed25519PrivateKey) -> bytes:
    """The ring wrapped to an appraised newcomer's attested HPKE key, signed. The caller has checked the binding."""
    wrapped = seal_to(newcomer.attested.hpke_key, ring.encode(), encode_frame(_TAG_INFO, scope.fields()))
    body = encode_frame(_TAG_BODY, (*scope.fields(), hashlib.sha256(wrapped).digest()))
    return encode_frame(_TAG_SIGNED, (body, signing_key.sign(body), wrapped))


def verify_export(export: bytes, *, scope: ExportScope, signing_key: bytes) -> bytes:
    """Check that the exporter's attested key (32 bytes) signed this export for exactly this scope.

    Returns the wrapped ring. Raises: Refused(reason="export"); MalformedInput.
    """
    body, signature, wrapped = decode_frame(_TAG_SIGNED, export, count=3)
    require_length(signature, (64,), "export signature")
    if body != encode_frame(_TAG_BODY, (*scope.fields(), hashlib.sha256(wrapped).digest())):
        raise Refused("key export refused: it was made for another enclave, key set or channel", reason="export")
    try:
        Ed25519PublicKey.from_public_bytes(signing_key).verify(signature, body)
    except (InvalidSignature, ValueError) as error:
        raise Refused("key export refused: the exporter's signature does not match", reason="export") from error
    return wrapped


def import_keys(export: bytes, *, scope: ExportScope, exporter: Verdict, hpke_key: HpkeKey) -> KeyRing:
    """Open an export that the appraised exporter signed for exactly this scope.

    Raises: Refused(reason="export", "sealed" or "key-ring"); MalformedInput.
    """
    wrapped = verify_export(export, scope=scope, signing_key=exporter.attested.signing_key)
    opened = hpke_key.open(wrapped, encode_frame(_TAG_INFO, scope.fields()))
    ring = decode_key_ring(opened, genesis_hash=scope.genesis_hash, chaincode=scope.chaincode)
    if ring.key_set_id(ring.current) != scope.key_set_id:
        raise Refused("key export refused: it holds another key set", reason="export")
    return ring
