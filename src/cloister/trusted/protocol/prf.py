"""A pseudo-random function: HMAC-SHA256 (RFC 2104), cut to as many bytes as its use needs.

Trust level: trusted, pure.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC


class Prf:
    """Of one key, with outputs of `size` bytes (at most 32). Keyed once: that is half of what a short input costs."""

    __slots__ = ("_keyed", "_size")

    def __init__(self, key: bytes, size: int) -> None:
        self._keyed = HMAC(key, SHA256())
        self._size = size

    def __call__(self, data: bytes) -> bytes:
        """`size` bytes."""
        keyed = self._keyed.copy()
        keyed.update(data)
        return keyed.finalize()[: self._size]
