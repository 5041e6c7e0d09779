"""Signatures as Fabric's BCCSP reads them.

ECDSA: Go's asn1.Unmarshal takes SEQUENCE { r, s } and forgives bytes after it and elements after s; other libraries do
not, so it is taken apart here and put together again strictly. r, s > 0, s at most half the order. Ed25519 (Fabric 3.1)
is over the message itself. RSA keys cannot sign in Fabric.
Source: Fabric 2.5.9 bccsp/utils/ecdsa.go, bccsp/sw/ecdsa.go; Go encoding/asn1; Fabric 3.1.5 msp/identities.go.
"""

from __future__ import annotations

from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from cloister.fabric.der import INTEGER, SEQUENCE, read_element, read_integer

_ORDERS = {
    "secp224r1": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFF16A2E0B8F03E13DD29455C5C2A3D,
    "secp256r1": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "secp384r1": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    "secp521r1": int(
        "01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFA"
        "51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409",
        16,
    ),
}
"""Group orders, SEC 2 v2."""
_HALF_ORDERS = {name: order // 2 for name, order in _ORDERS.items()}
_SHA256 = ec.ECDSA(hashes.SHA256())


class Verifier:
    """A certificate's public key; what of it decides how signatures are read is found out once. `key` None: none."""

    __slots__ = ("_half_order", "_is_ed25519", "key")

    def __init__(self, key: Any) -> None:
        self.key = key
        self._half_order = _HALF_ORDERS.get(key.curve.name) if isinstance(key, ec.EllipticCurvePublicKey) else None
        self._is_ed25519 = isinstance(key, ed25519.Ed25519PublicKey)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """True if a peer would accept the signature. Never raises."""
        try:
            if self._half_order is not None:
                strict = _strict_signature(signature, self._half_order)
                if strict is None:
                    return False
                self.key.verify(strict, message, _SHA256)
                return True
            if self._is_ed25519:
                self.key.verify(signature, message)
                return True
        except (InvalidSignature, ValueError, UnsupportedAlgorithm):
            return False
        return False


def verify_signature(key: Any, message: bytes, signature: bytes) -> bool:
    """The same for a key that is used once."""
    return Verifier(key).verify(message, signature)


def to_low_s(signature: bytes, curve: str) -> bytes | None:
    """An ECDSA signature with s in the lower half, as Fabric rewrites those of certificates; None if it is none."""
    parsed, order = _parse(signature), _ORDERS.get(curve)
    if parsed is None or order is None:
        return None
    r, s = parsed
    if r <= 0 or not 0 < s < order:
        return None
    return encode_dss_signature(r, min(s, order - s))


def _strict_signature(signature: bytes, half: int) -> bytes | None:
    """The one DER encoding of what Go reads out of a signature; None if it reads nothing or refuses it."""
    if _has_plain_layout(signature):  # nearly always: then the library, stricter than Go, sees to the rest
        return signature if int.from_bytes(signature[6 + signature[3] :], "big") <= half else None
    parsed = _parse(signature)
    if parsed is None:
        return None
    r, s = parsed
    return encode_dss_signature(r, s) if r > 0 and 0 < s <= half else None


def _has_plain_layout(signature: bytes) -> bool:
    """30 length 02 length r 02 length s, with short lengths that fit together and nothing else around."""
    length = len(signature)
    if not 8 <= length < 130 or signature[0] != SEQUENCE or signature[1] != length - 2 or signature[2] != INTEGER:
        return False
    second = 4 + signature[3]
    return second + 2 < length and signature[second] == INTEGER and signature[second + 1] == length - second - 2


def _parse(signature: bytes) -> tuple[int, int] | None:
    outer = read_element(signature, 0, SEQUENCE)
    if outer is None:
        return None
    body = signature[outer[0] : outer[1]]
    first = read_element(body, 0, INTEGER)
    second = read_element(body, first[1], INTEGER) if first else None
    if first is None or second is None:
        return None
    r, s = read_integer(body[first[0] : first[1]]), read_integer(body[second[0] : second[1]])
    return None if r is None or s is None else (r, s)
