"""Identities of a test network with their keys, and new ones made by its own certificate authorities, sound or not."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from cloister.errors import UsageError
from cloister.fabric.der import BIT_STRING, SEQUENCE, encode_element, read_element
from cloister.fabric.identity import SerializedIdentity, decode_serialized_identity, to_low_s
from cloister.network import Network, Organisation

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""SEC 2 v2, section 2.4.2."""
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Signer:
    """A serialised identity and its key."""

    creator: bytes
    key: ec.EllipticCurvePrivateKey

    def sign(self, message: bytes) -> bytes:
        """As Fabric's clients and peers do: ECDSA over SHA-256, low S."""
        return to_low_s(self.key.sign(message, ec.ECDSA(hashes.SHA256())), self.key.curve)

    def under(self, msp_id: str) -> Signer:
        """The same certificate and key, claimed for another MSP."""
        message = SerializedIdentity(msp_id, self.certificate_pem)
        return Signer(message.encode(), self.key)

    def with_certificate(self, pem: bytes) -> Signer:
        """Another encoding of the certificate."""
        return Signer(SerializedIdentity(self.msp_id, pem).encode(), self.key)

    @property
    def msp_id(self) -> str:
        """The MSP ID it claims."""
        return decode_serialized_identity(self.creator).msp_id

    @property
    def certificate_pem(self) -> bytes:
        """Its certificate in PEM."""
        return decode_serialized_identity(self.creator).id_bytes


def client_signer(organisation: Organisation, user: str = "User1") -> Signer:
    """A client identity of an organisation."""
    files = organisation.user(user)
    return read_signer(organisation.msp_id, files.cert_path, files.key_path)


def peer_signer(organisation: Organisation) -> Signer:
    """The organisation's peer."""
    return signer_of(organisation.msp_id, organisation.peer_crypto / "msp")


def orderer_signer(network: Network) -> Signer:
    """The network's (first) orderer."""
    return signer_of("OrdererMSP", network.orderer.node_crypto / "msp")


def orderer_admin(network: Network) -> Signer:
    """The administrator of the ordering organisation."""
    return signer_of("OrdererMSP", next((network.orderer.crypto / "users").iterdir()) / "msp")


def signer_of(msp_id: str, folder: Path) -> Signer:
    """The identity in a local MSP folder."""
    certificate = next((folder / "signcerts").iterdir())
    return read_signer(msp_id, certificate, folder / "keystore" / "priv_sk")


def read_signer(msp_id: str, certificate: Path, key: Path) -> Signer:
    """From PEM files. Raises: UsageError on a key of another kind."""
    return Signer(SerializedIdentity(msp_id, certificate.read_bytes()).encode(), _load_key(key))


@dataclass(frozen=True)
class Authority:
    """A certificate authority: its certificate and key."""

    msp_id: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """Its certificate in PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    def under(self, msp_id: str) -> Authority:
        """The same certificate and key, for another MSP."""
        return Authority(msp_id, self.certificate, self.key)

    def issue(self, wanted: Wanted) -> Signer:
        """A new identity."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._build(wanted, key.public_key())
        return Signer(SerializedIdentity(self.msp_id, certificate.public_bytes(Encoding.PEM)).encode(), key)

    def issue_authority(self, name: str) -> Authority:
        """A new intermediate authority below this one."""
        key = ec.generate_private_key(ec.SECP256R1())
        return Authority(self.msp_id, self._build(Wanted(name, units=(), is_ca=True), key.public_key()), key)

    def revoke(self, *certificates: bytes) -> bytes:
        """A revocation list (PEM) of certificates (PEM). Its own dates are long past: Fabric does not look at them."""
        moment = self.certificate.not_valid_before_utc
        identifier = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        extension = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(moment).next_update(moment + _DAY).add_extension(extension, critical=False)
        for pem in certificates:
            serial = x509.load_pem_x509_certificate(pem).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(moment).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def _build(self, wanted: Wanted, key: ec.EllipticCurvePublicKey) -> x509.Certificate:
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, wanted.name)]
        attributes += [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in wanted.units]
        beginning = self.certificate.not_valid_before_utc
        identifier = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(attributes))
            .issuer_name(self.certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(beginning + wanted.validity[0])
            .not_valid_after(beginning + wanted.validity[1])
            .add_extension(x509.BasicConstraints(ca=wanted.is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        )
        for extension, critical in wanted.extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self.key, hashes.SHA256())


@dataclass(frozen=True)
class Wanted:
    """What a new certificate is to say. `units`: organizational units; `validity`: counted from its authority's."""

    name: str
    units: Sequence[str] = ("peer",)
    validity: tuple[timedelta, timedelta] = (timedelta(0), 365 * _DAY)
    is_ca: bool = False
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = field(default=())
    """(extension, critical)."""


def authority_of(organisation: Organisation) -> Authority:
    """An organisation's certificate authority."""
    folder = organisation.crypto / "ca"
    certificate = x509.load_pem_x509_certificate(next(folder.glob("*-cert.pem")).read_bytes())
    return Authority(organisation.msp_id, certificate, _load_key(folder / "priv_sk"))


def stranger(authority: Authority) -> Authority:
    """An authority of one's own with the same name as another's: what a forger has."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = authority.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(certificate.subject)
        .issuer_name(certificate.subject)
        .public_key(key.public_key())
        .serial_number(certificate.serial_number)
        .not_valid_before(certificate.not_valid_before_utc)
        .not_valid_after(certificate.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Authority(authority.msp_id, builder.sign(key, hashes.SHA256()), key)


def to_high_s(signature: bytes) -> bytes:
    """The twin of a P-256 signature that Fabric refuses, or rewrites on certificates."""
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, max(s, _P256_ORDER - s))


def with_high_s(pem: bytes) -> bytes:
    """The same certificate (P-256, PEM) with its issuer's signature turned to its high-S twin, in PEM."""
    certificate = x509.load_pem_x509_certificate(pem)
    der, signed = certificate.public_bytes(Encoding.DER), certificate.tbs_certificate_bytes
    outer = read_element(der, 0, SEQUENCE)
    start = (outer[0] if outer else 0) + len(signed)
    algorithm = read_element(der, start, SEQUENCE)
    signature = to_high_s(certificate.signature)
    end = algorithm[1] if algorithm else start
    body = signed + der[start:end] + encode_element(BIT_STRING, b"\0" + signature)
    twin = x509.load_der_x509_certificate(encode_element(SEQUENCE, body))
    return twin.public_bytes(Encoding.PEM)


def with_unreadable_issuer(pem: bytes) -> bytes:
    """The same certificate, its issuer's country in a string type (GeneralString) that Go does not read, in PEM."""
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    bent = der.replace(b"\x13\x02US", b"\x1b\x02US", 1)  # the issuer comes first; cryptogen writes PrintableStrings
    lines = base64.encodebytes(bent)
    return b"-----BEGIN CERTIFICATE-----\n" + lines + b"-----END CERTIFICATE-----\n"


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    loaded = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise UsageError(f"{path}: expected an ECDSA key")
    return loaded
