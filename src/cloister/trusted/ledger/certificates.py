"""Certificate chains as Go's x509.Verify and Fabric's MSP build them.

Sources: Fabric 2.5.9 msp/mspimplvalidate.go, msp/mspimplsetup.go, msp/cert.go; Go crypto/x509 verify.go. Differences to
ordinary verification, all Fabric's: the time is NotBefore + 1 s of the certificate being validated; no key usage is
asked, which in Go means serverAuth; exactly one chain must come out; an ECDSA signature on a certificate is rewritten
to its low-S twin, so that two encodings of one certificate do not count as two identities.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from cloister.fabric.der import BIT_STRING, INTEGER, SEQUENCE, encode_element, read_element
from cloister.fabric.pem import first_pem_block

from .errors import IdentityInvalid
from .signatures import to_low_s

MAX_CHAIN = 10
_ECDSA: Final = "1.2.840.10045.4."
"""Beginning of the object identifiers of ECDSA signatures."""
_POLICY_MAPPINGS: Final = x509.ObjectIdentifier("2.5.29.33")
_PLAIN_URI: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?"
)
_OBJECT_ID, _SET, _VERSION = 0x06, 0x31, 0xA0
_STRINGS: Final = frozenset({0x0C, 0x12, 0x13, 0x14, 0x16, 0x1E})
"""Tags of UTF8String, NumericString, PrintableString, T61String, IA5String, BMPString."""
_HANDLED_CRITICAL = {
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    ExtensionOID.NAME_CONSTRAINTS,
    ExtensionOID.SUBJECT_KEY_IDENTIFIER,
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    ExtensionOID.CERTIFICATE_POLICIES,
    ExtensionOID.CRL_DISTRIBUTION_POINTS,
    ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
}


_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What the library raises on parts of certificates and revocation lists that it cannot read."""


@dataclass(frozen=True)
class Certificate:
    """A parsed certificate with what is asked of it again and again. Compared by its bytes."""

    der: bytes

    @cached_property
    def parsed(self) -> x509.Certificate:
        """The library's object."""
        return x509.load_der_x509_certificate(self.der)

    @cached_property
    def public_key(self) -> Any:
        """The library's key object."""
        return self.parsed.public_key()

    @cached_property
    def is_ecdsa_signed(self) -> bool:
        """Its issuer signed with ECDSA."""
        return self.parsed.signature_algorithm_oid.dotted_string.startswith(_ECDSA)

    @cached_property
    def has_name_constraints(self) -> bool:
        """Only for CAs. The judge does not evaluate them."""
        return self._extension(x509.NameConstraints) is not None

    @cached_property
    def subject(self) -> bytes:
        """The subject's DER, compared byte for byte as Go does."""
        return self.parsed.subject.public_bytes()

    @cached_property
    def issuer(self) -> bytes:
        """The issuer's DER."""
        return self.parsed.issuer.public_bytes()

    @cached_property
    def is_ca(self) -> bool:
        """Basic constraints say CA."""
        constraints = self._extension(x509.BasicConstraints)
        return constraints is not None and constraints.ca

    @cached_property
    def path_length(self) -> int | None:
        """Basic constraints' path length, None if there is none."""
        constraints = self._extension(x509.BasicConstraints)
        return constraints.path_length if constraints is not None else None

    @cached_property
    def may_sign_certificates(self) -> bool:
        """Key usage, if there is one, includes certificate signing."""
        usage = self._extension(x509.KeyUsage)
        return usage is None or usage.key_cert_sign

    @cached_property
    def allows_server_auth(self) -> bool:
        """Extended key usage, if there is one, includes serverAuth or any."""
        usage = self._extension(x509.ExtendedKeyUsage)
        wanted = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
        return usage is None or bool(wanted & set(usage))

    @cached_property
    def has_unknown_critical_extension(self) -> bool:
        """Go refuses such certificates."""
        return any(item.critical and item.oid not in _HANDLED_CRITICAL for item in self.parsed.extensions)

    @cached_property
    def subject_key_id(self) -> bytes | None:
        """SubjectKeyIdentifier."""
        extension = self._extension(x509.SubjectKeyIdentifier)
        return extension.digest if extension is not None else None

    @cached_property
    def organizational_units(self) -> tuple[str, ...]:
        """The subject's OU values, in order, doubled ones too."""
        units = self.parsed.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATIONAL_UNIT_NAME)
        return tuple(str(unit.value) for unit in units)

    @cached_property
    def not_before(self) -> datetime:
        """Start of validity, UTC."""
        return self.parsed.not_valid_before_utc

    @cached_property
    def not_after(self) -> datetime:
        """End of validity, UTC, inclusive."""
        return self.parsed.not_valid_after_utc

    def _extension(self, kind: type[x509.ExtensionType]) -> Any:
        try:
            return self.parsed.extensions.get_extension_for_class(kind).value
        except x509.ExtensionNotFound:
            return None


