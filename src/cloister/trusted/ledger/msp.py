"""Membership service providers: who is a valid identity of an organisation, and in which role.

Source: Fabric 2.5.9 msp/mspimpl.go, mspimplsetup.go, mspimplvalidate.go, identities.go (behaviour of MSPv1_4_3); 3.1.5
for Ed25519 keys, which count under channel capability V3_0 only. Refused, because the judge could not be sure to agree
with a peer: Idemix MSPs, hash functions other than SHA-256, CAs with name constraints.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from fabric_protos.msp import identities_pb2, msp_config_pb2, msp_principal_pb2

from cloister.errors import MalformedInput
from cloister.fabric.decoding import decode_message

from .certificates import (
    Certificate,
    find_chains,
    load_pem_certificate,
    load_pem_revocations,
    signature_matches,
    with_low_s,
)
from .errors import IdentityInvalid, LedgerHalted

FABRIC_MSP = 0
MAX_REMEMBERED = 10_000
"""Identities and verdicts that one configuration remembers: anybody may ask about any number."""
MAX_REMEMBERED_BYTES = 16 * 1024
Roles = msp_principal_pb2.MSPRole
_NODE_OUS = {
    Roles.CLIENT: "client_ou_identifier",
    Roles.PEER: "peer_ou_identifier",
    Roles.ADMIN: "admin_ou_identifier",
    Roles.ORDERER: "orderer_ou_identifier",
}


@dataclass(frozen=True, slots=True, eq=False)
class Identity:
    """A deserialised identity. `key` is what identities are counted by: MSP ID and hash of the certificate."""

    msp_id: str
    certificate: Certificate
    key: tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class _NodeOu:
    name: str
    certifiers: bytes


@dataclass
class Msp:
    """One organisation's MSP, as one configuration block defines it. Make it with `load_msp`."""

    msp_id: str
    ed25519: bool
    roots: tuple[Certificate, ...]
    intermediates: tuple[Certificate, ...]
    revocations: tuple[x509.CertificateRevocationList, ...]
    inner_authorities: frozenset[Certificate] = frozenset()
    """CAs above another configured CA: they may not issue identities."""
    admins: frozenset[bytes] = frozenset()
    restrictions: tuple[_NodeOu, ...] = ()
    node_ous: dict[int, _NodeOu] | None = None
    _verdicts: dict[bytes, str] = field(default_factory=dict)
    """Certificate → "" if valid, else why not: a configuration never changes its mind."""

    def identity(self, certificate: Certificate) -> Identity:
        """An identity of this MSP; not whether it is valid. Raises: IdentityInvalid if Fabric could not make one."""
        if certificate.is_ecdsa_signed:
            certificate = self.sanitized(certificate)
        return Identity(self.msp_id, certificate, (self.msp_id, hashlib.sha256(certificate.der).digest()))

    def sanitized(self, certificate: Certificate) -> Certificate:
        """An ECDSA-signed certificate with its signature rewritten to low S. Raises: IdentityInvalid: no chain."""
        chain = self.unique_chain(certificate)
        return with_low_s(certificate, chain[min(1, len(chain) - 1)])

    def unique_chain(self, certificate: Certificate) -> tuple[Certificate, ...]:
        """The one chain from a certificate to a root. Raises: IdentityInvalid if there is none or more than one."""
        chains = find_chains(certificate, self.roots, self.intermediates)
        if len(chains) != 1:
            raise IdentityInvalid("no single chain to a root")
        return chains[0]

    def validate(self, identity: Identity) -> None:
        """Raises: IdentityInvalid."""
        der = identity.certificate.der
        verdict = self._verdicts.get(der)
        if verdict is None:
            verdict = self._judge(identity.certificate)
            if len(self._verdicts) >= MAX_REMEMBERED:
                self._verdicts.clear()
            self._verdicts[der] = verdict
        if verdict:
            raise IdentityInvalid(verdict)

    def chain(self, certificate: Certificate) -> tuple[Certificate, ...]:
        """The chain of an identity's certificate. Raises: IdentityInvalid."""
        if certificate.is_ca:
            raise IdentityInvalid("a CA certificate is no identity")
        chain = self.unique_chain(certificate)
        if len(chain) < 2:
            raise IdentityInvalid("a root is no identity")
        if chain[1] in self.inner_authorities:
            raise IdentityInvalid("issued by an inner CA")
        return chain

    def satisfies(self, identity: Identity, principal: Any) -> bool:
        """Whether the identity satisfies a `msp.MSPPrincipal`. Never raises."""
        try:
            return all(self._satisfies(identity, item) for item in _flatten(principal))
        except (IdentityInvalid, MalformedInput):
            return False

    # --- validation -------------------------------------------------------------------------------------------------

    def _judge(self, certificate: Certificate) -> str:
        try:
            self._check_key(certificate)
            chain = self.chain(certificate)
            self.check_revocation(certificate, chain[1])
            self._check_units(certificate, chain)
        except IdentityInvalid as invalid:
            return invalid.message
        return ""

    def _check_key(self, certificate: Certificate) -> None:
        key = certificate.public_key
        if not isinstance(key, ec.EllipticCurvePublicKey) and not (
            self.ed25519 and isinstance(key, ed25519.Ed25519PublicKey)
        ):
            raise IdentityInvalid("a key of another kind")

    def check_revocation(self, certificate: Certificate, issuer: Certificate) -> None:
        """Raises: IdentityInvalid if a list of the issuer's names the certificate, or a list names no issuer."""
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
        known = {item.name: item for item in self.node_ous.values()}  # of two with one name the last one counts
        found = 0
        for unit in units:
            item = known.get(unit)
            if item is None:
                continue
            if item.certifiers and item.certifiers != certifiers:
                raise IdentityInvalid("node OU certified by another CA")
            found += 1
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
            if wanted.mspid != self.msp_id or self.identity(load_pem_certificate(wanted.id_bytes)).key != identity.key:
                return False
            self.validate(identity)
            return True
        if kind == kinds.ORGANIZATION_UNIT:
            unit = decode_message(msp_principal_pb2.OrganizationUnit(), principal.principal, "organization unit")
            return unit.msp_identifier == self.msp_id and self._has_unit(identity, unit)
        if kind == kinds.ANONYMITY:
            wanted = decode_message(msp_principal_pb2.MSPIdentityAnonymity(), principal.principal, "anonymity")
            return bool(wanted.anonymity_type == msp_principal_pb2.MSPIdentityAnonymity.NOMINAL)
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
        try:
            identity = self._identities[serialized]
        except KeyError:
            identity = self._deserialize(serialized)
            if len(self._identities) >= MAX_REMEMBERED:
                self._identities.clear()
            if len(serialized) <= MAX_REMEMBERED_BYTES:
                self._identities[serialized] = identity
        if identity is None:
            raise IdentityInvalid("identity cannot be deserialised")
        return identity

    def validate(self, identity: Identity) -> None:
        """Raises: IdentityInvalid."""
        self.msps[identity.msp_id].validate(identity)

    def satisfies(self, identity: Identity, principal: Any) -> bool:
        """Whether the identity satisfies a `msp.MSPPrincipal`, judged by its own MSP."""
        return self.msps[identity.msp_id].satisfies(identity, principal)

    def _deserialize(self, serialized: bytes) -> Identity | None:
        try:
            message = decode_message(identities_pb2.SerializedIdentity(), serialized, "serialised identity")
            msp = self.msps.get(message.mspid)
            return msp.identity(load_pem_certificate(message.id_bytes)) if msp is not None else None
        except (IdentityInvalid, MalformedInput):
            return None


