from __future__ import annotations

import base64
import datetime as dt
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from cloister.contract import ChaincodeStub, ClientIdentity, Invocation
from cloister.contract.identity import ATTRIBUTES_OID
from cloister.errors import MalformedInput
from cloister.fabric.identity import SerializedIdentity
from support.memory_ledger import MemoryLedger

_KEY = ec.generate_private_key(ec.SECP256R1())


# fabric-ca's order of names.
FABRIC_CA_SUBJECT = (
    (NameOID.COUNTRY_NAME, "US"),
    (NameOID.STATE_OR_PROVINCE_NAME, "North Carolina"),
    (NameOID.ORGANIZATION_NAME, "Hyper, ledger"),
    (NameOID.ORGANIZATIONAL_UNIT_NAME, "client"),
    (NameOID.ORGANIZATIONAL_UNIT_NAME, "org1"),
    (NameOID.COMMON_NAME, "#user1"),
)
ODD_SUBJECT = (
    (NameOID.COMMON_NAME, "first"),
    (NameOID.SERIAL_NUMBER, "ser"),
    (NameOID.POSTAL_CODE, "pc"),
    (NameOID.STREET_ADDRESS, "st"),
    (NameOID.STATE_OR_PROVINCE_NAME, "prov"),
    (NameOID.LOCALITY_NAME, "loc"),
    (NameOID.ORGANIZATIONAL_UNIT_NAME, "ou1"),
    (NameOID.ORGANIZATION_NAME, "o"),
    (NameOID.ORGANIZATIONAL_UNIT_NAME, "ou2"),
    (NameOID.COUNTRY_NAME, "US"),
    (NameOID.EMAIL_ADDRESS, "e@x"),
    (NameOID.COMMON_NAME, " second "),
)


def make_certificate(
    attributes: bytes | None = None, names: tuple[tuple[x509.ObjectIdentifier, str], ...] = FABRIC_CA_SUBJECT
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in names])
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca.org1")])
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(_KEY.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=1))
    )
    if attributes is not None:
        builder = builder.add_extension(x509.UnrecognizedExtension(ATTRIBUTES_OID, attributes), critical=False)
    return builder.sign(_KEY, hashes.SHA256())


def identity_of(certificate: x509.Certificate | bytes) -> ClientIdentity:
    pem = certificate if isinstance(certificate, bytes) else certificate.public_bytes(Encoding.PEM)
    creator = SerializedIdentity("Org1MSP", pem).encode()
    return ClientIdentity(ChaincodeStub(Invocation((), "channel", "tx", creator), MemoryLedger()))


def test_the_caller_is_who_signed_the_proposal() -> None:
    certificate = make_certificate()
    identity = identity_of(certificate)
    assert identity.get_mspid() == identity.get_msp_id() == "Org1MSP"
    assert identity.get_x509() == certificate.public_bytes(Encoding.PEM)
    assert identity.get_x509_certificate() == certificate
    assert base64.b64decode(identity.get_id()) == certificate.public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("names", "subject"),
    [
        (FABRIC_CA_SUBJECT, r"CN=\#user1,OU=client+OU=org1,O=Hyper\, ledger,ST=North Carolina,C=US"),
        (ODD_SUBJECT, r"SERIALNUMBER=ser,CN=\ second\ ,OU=ou1+OU=ou2,O=o,POSTALCODE=pc,STREET=st,L=loc,ST=prov,C=US"),
    ],
)
def test_the_distinguished_id_is_that_of_go(names: tuple[tuple[x509.ObjectIdentifier, str], ...], subject: str) -> None:
    """The expected names were printed by fabric-chaincode-go's cid.GetID, built with Go 1.26, for such certificates."""
    identity = identity_of(make_certificate(names=names))
    assert base64.b64decode(identity.get_distinguished_id()).decode() == f"x509::{subject}::CN=ca.org1"


def test_attributes_come_from_the_ca_s_extension() -> None:
    identity = identity_of(make_certificate(json.dumps({"attrs": {"role": "auditor", "hf.Type": "client"}}).encode()))
    assert identity.get_attribute("role") == identity.get_attribute_value("role") == "auditor"
    assert identity.get_attribute("missing") is None
    assert (identity.assert_attribute("role"), identity.assert_attribute("missing")) == (True, False)
    assert identity.assert_attribute_value("role", "auditor")
    assert not identity.assert_attribute_value("role", "admin")
    assert not identity.assert_attribute_value("missing", "")


def test_a_certificate_without_the_extension_has_no_attributes() -> None:
    assert identity_of(make_certificate()).get_attribute("role") is None


@pytest.mark.parametrize("attributes", [b"", b"[]", b"{}", b'{"attrs": []}', b'{"attrs": {"a": 1}}', b"\xff"])
def test_attributes_that_are_malformed_are_an_error_not_absence(attributes: bytes) -> None:
    with pytest.raises(MalformedInput):
        identity_of(make_certificate(attributes)).get_attribute("role")


def test_organizational_units_are_listed() -> None:
    identity = identity_of(make_certificate())
    assert identity.get_organizational_units() == ("client", "org1")
    assert identity.has_organizational_unit("client")
    assert not identity.has_organizational_unit("admin")


def test_an_identity_without_a_certificate_is_an_error() -> None:
    identity = identity_of(b"no certificate")
    assert identity.get_mspid() == "Org1MSP"
    with pytest.raises(MalformedInput):
        identity.get_id()
