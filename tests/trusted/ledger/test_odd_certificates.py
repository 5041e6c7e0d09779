"""Odd certificates of endorsers, creators and callers: none may stop the judge, for anybody can come with one."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.fabric.der import BIT_STRING, SEQUENCE, encode_element
from cloister.fabric.identity import SerializedIdentity
from cloister.testing.channel import CHAINCODE, Channel, follow, new_answers_for
from cloister.testing.forge import rwset
from cloister.testing.signers import Signer
from cloister.trusted.ledger.answers import Answers
from cloister.trusted.ledger.certificates import load_pem_certificate
from cloister.trusted.ledger.codes import Code
from cloister.trusted.ledger.errors import IdentityInvalid
from cloister.trusted.protocol.questions import AskAdministrators, AskCaller, CallerAnswer

pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
_POLICY, _START = x509.ObjectIdentifier("1.2.3"), datetime(2024, 1, 1, tzinfo=UTC)
_SHA256_ECDSA = bytes.fromhex("06082a8648ce3d040302")


def prepared() -> tuple[Channel, Answers]:
    channel = Channel()
    channel.prepare()
    answers = new_answers_for(channel)
    follow(answers, *channel.blocks[1:])
    return channel, answers


CHANNEL, ANSWERS = prepared()


def der_of(signer: Signer) -> bytes:
    return x509.load_pem_x509_certificate(signer.certificate_pem).public_bytes(Encoding.DER)


def with_der(signer: Signer, der: bytes) -> Signer:
    body = base64.encodebytes(der)
    pem = b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"
    return Signer(SerializedIdentity(signer.msp_id, pem).encode(), signer.key)


def of_the_year_9999(signer: Signer) -> Signer:
    """Its NotBefore is the last second that a calendar knows: one second after it there is none."""
    last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "9999")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(signer.key.public_key())
    builder = builder.serial_number(1).not_valid_before(last).not_valid_after(last)
    certificate = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return Signer(SerializedIdentity(signer.msp_id, certificate.public_bytes(Encoding.PEM)).encode(), signer.key)


def of_an_unknown_algorithm(signer: Signer) -> Signer:
    der = der_of(signer)
    assert der.count(_SHA256_ECDSA) == 2
    return with_der(signer, der.replace(_SHA256_ECDSA, _SHA256_ECDSA[:-1] + b"\x63"))


def with_a_broken_issuer(signer: Signer) -> Signer:
    """An attribute type with an unfinished number in it: the library finds out only when asked for the issuer."""
    der = der_of(signer)
    assert der.index(b"\x06\x03\x55\x04\x03") < der.index(b"ca.Org")
    return with_der(signer, der.replace(b"\x06\x03\x55\x04\x03", b"\x06\x03\x55\x04\x83", 1))


def reissued(signer: Signer, change: Callable[[bytes], bytes], *, outer: int = 0x02) -> Signer:
    """Another certificate by the signer's own authority: what it signs changed, under ECDSA with SHA-256 or -384."""
    der = der_of(signer)
    signed = change(x509.load_der_x509_certificate(der).tbs_certificate_bytes)
    authority = next(item for item in CHANNEL.authorities if item.msp_id == signer.msp_id)
    algorithm = encode_element(SEQUENCE, _SHA256_ECDSA[:-1] + bytes([outer]))
    hashed = ec.ECDSA(hashes.SHA256() if outer == 0x02 else hashes.SHA384())
    signature = encode_element(BIT_STRING, b"\0" + authority.key.sign(signed, hashed))
    return with_der(signer, encode_element(SEQUENCE, signed + algorithm + signature))


