"""Membership service providers: who is a valid identity of an organisation, and in which role.

Source: Fabric 2.5.9 msp/mspimpl.go, mspimplsetup.go, mspimplvalidate.go, identities.go (behaviour of MSPv1_4_3).
Idemix MSPs are not supported: a channel with one is refused.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from fabric_protos.msp import identities_pb2, msp_config_pb2, msp_principal_pb2

from cloister.errors import MalformedInput
from cloister.fabric.decoding import decode_message

from .certificates import Certificate, find_chains, load_pem_certificate, signature_matches
from .errors import IdentityInvalid, LedgerHalted
from .signatures import verify_ecdsa

FABRIC_MSP = 0
Roles = msp_principal_pb2.MSPRole


@dataclass(frozen=True, slots=True)
class Identity:
    """A deserialised identity. `key` is what identities are counted by: MSP ID and certificate."""

    msp_id: str
    certificate: Certificate

    @property
    def key(self) -> tuple[str, bytes]:
        """Equal for the same certificate of the same MSP."""
        return self.msp_id, hashlib.sha256(self.certificate.der).digest()

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether this identity signed the message. RSA keys can't, in Fabric."""
        key = self.certificate.parsed.public_key()
        return isinstance(key, ec.EllipticCurvePublicKey) and verify_ecdsa(key, message, signature)


@dataclass(frozen=True, slots=True)
class _NodeOu:
    name: str
    certifiers: bytes


