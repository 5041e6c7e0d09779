"""Nonces: with the creator they make the transaction id."""

from __future__ import annotations

import os

from cloister.fabric.proposal import NONCE_BYTES


def new_nonce() -> bytes:
    """NONCE_BYTES fresh random bytes."""
    return os.urandom(NONCE_BYTES)
