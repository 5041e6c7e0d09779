"""ECDSA signatures as Fabric's BCCSP reads them.

Go's asn1.Unmarshal takes SEQUENCE { r, s } and forgives bytes after it and elements after s; other libraries do not, so
it is taken apart here and put together again strictly. r, s > 0, s at most half the order.
Source: Fabric 2.5.9 bccsp/utils/ecdsa.go, bccsp/sw/ecdsa.go; Go encoding/asn1 (parseBigInt, parseTagAndLength).
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

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
_SEQUENCE, _INTEGER = 0x30, 0x02


def verify_ecdsa(key: ec.EllipticCurvePublicKey, message: bytes, signature: bytes) -> bool:
    """True if the signature over SHA-256(message) would be accepted by a peer. Never raises."""
    parsed = _parse(signature)
    order = _ORDERS.get(key.curve.name)
    if parsed is None or order is None:
        return False
    r, s = parsed
    if r <= 0 or s <= 0 or s > order // 2:
        return False
    try:
        key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True


def _parse(signature: bytes) -> tuple[int, int] | None:
    outer = _element(signature, 0, _SEQUENCE)
    if outer is None:
        return None
    body = signature[outer[0] : outer[1]]
    first = _element(body, 0, _INTEGER)
    second = _element(body, first[1], _INTEGER) if first else None
    if first is None or second is None:
        return None
    r, s = _integer(body[first[0] : first[1]]), _integer(body[second[0] : second[1]])
    return None if r is None or s is None else (r, s)


def _element(data: bytes, offset: int, tag: int) -> tuple[int, int] | None:
    """(start, end) of the content of the element at `offset`, which must have this tag and minimal length."""
    if offset + 2 > len(data) or data[offset] != tag:
        return None
    length, start = data[offset + 1], offset + 2
    if length & 0x80:
        count = length & 0x7F
        encoded = data[start : start + count]
        if not 1 <= count <= 4 or len(encoded) < count or encoded[0] == 0:
            return None
        length, start = int.from_bytes(encoded, "big"), start + count
        if length < 0x80:
            return None
    return (start, start + length) if start + length <= len(data) else None


def _integer(content: bytes) -> int | None:
    if not content:
        return None
    minimal = len(content) == 1 or not (
        (content[0] == 0 and content[1] < 0x80) or (content[0] == 0xFF and content[1] >= 0x80)
    )
    return int.from_bytes(content, "big", signed=True) if minimal else None