@dataclass
class Msp:
    """One organisation's MSP, as one configuration block defines it."""

    msp_id: str
    roots: tuple[Certificate, ...]
    intermediates: tuple[Certificate, ...]
    admins: tuple[bytes, ...]
    revocations: tuple[x509.CertificateRevocationList, ...]
    restrictions: tuple[_NodeOu, ...]
    node_ous: dict[int, _NodeOu] | None
    _verdicts: dict[bytes, str] = field(default_factory=dict)
    """Certificate → "" if valid, else why not: a configuration never changes its mind."""

    def validate(self, identity: Identity) -> None:
        """Raises: IdentityInvalid."""
        der = identity.certificate.der
        verdict = self._verdicts.get(der)
        if verdict is None:
            verdict = self._judge(identity.certificate)
            self._verdicts[der] = verdict
        if verdict:
            raise IdentityInvalid(verdict)

    def chain(self, certificate: Certificate) -> tuple[Certificate, ...]:
        """The one chain of an identity's certificate. Raises: IdentityInvalid."""
        if certificate.is_ca:
            raise IdentityInvalid("a CA certificate is no identity")
        chains = find_chains(certificate, self.roots, self.intermediates)
        if len(chains) != 1 or len(chains[0]) < 2:
            raise IdentityInvalid("no single chain to a root")
        if chains[0][1] in self._inner_authorities():
            raise IdentityInvalid("issued by an inner CA")
        return chains[0]

    def satisfies(self, identity: Identity, principal: Any) -> bool:
        """Whether the identity satisfies a `msp.MSPPrincipal`. Never raises."""
        try:
            return self._satisfies(identity, principal)
        except (IdentityInvalid, MalformedInput):
            return False

    # --- validation -------------------------------------------------------------------------------------------------

    def _judge(self, certificate: Certificate) -> str:
        try:
            chain = self.chain(certificate)
            self._check_revocation(certificate, chain[1])
            self._check_units(certificate, chain)
        except IdentityInvalid as invalid:
            return invalid.message
        return ""

    def _inner_authorities(self) -> set[Certificate]:
        """CAs above another configured CA: they may not issue identities."""
        return {
            parent
            for child in self.intermediates
            for chain in find_chains(child, self.roots, self.intermediates)
            for parent in chain[1:]
        }

    def _check_revocation(self, certificate: Certificate, issuer: Certificate) -> None:
        for revocation in self.revocations:
            try:
                extension = revocation.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
            except x509.ExtensionNotFound as error:
                raise IdentityInvalid("a revocation list without authority key identifier") from error
            if extension.value.key_identifier != issuer.subject_key_id:
                continue
            entry = revocation.get_revoked_certificate_by_serial_number(certificate.parsed.serial_number)
            signed = revocation.tbs_certlist_bytes
            if entry is not None and signature_matches(issuer, revocation.signature, signed, revocation):
                raise IdentityInvalid("revoked")

    def _check_units(self, certificate: Certificate, chain: tuple[Certificate, ...]) -> None:
        units, certifiers = certificate.organizational_units, certifiers_identifier(chain[1:])
        if self.restrictions and not any(
            unit == item.name and certifiers == item.certifiers for unit in units for item in self.restrictions
        ):
            raise IdentityInvalid("none of the organizational units that the MSP demands")
        if self.node_ous is None:
            return
        found = 0
        for unit in units:
            for item in self.node_ous.values():
                if unit == item.name:
                    if item.certifiers and item.certifiers != certifiers:
                        raise IdentityInvalid("node OU certified by another CA")
                    found += 1
                    break
        if found != 1:
            raise IdentityInvalid(f"expected exactly one node OU, found {found}")

    # --- principals -------------------------------------------------------------------------------------------------

    def _satisfies(self, identity: Identity, principal: Any) -> bool:
        kinds = msp_principal_pb2.MSPPrincipal
        kind = principal.principal_classification
        if kind == kinds.ROLE:
            role = decode_message(msp_principal_pb2.MSPRole(), principal.principal, "role")
            return role.msp_identifier == self.msp_id and self._has_role(identity, role.role)
        if kind == kinds.IDENTITY:
            wanted = decode_message(identities_pb2.SerializedIdentity(), principal.principal, "identity")
            if load_pem_certificate(wanted.id_bytes) != identity.certificate:
                return False
            self.validate(identity)
            return True
        if kind == kinds.ORGANIZATION_UNIT:
            unit = decode_message(msp_principal_pb2.OrganizationUnit(), principal.principal, "organization unit")
            return unit.msp_identifier == self.msp_id and self._has_unit(identity, unit)
        if kind == kinds.ANONYMITY:
            wanted = decode_message(msp_principal_pb2.MSPIdentityAnonymity(), principal.principal, "anonymity")
            return bool(wanted.anonymity_type == msp_principal_pb2.MSPIdentityAnonymity.NOMINAL)
        if kind == kinds.COMBINED:
            combined = decode_message(msp_principal_pb2.CombinedPrincipal(), principal.principal, "principals")
            return bool(combined.principals) and all(self._satisfies(identity, item) for item in combined.principals)
        return False

    def _has_role(self, identity: Identity, role: int) -> bool:
        if role == Roles.ADMIN and identity.certificate.der in self.admins:
            return True  # listed byte for byte: then not even revocation counts
        if role == Roles.MEMBER:
            self.validate(identity)
            return True
        if self.node_ous is None or role not in self.node_ous:
            return False
        self.validate(identity)
        return self.node_ous[role].name in identity.certificate.organizational_units

    def _has_unit(self, identity: Identity, unit: Any) -> bool:
        self.validate(identity)
        certifiers = certifiers_identifier(self.chain(identity.certificate)[1:])
        name = unit.organizational_unit_identifier
        return name in identity.certificate.organizational_units and certifiers == unit.certifiers_identifier


