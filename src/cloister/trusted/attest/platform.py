"""What a platform gives an enclave: a measurement, statements about it, and a secret to seal with.

Trust level: trusted. SGX under Gramine will be a second implementation of `Platform`; nothing else changes then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cloister.errors import MalformedInput
from cloister.wire.framing import encode_frame

from .evidence import HASH_BYTES, KIND_SIMULATION
from .simulation import sign_statement

_TAG_SEAL = b"cloister/simulation-sealing/1"
SIMULATION_SVN = 1
_SEED_BYTES = 32


class Platform(Protocol):
    """The attesting and sealing environment of one enclave process."""

    @property
    def kind(self) -> str:
        """The kind of evidence made here."""
        ...

    @property
    def measurement(self) -> bytes:
        """32 bytes: which code this is."""
        ...

    def attest(self, report_data: bytes) -> bytes:
        """The platform's statement that binds 64 bytes of report data to the measurement."""
        ...

    def sealing_secret(self) -> bytes:
        """32 bytes, the same after a restart of the same code on the same platform, unknown to all others."""
        ...


@dataclass(frozen=True, slots=True)
class SimulationPlatform:
    """No protection at all: the host gives this object both the authority's key and the measurement's files."""

    measurement: bytes
    authority: Ed25519PrivateKey
    seed: bytes

    @property
    def kind(self) -> str:
        """`simulation`."""
        return KIND_SIMULATION

    def attest(self, report_data: bytes) -> bytes:
        """A simulation statement signed by the authority."""
        return sign_statement(self.authority, measurement=self.measurement, svn=SIMULATION_SVN, report_data=report_data)

    def sealing_secret(self) -> bytes:
        """32 bytes derived from the authority's seed and the measurement, as MRENCLAVE sealing would."""
        info = encode_frame(_TAG_SEAL, (self.measurement,))
        return HKDF(algorithm=hashes.SHA256(), length=HASH_BYTES, salt=None, info=info).derive(self.seed)


def make_simulation_platform(measurement: bytes, authority_seed: bytes) -> SimulationPlatform:
    """A simulation platform from an authority's 32-byte Ed25519 seed. Raises: MalformedInput on another length."""
    if len(authority_seed) != _SEED_BYTES:
        raise MalformedInput(f"simulation authority: expected {_SEED_BYTES} bytes", field="authority")
    return SimulationPlatform(measurement, Ed25519PrivateKey.from_private_bytes(authority_seed), authority_seed)
