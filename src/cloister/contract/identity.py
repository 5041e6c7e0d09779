"""The caller of a transaction: MSP ID, certificate, attributes that its CA put into the certificate.

Trust level: pure, measured into enclaves. That the identity is valid in the channel, the peer has checked (plain
chaincode) or the enclave does.
Source: fabric-chaincode-go pkg/cid and pkg/attrmgr.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier

from cloister.errors import MalformedInput
from cloister.fabric.identity import SerializedIdentity

from .stub import ChaincodeStubInterface

ATTRIBUTES_OID = ObjectIdentifier("1.2.3.4.5.6.7.8.1")
"""Certificate extension in which a Fabric CA stores `{"attrs": {name: value}}`."""


class ClientIdentity:
    """Reads the caller's identity from the stub. All methods raise MalformedInput if there is no certificate."""

    def __init__(self, stub: ChaincodeStubInterface) -> None:
        self._stub = stub

    def get_mspid(self) -> str:
        """The caller's MSP ID."""
        return self._identity.msp_id

    def get_msp_id(self) -> str:
        """The same as `get_mspid`."""
        return self._identity.msp_id

    def get_id(self) -> str:
        """The certificate in DER, base64: what `fabric-chaincode-python` returns. Changes when it is renewed."""
        return base64.b64encode(self._certificate.public_bytes(Encoding.DER)).decode()

    def get_distinguished_id(self) -> str:
        """Base64 of `x509::<subject>::<issuer>` as Go's `cid.GetID` has it. Stays when the certificate is renewed."""
        names = (self._certificate.subject, self._certificate.issuer)
        return base64.b64encode("::".join(["x509", *map(_distinguished_name, names)]).encode()).decode()

    def get_x509(self) -> bytes:
        """The certificate as the caller sent it, normally PEM."""
        return self._identity.id_bytes

    def get_x509_certificate(self) -> x509.Certificate:
        """The parsed certificate."""
        return self._certificate

    def get_attribute(self, attr_name: str) -> str | None:
        """Value of a certificate attribute, None if there is none of this name."""
        return self._attributes.get(attr_name)

    def get_attribute_value(self, attr_name: str) -> str | None:
        """The same as `get_attribute`."""
        return self.get_attribute(attr_name)

    def assert_attribute(self, attr_name: str) -> bool:
        """Whether the certificate has an attribute of this name."""
        return attr_name in self._attributes

    def assert_attribute_value(self, attr_name: str, attr_value: str) -> bool:
        """Whether the certificate has this attribute with this value."""
        return self._attributes.get(attr_name) == attr_value

    def get_organizational_units(self) -> tuple[str, ...]:
        """The subject's OU values, in the certificate's order: "client", "admin" and the like with NodeOUs."""
        units = self._certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
        return tuple(str(unit.value) for unit in units)

    def has_organizational_unit(self, name: str) -> bool:
        """Whether `name` is one of the subject's OU values."""
        return name in self.get_organizational_units()

    @cached_property
    def _identity(self) -> SerializedIdentity:
        creator = self._stub.get_creator()
        return SerializedIdentity(creator["mspid"], creator["idBytes"])

    @cached_property
    def _certificate(self) -> x509.Certificate:
        return self._identity.certificate()

    @cached_property
    def _attributes(self) -> Mapping[str, str]:
        try:
            extension = self._certificate.extensions.get_extension_for_oid(ATTRIBUTES_OID)
        except x509.ExtensionNotFound:
            return {}
        except ValueError as error:
            raise MalformedInput("certificate extensions cannot be read", field="certificate") from error
        return _parse_attributes(extension.value.public_bytes())


def _parse_attributes(encoded: bytes) -> Mapping[str, str]:
    try:
        attributes = json.loads(encoded)["attrs"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise MalformedInput('certificate attributes are not JSON {"attrs": …}', field="certificate") from error
    if not isinstance(attributes, dict) or not all(isinstance(value, str) for value in attributes.values()):
        raise MalformedInput("certificate attributes are not a map from names to text", field="certificate")
    return attributes


# Attribute types that Go's crypto/x509/pkix keeps apart, in the order in which it writes them back.
_GO_ORDER: tuple[tuple[ObjectIdentifier, str], ...] = (
    (NameOID.COUNTRY_NAME, "C"),
    (NameOID.STATE_OR_PROVINCE_NAME, "ST"),
    (NameOID.LOCALITY_NAME, "L"),
    (NameOID.STREET_ADDRESS, "STREET"),
    (NameOID.POSTAL_CODE, "POSTALCODE"),
    (NameOID.ORGANIZATION_NAME, "O"),
    (NameOID.ORGANIZATIONAL_UNIT_NAME, "OU"),
    (NameOID.COMMON_NAME, "CN"),
    (NameOID.SERIAL_NUMBER, "SERIALNUMBER"),
)
_SINGLE = (NameOID.COMMON_NAME, NameOID.SERIAL_NUMBER)


def _distinguished_name(name: x509.Name) -> str:
    """As Go's cid.getDN: the parts by type in reverse order, values of one type joined by "+", others left out."""
    parts = []
    for oid, label in reversed(_GO_ORDER):
        values = [str(attribute.value) for attribute in name.get_attributes_for_oid(oid)]
        if oid in _SINGLE:
            values = [value for value in values[-1:] if value]
        if values:
            parts.append("+".join(f"{label}={_escape(value)}" for value in values))
    return ",".join(parts)


def _escape(value: str) -> str:
    escaped = "".join("\\" + char if char in ',+"\\<>;' else char for char in value)
    if escaped[:1] in (" ", "#"):
        escaped = "\\" + escaped
    return escaped[:-1] + "\\ " if len(value) > 1 and value.endswith(" ") else escaped