def load_pem_certificate(pem: bytes) -> Certificate:
    """The certificate in the first PEM block, as Go finds that, whatever its type says.

    Raises: IdentityInvalid, now and not when a part of it is looked at later.
    """
    try:
        loaded = x509.load_der_x509_certificate(first_pem_block(pem) or b"")
        certificate = Certificate(loaded.public_bytes(Encoding.DER))
        _ = certificate.parsed.extensions, certificate.subject, certificate.issuer, certificate.public_key
        is_refused = _is_refused_by_go(certificate)
    except _UNREADABLE as error:
        raise IdentityInvalid("no usable certificate") from error
    if is_refused:
        raise IdentityInvalid("a certificate that Go's library does not read")
    return certificate


def _is_refused_by_go(certificate: Certificate) -> bool:
    """What Go's x509.ParseCertificate refuses and the library reads.

    A member's own authority could issue such a certificate: what it endorses would be valid here and nowhere else.
    """
    parsed = certificate.parsed
    return (
        parsed.serial_number < 0
        or not _names_one_algorithm(certificate.der, parsed.tbs_certificate_bytes)
        or not (_is_plain_name(certificate.subject) and _is_plain_name(certificate.issuer))
        or any(_is_odd(item, is_ca=certificate.is_ca) for item in parsed.extensions)
    )


def _is_odd(extension: x509.Extension[Any], *, is_ca: bool) -> bool:
    """Extensions that Go takes further apart than the library: what is not plain there counts as unreadable."""
    value = extension.value
    if isinstance(value, x509.SubjectAlternativeName):
        return not all(_PLAIN_URI.fullmatch(uri) for uri in value.get_values_for_type(x509.UniformResourceIdentifier))
    if isinstance(value, x509.CertificatePolicies):
        return len({item.policy_identifier for item in value}) != len(list(value))
    return extension.oid == _POLICY_MAPPINGS or (isinstance(value, x509.NameConstraints) and not is_ca)


def _names_one_algorithm(der: bytes, signed: bytes) -> bool:
    """The algorithm is the same, byte for byte, in what is signed and beside the signature."""
    outer, inner = read_element(der, 0, SEQUENCE), read_element(signed, 0, SEQUENCE)
    if outer is None or inner is None:
        return False
    version = read_element(signed, inner[0], _VERSION)
    serial = read_element(signed, version[1] if version is not None else inner[0], INTEGER)
    if serial is None:
        return False
    first, second = read_element(signed, serial[1], SEQUENCE), read_element(der, outer[0] + len(signed), SEQUENCE)
    if first is None or second is None:
        return False
    return signed[serial[1] : first[1]] == der[outer[0] + len(signed) : second[1]]


def _is_plain_name(name: bytes) -> bool:
    """A Name whose values are all of string types that Go knows."""
    outer = read_element(name, 0, SEQUENCE)
    if outer is None:
        return False
    position = outer[0]
    while position < outer[1]:
        relative = read_element(name, position, _SET)
        if relative is None:
            return False
        position = relative[0]
        while position < relative[1]:
            attribute = read_element(name, position, SEQUENCE)
            kind = read_element(name, attribute[0], _OBJECT_ID) if attribute is not None else None
            if attribute is None or kind is None or name[kind[1]] not in _STRINGS:
                return False
            position = attribute[1]
    return True


def load_pem_revocations(pem: bytes) -> x509.CertificateRevocationList:
    """A revocation list in PEM bytes, all of it readable. Raises: IdentityInvalid."""
    try:
        loaded = x509.load_pem_x509_crl(pem)
        _ = loaded.extensions, list(loaded)
    except _UNREADABLE as error:
        raise IdentityInvalid("no revocation list") from error
    return loaded


def validation_time(certificate: Certificate) -> datetime:
    """The moment at which Fabric validates a certificate: one second after its own NotBefore."""
    return certificate.not_before + timedelta(seconds=1)


