"""Certificates and revocation lists that cannot be read are refused when they are loaded, never later."""

from __future__ import annotations

import base64
from functools import cached_property

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_crl
from hypothesis import given
from hypothesis import strategies as st

from cloister.testing.signers import Authority, Wanted, stranger
from cloister.trusted.ledger.certificates import (
    Certificate,
    find_chains,
    load_pem_certificate,
    load_pem_revocations,
    signature_matches,
)
from cloister.trusted.ledger.errors import IdentityInvalid
from cloister.trusted.ledger.msp import MAX_REMEMBERED, MspManager
from support.certificates import make_identity

UTF8_STRING, GENERAL_STRING = b"\x0c", b"\x1b"
KEY, SELF_SIGNED = make_identity("authority")
AUTHORITY = stranger(Authority("Org1MSP", SELF_SIGNED, KEY))
ROOT = load_pem_certificate(AUTHORITY.pem)
MEMBER = load_pem_certificate(AUTHORITY.issue(Wanted("member")).certificate_pem)
REVOCATIONS = load_pem_x509_crl(AUTHORITY.revoke(AUTHORITY.issue(Wanted("gone")).certificate_pem)).public_bytes(
    Encoding.DER
)
flips = st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 255)), min_size=1, max_size=3)


def pem(der: bytes, label: bytes = b"CERTIFICATE") -> bytes:
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label, base64.encodebytes(der), label)


def damage(content: bytes, changes: list[tuple[int, int]]) -> bytes:
    damaged = bytearray(content)
    for position, mask in changes:
        damaged[position % len(damaged)] ^= mask
    return bytes(damaged)


def test_a_name_in_a_string_type_that_nobody_reads_is_refused_in_issuer_and_subject() -> None:
    """Found by fuzzing: the library looks at the issuer only when it is asked for, and then raised in the judge."""
    assert find_chains(MEMBER, [ROOT], []) == [(MEMBER, ROOT)]
    name = UTF8_STRING + bytes((9,)) + b"authority"
    for der, count in ((MEMBER.der, 1), (ROOT.der, 2)):
        assert der.count(name) == count
        for unreadable in (
            der.replace(name, GENERAL_STRING + name[1:]),
            der.replace(name, GENERAL_STRING + name[1:], 1),
        ):
            with pytest.raises(IdentityInvalid):
                load_pem_certificate(pem(unreadable))


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # Go reads such numbers too
@given(flips)
def test_of_a_damaged_certificate_everything_can_be_read_or_it_is_refused(changes: list[tuple[int, int]]) -> None:
    try:
        certificate = load_pem_certificate(pem(damage(MEMBER.der, changes)))
    except IdentityInvalid:
        return
    for name, attribute in vars(Certificate).items():
        if isinstance(attribute, cached_property):
            getattr(certificate, name)
    assert find_chains(certificate, [ROOT], [MEMBER]) in ([], [(certificate, ROOT)])


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # Go reads such numbers too
@given(flips)
def test_of_a_damaged_revocation_list_everything_can_be_read_or_it_is_refused(changes: list[tuple[int, int]]) -> None:
    assert len(list(load_pem_revocations(pem(REVOCATIONS, b"X509 CRL")))) == 1
    try:
        revocations = load_pem_revocations(pem(damage(REVOCATIONS, changes), b"X509 CRL"))
    except IdentityInvalid:
        return
    revocations.get_revoked_certificate_by_serial_number(1)
    signature_matches(ROOT, revocations.signature, revocations.tbs_certlist_bytes, revocations)


def test_made_up_identities_are_not_remembered_for_ever() -> None:
    msps = MspManager({})
    for number in range(MAX_REMEMBERED + 1):
        with pytest.raises(IdentityInvalid):
            msps.deserialize(str(number).encode())
    assert len(msps._identities) == 1