def _flatten(principal: Any) -> list[Any]:
    """The principals that a combined one is made of, however deep. Raises: MalformedInput on an empty combination."""
    found, waiting = [], [principal]
    while waiting:
        item = waiting.pop()
        if item.principal_classification != msp_principal_pb2.MSPPrincipal.COMBINED:
            found.append(item)
            continue
        combined = decode_message(msp_principal_pb2.CombinedPrincipal(), item.principal, "principals")
        if not combined.principals:
            raise MalformedInput("principal: an empty combination", field="principal")
        waiting.extend(reversed(combined.principals))
    return found


def role_principal(msp_id: str, role: int) -> Any:
    """The `msp.MSPPrincipal` of a role in an MSP."""
    encoded = msp_principal_pb2.MSPRole(msp_identifier=msp_id, role=role).SerializeToString()
    return msp_principal_pb2.MSPPrincipal(principal=encoded)


def load_msp(encoded: bytes, *, ed25519: bool = False) -> Msp:
    """An MSP from the config value `MSP` (serialised `msp.MSPConfig`). Raises: LedgerHalted(reason="msp")."""
    try:
        outer = decode_message(msp_config_pb2.MSPConfig(), encoded, "MSP config")
        if outer.type != FABRIC_MSP:
            raise LedgerHalted("MSP of an unsupported type", reason="msp")
        return _load(decode_message(msp_config_pb2.FabricMSPConfig(), outer.config, "MSP config"), ed25519=ed25519)
    except (MalformedInput, IdentityInvalid) as error:
        raise LedgerHalted(f"an MSP does not load: {error.message}", reason="msp") from error