def find_chains(
    leaf: Certificate, roots: Sequence[Certificate], intermediates: Sequence[Certificate]
) -> list[tuple[Certificate, ...]]:
    """All chains from a certificate to a root, at Fabric's time for it; empty if it does not verify."""
    try:
        moment = validation_time(leaf)
    except OverflowError:  # Go counts on into the year 10000, where no certificate is valid
        return []
    if leaf.has_unknown_critical_extension or not _valid_at(leaf, moment):
        return []
    if leaf in roots:
        return [(leaf,)] if leaf.allows_server_auth else []
    found: list[tuple[Certificate, ...]] = []
    _extend((leaf,), roots, intermediates, moment, found)
    return [chain for chain in found if all(item.allows_server_auth for item in chain)]


def with_low_s(certificate: Certificate, issuer: Certificate) -> Certificate:
    """The certificate, its ECDSA signature (verified before) rewritten to low S. Raises: IdentityInvalid."""
    if not certificate.is_ecdsa_signed:
        return certificate
    signature = certificate.parsed.signature
    low = to_low_s(signature, getattr(getattr(issuer.public_key, "curve", None), "name", ""))
    if low is None:
        raise IdentityInvalid("a certificate's signature cannot be rewritten")
    return certificate if low == signature else _resigned(certificate, low)


def _resigned(certificate: Certificate, signature: bytes) -> Certificate:
    """Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signature } with another signature."""
    outer = read_element(certificate.der, 0, SEQUENCE)
    signed = certificate.parsed.tbs_certificate_bytes
    start = outer[0] + len(signed) if outer is not None else 0
    algorithm = read_element(certificate.der, start, SEQUENCE)
    if algorithm is None:
        raise IdentityInvalid("a certificate in an unusual encoding")
    body = signed + certificate.der[start : algorithm[1]] + encode_element(BIT_STRING, b"\0" + signature)
    return Certificate(encode_element(SEQUENCE, body))


def is_issued_by(child: Certificate, parent: Certificate) -> bool:
    """Names match and the parent, a CA that may sign, did sign."""
    if child.issuer != parent.subject or not parent.is_ca or not parent.may_sign_certificates:
        return False
    if not signature_matches(parent, child.parsed.signature, child.parsed.tbs_certificate_bytes, child.parsed):
        return False
    return not isinstance(child.parsed.signature_hash_algorithm, hashes.MD5 | hashes.SHA1)  # as Go does since 1.18


def signature_matches(
    signer: Certificate,
    signature: bytes,
    signed: bytes,
    carrier: x509.Certificate | x509.CertificateRevocationList,
) -> bool:
    """Whether `signer`'s key made a signature on a certificate or revocation list."""
    key = signer.public_key
    try:
        algorithm = carrier.signature_hash_algorithm
        if isinstance(key, ec.EllipticCurvePublicKey) and algorithm is not None:
            key.verify(signature, signed, ec.ECDSA(algorithm))
        elif isinstance(key, rsa.RSAPublicKey) and isinstance(algorithm, hashes.HashAlgorithm):
            key.verify(signature, signed, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ed25519.Ed25519PublicKey) and algorithm is None:
            key.verify(signature, signed)
        else:
            return False
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True


def _extend(
    chain: tuple[Certificate, ...],
    roots: Sequence[Certificate],
    intermediates: Sequence[Certificate],
    moment: datetime,
    found: list[tuple[Certificate, ...]],
) -> None:
    if len(chain) >= MAX_CHAIN:
        return
    last = chain[-1]
    found.extend((*chain, root) for root in roots if _fits(last, root, chain, moment))
    for intermediate in intermediates:
        if intermediate not in chain and _fits(last, intermediate, chain, moment):
            _extend((*chain, intermediate), roots, intermediates, moment, found)


def _fits(child: Certificate, parent: Certificate, chain: tuple[Certificate, ...], moment: datetime) -> bool:
    below = len(chain) - 1  # CA certificates between the parent and the leaf
    if parent.path_length is not None and below > parent.path_length:
        return False
    if parent.has_unknown_critical_extension or not _valid_at(parent, moment):
        return False
    return is_issued_by(child, parent)


def _valid_at(certificate: Certificate, moment: datetime) -> bool:
    return certificate.not_before <= moment <= certificate.not_after
