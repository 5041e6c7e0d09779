"""HPKE (RFC 9180) with one fixed suite: ML-KEM-768 + X25519, HKDF-SHA256, AES-256-GCM.

Trust level: trusted, pure; also used by clients. Hybrid and post-quantum, because sealed requests and wrapped keys
stay on an immutable ledger for good. Base mode authenticates nobody: whatever must be authentic is bound by `info`
or signed beside it.
"""

from __future__ import annotations

import functools

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from cloister.errors import MalformedInput, Refused
from cloister.wire.framing import require_length

SEED_BYTES = 96
"""ML-KEM-768 seed (64 bytes, FIPS 203 d‖z) followed by an X25519 private key (32 bytes)."""
_MLKEM_SEED = 64
_MLKEM_PUBLIC = 1184
PUBLIC_KEY_BYTES = _MLKEM_PUBLIC + 32
_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class HpkeKey:
    """A private key, made from SEED_BYTES secret bytes; the same seed gives the same key."""

    __slots__ = ("_private", "public_bytes")

    def __init__(self, seed: bytes) -> None:
        require_length(seed, (SEED_BYTES,), "HPKE seed")
        mlkem = MLKEM768PrivateKey.from_seed_bytes(seed[:_MLKEM_SEED])
        x25519 = X25519PrivateKey.from_private_bytes(seed[_MLKEM_SEED:])
        self._private = MLKEM768X25519PrivateKey(mlkem, x25519)
        self.public_bytes = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()

    def open(self, ciphertext: bytes, info: bytes) -> bytes:
        """Decrypt. Raises: Refused(reason="sealed"), the same for every cause."""
        try:
            return _SUITE.decrypt(ciphertext, self._private, info=info)
        except (InvalidTag, ValueError) as error:
            raise Refused("sealed message refused: it does not open", reason="sealed") from error


def seal_to(public_key: bytes, plaintext: bytes, info: bytes) -> bytes:
    """Encrypt to a public key of PUBLIC_KEY_BYTES bytes. Raises: MalformedInput if that is not one."""
    require_length(public_key, (PUBLIC_KEY_BYTES,), "HPKE public key")
    try:
        return _SUITE.encrypt(plaintext, _public_key(public_key), info=info)
    except ValueError as error:
        raise MalformedInput("HPKE public key: not a key", field="HPKE public key") from error


@functools.lru_cache(maxsize=16)
def _public_key(encoded: bytes) -> MLKEM768X25519PublicKey:
    """A client seals to one key again and again; taking it apart costs a quarter of a sealing."""
    return MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(encoded[:_MLKEM_PUBLIC]),
        X25519PublicKey.from_public_bytes(encoded[_MLKEM_PUBLIC:]),
    )
