"""The keys of one enclave instance, all derived from one seed: their public halves stand in its attested data.

Trust level: trusted, pure.
"""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cloister.trusted.protocol.hpke import SEED_BYTES, HpkeKey


class IdentityKeys:
    """Signing (Ed25519) and key transport (HPKE) keys from 32 secret bytes."""

    __slots__ = ("hpke_key", "seed", "signing_key")

    def __init__(self, seed: bytes) -> None:
        self.seed = seed
        self.signing_key = Ed25519PrivateKey.from_private_bytes(_derive(seed, b"cloister/identity/signing/1", 32))
        self.hpke_key = HpkeKey(_derive(seed, b"cloister/identity/hpke/1", SEED_BYTES))

    @property
    def signing_public(self) -> bytes:
        """32 bytes."""
        return self.signing_key.public_key().public_bytes_raw()


def _derive(seed: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=info).derive(seed)
