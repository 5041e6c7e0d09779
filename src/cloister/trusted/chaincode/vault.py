"""The enclave's state at rest: sealed for the host to keep. A cache, never the only copy of a key.

Trust level: trusted, pure (fresh randomness is handed in). Bound to the measurement through the platform's sealing
secret and to everything else through its content: a file of another channel or chaincode is refused on use. It has no
rollback protection: an older file brings back an older state, which the ledger corrects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cloister.errors import MalformedInput, Refused
from cloister.trusted.attest.evidence import Evidence, decode_attested_data, decode_evidence
from cloister.wire.framing import decode_frame, encode_frame, require_length

from .keys import KeyRing, decode_key_ring

IDENTITY_SEED_BYTES = 32
_TAG_STATE = b"cloister/vault/state/1"
_TAG_KEY = b"cloister/vault/key/1"
_TAG_FILE = b"cloister/vault/file/1"
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class VaultState:
    """What survives a restart: the identity's seed (32 bytes), evidence, policy, and rings, active and candidate."""

    identity_seed: bytes
    evidence: Evidence
    policy: bytes
    active: KeyRing | None
    candidate: KeyRing | None

    def __repr__(self) -> str:
        return "VaultState()"


def seal_state(state: VaultState, *, secret: bytes, random_bytes: Callable[[int], bytes]) -> bytes:
    """Seal the state under the platform's sealing secret (32 bytes)."""
    content = encode_frame(
        _TAG_STATE,
        (
            state.identity_seed,
            state.evidence.encode(),
            state.policy,
            state.active.encode() if state.active else b"",
            state.candidate.encode() if state.candidate else b"",
        ),
    )
    nonce = random_bytes(_NONCE_BYTES)
    return encode_frame(_TAG_FILE, (nonce, AESGCMSIV(_file_key(secret)).encrypt(nonce, content, _TAG_FILE)))


def open_state(sealed: bytes, *, secret: bytes) -> VaultState:
    """Inverse of `seal_state`. Raises: Refused(reason="sealed-state") for every cause."""
    try:
        nonce, ciphertext = decode_frame(_TAG_FILE, sealed, count=2)
        require_length(nonce, (_NONCE_BYTES,), "nonce")
        content = AESGCMSIV(_file_key(secret)).decrypt(nonce, ciphertext, _TAG_FILE)
        seed, evidence_bytes, policy, active, candidate = decode_frame(_TAG_STATE, content, count=5)
        evidence = decode_evidence(evidence_bytes)
        attested = decode_attested_data(evidence.attested_data)
    except (InvalidTag, MalformedInput, ValueError) as error:
        raise Refused(
            "sealed state refused: it is not of this enclave on this platform",
            reason="sealed-state",
            hint="after an upgrade or on another machine start without it and run `cloister init` again",
        ) from error
    rings = [
        decode_key_ring(item, genesis_hash=attested.genesis_hash, chaincode=attested.chaincode) if item else None
        for item in (active, candidate)
    ]
    return VaultState(require_length(seed, (IDENTITY_SEED_BYTES,), "seed"), evidence, policy, rings[0], rings[1])


def _file_key(secret: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_TAG_KEY).derive(secret)
