"""Keys, certificates and MSP folders, laid out as Fabric's `cryptogen` lays them out.

Source: Fabric 2.5.9 internal/cryptogen/{ca,msp}. Every subject says what it is not for, in its organization (O).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cloister.network.layout import ORDERER_DOMAIN, USERS, Layout
from cloister.network.processes import LOOPBACK

PURPOSE = "Cloister embedded network - NOT FOR PRODUCTION"
"""Stands in every certificate's subject."""
_VALIDITY = timedelta(days=3650)
_BACKDATED = timedelta(minutes=5)
_ROLES = ("client", "peer", "admin", "orderer")


@dataclass(frozen=True)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    name: str

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


@dataclass(frozen=True)
class _Organisation:
    """One organisation's two authorities and its folder."""

    domain: str
    folder: Path
    identities: _Authority
    tls: _Authority


def generate_material(layout: Layout) -> None:
    """Make everything below `crypto/` in the network's folder."""
    ordering = _make_organisation(ORDERER_DOMAIN, layout.orderer.crypto)
    for orderer in layout.orderers:
        _write_node(ordering, "orderers", orderer.host, "orderer")
    _write_user(ordering, "Admin")
    for organisation in layout.organisations:
        made = _make_organisation(organisation.domain, organisation.crypto)
        _write_node(made, "peers", organisation.peer_host, "peer")
        for name in ("Admin", *(f"User{number}" for number in range(1, USERS + 1))):
            _write_user(made, name)


def _make_organisation(domain: str, folder: Path) -> _Organisation:
    made = _Organisation(domain, folder, _make_authority(f"ca.{domain}"), _make_authority(f"tlsca.{domain}"))
    for kind, authority in (("ca", made.identities), ("tlsca", made.tls)):
        _write(folder / kind / f"{authority.name}-cert.pem", authority.pem)
        _write_key(folder / kind / "priv_sk", authority.key)
    _write_msp(made, folder / "msp")
    return made


def _write_node(made: _Organisation, kind: str, host: str, role: str) -> None:
    folder = made.folder / kind / host
    _write_identity(made, folder / "msp", host, role)
    _write_tls(made, folder / "tls", host, "server")


def _write_user(made: _Organisation, name: str) -> None:
    full = f"{name}@{made.domain}"
    folder = made.folder / "users" / full
    _write_identity(made, folder / "msp", full, "admin" if name == "Admin" else "client")
    _write_tls(made, folder / "tls", full, "client")


def _write_identity(made: _Organisation, folder: Path, name: str, role: str) -> None:
    _write_msp(made, folder)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _issue(made.identities, key.public_key(), _subject(name, role), _identity_extensions())
    _write(folder / "signcerts" / f"{name}-cert.pem", certificate.public_bytes(Encoding.PEM))
    _write_key(folder / "keystore" / "priv_sk", key)


def _write_tls(made: _Organisation, folder: Path, name: str, kind: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _issue(made.tls, key.public_key(), _subject(name), _tls_extensions(name))
    _write(folder / "ca.crt", made.tls.pem)
    _write(folder / f"{kind}.crt", certificate.public_bytes(Encoding.PEM))
    _write_key(folder / f"{kind}.key", key)


def _write_msp(made: _Organisation, folder: Path) -> None:
    """What members of an organisation have in common."""
    authority = f"{made.identities.name}-cert.pem"
    _write(folder / "cacerts" / authority, made.identities.pem)
    _write(folder / "tlscacerts" / f"{made.tls.name}-cert.pem", made.tls.pem)
    (folder / "admincerts").mkdir(exist_ok=True)
    units = {
        f"{role.title()}OUIdentifier": {
            "Certificate": f"cacerts/{authority}",
            "OrganizationalUnitIdentifier": role,
        }
        for role in _ROLES
    }
    _write(folder / "config.yaml", yaml.safe_dump({"NodeOUs": {"Enable": True, **units}}, sort_keys=False).encode())


def _make_authority(name: str) -> _Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(name)
    extensions = [
        (_usage(key_encipherment=True, authority=True), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (x509.SubjectKeyIdentifier(_key_identifier(key.public_key())), False),
    ]
    certificate = _build(subject, subject, key.public_key(), extensions, key)
    return _Authority(certificate, key, name)


def _issue(
    authority: _Authority,
    key: ec.EllipticCurvePublicKey,
    subject: x509.Name,
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:
    issuer_key = x509.AuthorityKeyIdentifier(_key_identifier(authority.key.public_key()), None, None)
    every = [*extensions, (x509.BasicConstraints(ca=False, path_length=None), True), (issuer_key, False)]
    return _build(subject, authority.certificate.subject, key, every, authority.key)


def _build(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
    signing_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    beginning = datetime.now(UTC).replace(microsecond=0) - _BACKDATED
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(beginning)
        .not_valid_after(beginning + _VALIDITY)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signing_key, hashes.SHA256())


def _subject(name: str, unit: str = "") -> x509.Name:
    attributes = [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
        x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "California"),
        x509.NameAttribute(NameOID.LOCALITY_NAME, "San Francisco"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, PURPOSE),
    ]
    if unit:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _identity_extensions() -> list[tuple[x509.ExtensionType, bool]]:
    return [(_usage(), True)]


def _tls_extensions(host: str) -> list[tuple[x509.ExtensionType, bool]]:
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in (host, host.split(".", maxsplit=1)[0], "localhost")]
    if "@" in host:
        names = []
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    alternatives = x509.SubjectAlternativeName([*names, x509.IPAddress(IPv4Address(LOOPBACK))])
    return [(_usage(key_encipherment=True), True), (usage, False), (alternatives, False)]


def _usage(*, key_encipherment: bool = False, authority: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _key_identifier(key: ec.EllipticCurvePublicKey) -> bytes:
    """As cryptogen computes it: SHA-256 over the uncompressed point."""
    return hashlib.sha256(key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)).digest()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    _write(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
