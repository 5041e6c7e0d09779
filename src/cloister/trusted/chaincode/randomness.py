"""Random bytes for contracts that all endorsers agree on and nobody knows before the commit (protocol.md 5.5).

Trust level: trusted. PRF(random key, transaction id ‖ proposal hash ‖ digest of the reads so far ‖ count of draws), as
HKDF-SHA-256 (RFC 5869). Only for functions revealed on commit: whoever saw the outcome earlier could propose again and
again until it pleases, and only then submit.
"""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cloister.trusted.protocol.statement import compute_selector
from cloister.wire.framing import encode_frame, u32, u64

_TAG = b"cloister/randomness/1"


class Randomness:
    """One execution's source. `key`: 32 bytes of the current key set."""

    def __init__(self, key: bytes, *, transaction_id: str, proposal_hash: bytes) -> None:
        self._key = key
        self._transaction_id = transaction_id
        self._proposal_hash = proposal_hash
        self._draws = 0

    def draw(self, length: int, reads_digest: bytes) -> bytes:
        """`length` bytes, 1 to 8160; every draw gives others."""
        selector = compute_selector(self._transaction_id, self._proposal_hash, reads_digest)
        info = encode_frame(_TAG, (selector, u64(self._draws), u32(length)))
        self._draws += 1
        return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=info).derive(self._key)