class MspManager:
    """All MSPs of a channel, by MSP ID."""

    def __init__(self, msps: dict[str, Msp]) -> None:
        self.msps = msps
        self._identities: dict[bytes, Identity | None] = {}

    def deserialize(self, serialized: bytes) -> Identity:
        """An identity from a serialised `msp.SerializedIdentity`. Raises: IdentityInvalid."""
        if serialized not in self._identities:
            try:
                self._identities[serialized] = self._deserialize(serialized)
            except (IdentityInvalid, MalformedInput):
                self._identities[serialized] = None
        identity = self._identities[serialized]
        if identity is None:
            raise IdentityInvalid("identity cannot be deserialised")
        return identity

    def validate(self, identity: Identity) -> None:
        """Raises: IdentityInvalid."""
        self.msps[identity.msp_id].validate(identity)

    def satisfies(self, identity: Identity, principal: Any) -> bool:
        """Whether the identity satisfies a `msp.MSPPrincipal`, judged by its own MSP."""
        return self.msps[identity.msp_id].satisfies(identity, principal)

    def _deserialize(self, serialized: bytes) -> Identity:
        message = decode_message(identities_pb2.SerializedIdentity(), serialized, "serialised identity")
        msp = self.msps.get(message.mspid)
        if msp is None:
            raise IdentityInvalid("unknown MSP")
        certificate = load_pem_certificate(message.id_bytes)
        algorithm = certificate.parsed.signature_algorithm_oid.dotted_string
        if algorithm.startswith("1.2.840.10045.4."):
            # An ECDSA-signed certificate must have a chain already here (its signature is rewritten to low S).
            msp.chain(certificate)
        return Identity(message.mspid, certificate)


def load_msp(encoded: bytes) -> Msp:
    """An MSP from the config value `MSP` (serialised `msp.MSPConfig`). Raises: LedgerHalted(reason="msp")."""
    try:
        outer = decode_message(msp_config_pb2.MSPConfig(), encoded, "MSP config")
        if outer.type != FABRIC_MSP:
            raise LedgerHalted("MSP of an unsupported type", reason="msp")
        config = decode_message(msp_config_pb2.FabricMSPConfig(), outer.config, "MSP config")
        roots = tuple(load_pem_certificate(item) for item in config.root_certs)
        intermediates = tuple(load_pem_certificate(item) for item in config.intermediate_certs)
        if not roots:
            raise LedgerHalted(f"MSP {config.name} without root certificates", reason="msp")
        return Msp(
            msp_id=config.name,
            roots=roots,
            intermediates=intermediates,
            admins=tuple(load_pem_certificate(item).der for item in config.admins),
            revocations=tuple(_load_crl(item) for item in config.revocation_list),
            restrictions=tuple(_load_ou(item, roots, intermediates) for item in config.organizational_unit_identifiers),
            node_ous=_load_node_ous(config.fabric_node_ous, roots, intermediates),
        )
    except (MalformedInput, IdentityInvalid) as error:
        raise LedgerHalted("an MSP does not load", reason="msp") from error


def certifiers_identifier(chain: tuple[Certificate, ...]) -> bytes:
    """SHA-256 over the CA certificates from the issuer up to the root."""
    return hashlib.sha256(b"".join(item.der for item in chain)).digest()


def _load_crl(encoded: bytes) -> x509.CertificateRevocationList:
    try:
        return x509.load_pem_x509_crl(encoded)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise IdentityInvalid("no revocation list") from error


def _load_ou(item: Any, roots: tuple[Certificate, ...], intermediates: tuple[Certificate, ...]) -> _NodeOu:
    certifiers = b""
    if item.certificate:
        chains = find_chains(load_pem_certificate(item.certificate), roots, intermediates)
        if len(chains) != 1:
            raise IdentityInvalid("the certifier of an organizational unit has no single chain")
        certifiers = certifiers_identifier(chains[0])
    return _NodeOu(item.organizational_unit_identifier, certifiers)


def _load_node_ous(
    config: Any, roots: tuple[Certificate, ...], intermediates: tuple[Certificate, ...]
) -> dict[int, _NodeOu] | None:
    if not config.enable:
        return None
    fields = {
        Roles.CLIENT: "client_ou_identifier",
        Roles.PEER: "peer_ou_identifier",
        Roles.ADMIN: "admin_ou_identifier",
        Roles.ORDERER: "orderer_ou_identifier",
    }
    return {
        role: _load_ou(getattr(config, name), roots, intermediates)
        for role, name in fields.items()
        if config.HasField(name) and getattr(config, name).organizational_unit_identifier
    }
