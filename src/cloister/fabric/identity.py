"""Serialised identities and ECDSA signatures as Fabric makes and checks them.

Trust level: pure, measured into enclaves.
Sources: Fabric 2.5.9 msp/identities.go, bccsp/utils/ecdsa.go (low S), msp/mspimpl.go (first PEM block).
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from fabric_protos.msp import identities_pb2

from cloister.errors import MalformedInput, Refused

from .decoding import decode_message
from .pem import first_pem_block

# Group orders, SEC 2 v2 sections 2.4.2, 2.5.1, 2.6.1. Fabric accepts s <= n/2 only.
_ORDER = {
    "secp256r1": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "secp384r1": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
}


_SHA256 = ec.ECDSA(hashes.SHA256())


@dataclass(frozen=True, slots=True)
class SerializedIdentity:
    """`msp.SerializedIdentity`: the MSP ID and the certificate in PEM. The creator of every proposal."""

    msp_id: str
    id_bytes: bytes

    def encode(self) -> bytes:
        """Canonical protobuf bytes (fields in order)."""
        message = identities_pb2.SerializedIdentity(mspid=self.msp_id, id_bytes=self.id_bytes)
        encoded: bytes = message.SerializeToString(deterministic=True)
        return encoded

    def certificate(self) -> x509.Certificate:
        """The certificate in the first PEM block of `id_bytes`, as Fabric's MSPs take it.

        Raises: MalformedInput if the bytes hold no X.509 certificate in PEM.
        """
        try:
            return x509.load_der_x509_certificate(first_pem_block(self.id_bytes) or b"")
        except (ValueError, x509.InvalidVersion) as error:
            raise MalformedInput("identity holds no X.509 certificate in PEM", field="id_bytes") from error


def decode_serialized_identity(encoded: bytes) -> SerializedIdentity:
    """Parse a SerializedIdentity; any valid protobuf encoding is accepted, canonical or not.

    Raises: MalformedInput.
    """
    message = decode_message(identities_pb2.SerializedIdentity(), encoded, "serialised identity")
    return SerializedIdentity(message.mspid, message.id_bytes)


def to_low_s(signature: bytes, curve: ec.EllipticCurve) -> bytes:
    """Turn a DER ECDSA signature into its low-S twin, the only one that Fabric accepts.

    Raises: Refused for curves other than P-256 and P-384.
    """
    r, s = decode_dss_signature(signature)
    order = _order(curve)
    return encode_dss_signature(r, order - s) if s > order // 2 else signature


def verify_signature(certificate: x509.Certificate, message: bytes, signature: bytes) -> None:
    """Check a DER ECDSA signature over SHA-256(message) under the certificate's key, low S only.

    Stricter than Fabric in one way: bytes after the DER sequence are refused too.
    Raises: Refused(reason="signature").
    Not here: whether the certificate is valid in the channel; that is a matter of the channel's MSPs.
    """
    verify_under(signing_key(certificate), message, signature)


def signing_key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """The certificate's key. Raises: Refused(reason="signature") if it is not one of ECDSA."""
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Refused("signature refused: the certificate's key is of no use", reason="signature") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise Refused("signature refused: the certificate's key is not ECDSA", reason="signature")
    return key


def verify_under(key: ec.EllipticCurvePublicKey, message: bytes, signature: bytes) -> None:
    """`verify_signature` under a key that is known already."""
    try:
        _r, s = decode_dss_signature(signature)
        if s > _order(key.curve) // 2:
            raise Refused("signature refused: S is not in the lower half", reason="signature")
        key.verify(signature, message, _SHA256)
    except (ValueError, InvalidSignature) as error:
        raise Refused("signature refused: it does not match", reason="signature") from error


def _order(curve: ec.EllipticCurve) -> int:
    order = _ORDER.get(curve.name)
    if order is None:
        raise Refused(f"curve refused: expected P-256 or P-384, got {curve.name}", reason="signature")
    return order