def _load(config: Any, *, ed25519: bool) -> Msp:
    """In Fabric's order of set-up: CAs, revocation lists, TLS CAs, organizational units, administrators."""
    crypto = config.crypto_config
    if crypto.signature_hash_family not in ("", "SHA2") or crypto.identity_identifier_hash_function not in (
        "",
        "SHA256",
    ):
        raise IdentityInvalid("another hash function than SHA-256")
    msp = Msp(
        msp_id=config.name,
        ed25519=ed25519,
        roots=tuple(load_pem_certificate(item) for item in config.root_certs),
        intermediates=tuple(load_pem_certificate(item) for item in config.intermediate_certs),
        revocations=tuple(load_pem_revocations(item) for item in config.revocation_list),
    )
    if not msp.roots:
        raise IdentityInvalid("no root certificates")
    _set_up_authorities(msp)
    _check_tls_authorities(config, msp)
    msp.restrictions = tuple(_load_ou(item, msp, required=True) for item in config.organizational_unit_identifiers)
    msp.node_ous = _load_node_ous(config.fabric_node_ous, msp)
    _set_up_administrators(config, msp)
    return msp


def _set_up_authorities(msp: Msp) -> None:
    """Sanitise the CAs by the chains of their raw forms, then check what came out."""
    roots = tuple(msp.identity(item).certificate for item in msp.roots)
    intermediates = tuple(msp.identity(item).certificate for item in msp.intermediates)
    msp.roots, msp.intermediates = roots, intermediates
    inner: set[Certificate] = set()
    for authority in (*roots, *intermediates):
        chain = msp.unique_chain(authority)
        _check_authority(authority)
        if len(chain) > 1:
            msp.check_revocation(authority, chain[1])
        if authority in intermediates:
            inner.update(chain[1:])
    msp.inner_authorities = frozenset(inner)


def _check_authority(authority: Certificate) -> None:
    if not authority.is_ca or authority.subject_key_id is None:
        raise IdentityInvalid("a CA that is none, or without subject key identifier")
    if authority.has_name_constraints:
        raise IdentityInvalid("a CA with name constraints, which the judge does not evaluate")


def _check_tls_authorities(config: Any, msp: Msp) -> None:
    roots = tuple(load_pem_certificate(item) for item in config.tls_root_certs)
    intermediates = tuple(load_pem_certificate(item) for item in config.tls_intermediate_certs)
    for authority in (*roots, *intermediates):
        chains = find_chains(authority, roots, intermediates)
        _check_authority(authority)
        if len(chains) != 1:
            raise IdentityInvalid("a TLS CA without a single chain")
        if len(chains[0]) > 1:
            msp.check_revocation(authority, chains[0][1])


def _set_up_administrators(config: Any, msp: Msp) -> None:
    admins = [msp.identity(load_pem_certificate(item)) for item in config.admins]
    msp.admins = frozenset(item.certificate.der for item in admins)
    if not admins and (msp.node_ous is None or Roles.ADMIN not in msp.node_ous):
        raise IdentityInvalid("neither administrators nor an organizational unit for them")
    for admin in admins:
        if msp.node_ous is None:
            msp.validate(admin)
        elif not any(
            role in msp.node_ous and msp.node_ous[role].name in admin.certificate.organizational_units
            for role in (Roles.CLIENT, Roles.ADMIN)
        ):
            raise IdentityInvalid("an administrator that is neither client nor admin by its organizational unit")


def certifiers_identifier(chain: tuple[Certificate, ...]) -> bytes:
    """SHA-256 over the CA certificates from the issuer up to the root."""
    return hashlib.sha256(b"".join(item.der for item in chain)).digest()


def _load_ou(item: Any, msp: Msp, *, required: bool = False) -> _NodeOu:
    """An organizational unit; its certifier, if given (or required), must be one of the MSP's CAs."""
    certifiers = b""
    if item.certificate or required:
        certifier = msp.sanitized(load_pem_certificate(item.certificate))
        if certifier in msp.roots:
            certifiers = certifiers_identifier((certifier,))
        elif certifier in msp.intermediates and certifier not in msp.inner_authorities:
            certifiers = certifiers_identifier(msp.unique_chain(certifier))
        else:
            raise IdentityInvalid("the certifier of an organizational unit is no CA of the MSP")
    return _NodeOu(item.organizational_unit_identifier, certifiers)


def _load_node_ous(config: Any, msp: Msp) -> dict[int, _NodeOu] | None:
    """By role; None if they are not enforced, which is also so when none is configured."""
    found = {role: _load_ou(getattr(config, name), msp) for role, name in _NODE_OUS.items() if config.HasField(name)}
    return found if config.enable and found else None