def replaced_once(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(signed: bytes) -> bytes:
        position = signed.rindex(old)
        return signed[:position] + new + signed[position + len(old) :]

    return change


def with_another_algorithm_inside(signer: Signer) -> Signer:
    return reissued(signer, lambda signed: signed, outer=0x03)


def with_an_odd_kind_of_text(signer: Signer) -> Signer:
    """The subject's common name as VisibleString."""
    return reissued(signer, replaced_once(b"\x06\x03\x55\x04\x03\x0c", b"\x06\x03\x55\x04\x03\x1a"))


def with_a_negative_serial_number(signer: Signer) -> Signer:
    serial = x509.load_der_x509_certificate(der_of(signer)).serial_number
    encoded = serial.to_bytes((serial.bit_length() + 8) // 8, "big")
    return reissued(signer, replaced_once(encoded, bytes([0x80 | encoded[0]]) + encoded[1:]))


ODD = {
    "year 9999": of_the_year_9999,
    "algorithm": of_an_unknown_algorithm,
    "issuer": with_a_broken_issuer,
    # what follows is issued by a member's own authority, and no Go program reads it
    "two algorithms": with_another_algorithm_inside,
    "kind of text": with_an_odd_kind_of_text,
    "serial number": with_a_negative_serial_number,
}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_certificate_endorses_nothing_and_stops_nobody(odd: str) -> None:
    """No orderer looks at endorsers: one such transaction would end every ledger enclave's following."""
    channel = CHANNEL.fork()
    answers = new_answers_for(channel)
    follow(answers, *channel.blocks[1:])
    part = ("plain", rwset(writes=[("k", b"v")]))
    odd_peer = ODD[odd](channel.peers[0])
    drafts = [
        channel.draft(part, chaincode="plain", endorsers=[*channel.peers, odd_peer]),
        channel.draft(part, chaincode="plain", endorsers=[odd_peer, channel.peers[1]]),
        channel.draft(part, chaincode="plain", client=ODD[odd](channel.clients[0])),
        channel.draft(part, chaincode="plain"),
    ]
    verdict = answers.judge.follow(channel.add(*drafts))
    assert verdict.codes == (
        Code.VALID,
        Code.ENDORSEMENT_POLICY_FAILURE,
        Code.BAD_CREATOR_SIGNATURE,
        Code.VALID,
    )


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([CHANNEL.clients[0], CHANNEL.admins[0]]), st.data())
def test_damaged_certificates_are_no_members(signer: Signer, data: st.DataObject) -> None:
    der = bytearray(der_of(signer))
    for _ in range(data.draw(st.integers(1, 3))):
        der[data.draw(st.integers(0, len(der) - 1))] ^= data.draw(st.integers(1, 255))
    content = bytes(der)[: data.draw(st.one_of(st.just(len(der)), st.integers(1, len(der))))]
    damaged = with_der(signer, content)
    answer = ANSWERS.answer(CHAINCODE, AskCaller(damaged.creator, 0, b""))
    assert isinstance(answer, CallerAnswer)
    assert not answer.may_write or content == der_of(signer)
    ANSWERS.answer(CHAINCODE, AskAdministrators((damaged.creator,)))


def test_a_certificate_that_was_reissued_as_it_was_is_sound() -> None:
    """The odd ones' honest twin."""
    again = reissued(CHANNEL.clients[0], lambda signed: signed)
    answer = ANSWERS.answer(CHAINCODE, AskCaller(again.creator, 0, b""))
    assert isinstance(answer, CallerAnswer)
    assert answer.may_write


@pytest.mark.parametrize(
    ("kept", "extension"),
    [
        (True, x509.SubjectAlternativeName([x509.UniformResourceIdentifier("spiffe://org1.example/peer")])),
        (False, x509.SubjectAlternativeName([x509.UniformResourceIdentifier("http://a.")])),
        (False, x509.SubjectAlternativeName([x509.UniformResourceIdentifier("http://%")])),
        (False, x509.NameConstraints([x509.DNSName("a..b")], None)),
        (True, x509.CertificatePolicies([x509.PolicyInformation(_POLICY, None)])),
        (False, x509.CertificatePolicies([x509.PolicyInformation(_POLICY, None)] * 2)),
        (False, x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.33"), b"")),
    ],
)
def test_extensions_that_go_does_not_read_make_a_certificate_unusable(
    kept: bool, extension: x509.ExtensionType
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(_START).not_valid_after(_START + timedelta(days=1))
    pem = builder.add_extension(extension, critical=False).sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    if kept:
        assert load_pem_certificate(pem).der
    else:
        with pytest.raises(IdentityInvalid):
            load_pem_certificate(pem)


def test_the_undamaged_one_is_a_member() -> None:
    answer = ANSWERS.answer(
        CHAINCODE, AskCaller(with_der(CHANNEL.clients[0], der_of(CHANNEL.clients[0])).creator, 0, b"")
    )
    assert isinstance(answer, CallerAnswer)
    assert answer.may_write
