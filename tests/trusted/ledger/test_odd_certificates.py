"""Odd certificates of endorsers, creators and callers: none may stop the judge, for anybody can come with one."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.fabric.identity import SerializedIdentity
from cloister.testing.channel import CHAINCODE, Channel, follow, new_answers_for
from cloister.testing.forge import rwset
from cloister.testing.signers import Signer
from cloister.trusted.ledger.answers import Answers
from cloister.trusted.ledger.codes import Code
from cloister.trusted.protocol.questions import AskAdministrators, AskCaller, CallerAnswer

pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
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


ODD = {"year 9999": of_the_year_9999, "algorithm": of_an_unknown_algorithm, "issuer": with_a_broken_issuer}


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


def test_the_undamaged_one_is_a_member() -> None:
    answer = ANSWERS.answer(
        CHAINCODE, AskCaller(with_der(CHANNEL.clients[0], der_of(CHANNEL.clients[0])).creator, 0, b"")
    )
    assert isinstance(answer, CallerAnswer)
    assert answer.may_write
