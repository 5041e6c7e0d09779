"""Identities, signers and connection profiles: what is read, and what is refused with one clear line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.x509.oid import NameOID

from cloister.errors import CloisterError, EnvironmentFailed, MalformedInput, Refused, UsageError
from cloister.gateway import (
    Endpoint,
    Identity,
    endpoint_from_profile,
    load_identity,
    load_signer,
    new_private_key_signer,
    open_channel,
)
from cloister.gateway.identity import sign_digest

P256_HALF = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551 // 2


def pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, password: bytes | None = None) -> bytes:
    encryption: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def certificate(not_before: datetime, not_after: datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "user")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(not_before).not_valid_after(not_after)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()])
async def test_signatures_verify_and_have_low_s(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    signer = new_private_key_signer(pem(key))
    for number in range(20):
        digest = bytes([number]) * 32
        signature = await sign_digest(signer, digest)
        key.public_key().verify(signature, digest, ec.ECDSA(Prehashed(hashes.SHA256())))
        if curve.name == "secp256r1":
            assert decode_dss_signature(signature)[1] <= P256_HALF


async def test_a_signer_may_be_any_coroutine_function() -> None:
    async def remote(digest: bytes) -> bytes:
        return b"signed " + digest

    assert await sign_digest(remote, b"x") == b"signed x"


def test_a_signer_shows_no_key() -> None:
    assert "PRIVATE" not in repr(new_private_key_signer(pem(ec.generate_private_key(ec.SECP256R1()))))


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"no key", MalformedInput),
        (b"", MalformedInput),
        (pem(ec.generate_private_key(ec.SECP256R1()), b"password"), MalformedInput),
        (pem(ed25519.Ed25519PrivateKey.generate()), UsageError),
        (pem(ec.generate_private_key(ec.SECP521R1())), UsageError),
        (pem(ec.generate_private_key(ec.SECP256K1())), UsageError),
    ],
)
def test_other_keys_are_refused_by_name(tmp_path: Path, content: bytes, error: type[CloisterError]) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    with pytest.raises(error, match=r"key\.pem"):
        load_signer(path)


def test_a_valid_certificate_is_loaded_and_an_expired_one_refused(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    path = tmp_path / "cert.pem"
    path.write_bytes(certificate(now - timedelta(days=2), now + timedelta(days=2)))
    assert load_identity("Org1MSP", path).msp_id == "Org1MSP"
    path.write_bytes(certificate(now - timedelta(days=4), now - timedelta(days=2)))
    with pytest.raises(Refused, match="expired on"):
        load_identity("Org1MSP", path)
    path.write_bytes(certificate(now + timedelta(days=2), now + timedelta(days=4)))
    with pytest.raises(Refused, match="valid from"):
        load_identity("Org1MSP", path)


def test_unreadable_and_garbled_certificates_are_told_by_file(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match=r"absent\.pem"):
        load_identity("Org1MSP", tmp_path / "absent.pem")
    (tmp_path / "garbled.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n")
    with pytest.raises(MalformedInput, match=r"garbled\.pem"):
        load_identity("Org1MSP", tmp_path / "garbled.pem")


def test_creator_is_the_serialised_identity() -> None:
    assert Identity("Org1MSP", b"pem").creator == b"\x0a\x07Org1MSP\x12\x03pem"


# --- connection profiles ----------------------------------------------------------------------------------------------

PROFILE = {
    "client": {"organization": "Org1"},
    "organizations": {"Org1": {"mspid": "Org1MSP", "peers": ["peer0.org1.example.com"]}},
    "peers": {
        "peer0.org1.example.com": {
            "url": "grpcs://localhost:7051",
            "tlsCACerts": {"pem": "-----BEGIN CERTIFICATE-----\n"},
            "grpcOptions": {"ssl-target-name-override": "peer0.org1.example.com"},
        },
        "peer0.org2.example.com": {"url": "grpc://localhost:9051"},
    },
}


def test_profiles_in_json_and_yaml_name_the_own_peer(tmp_path: Path) -> None:
    (tmp_path / "connection.json").write_text(json.dumps(PROFILE))
    (tmp_path / "connection.yaml").write_text(json.dumps(PROFILE))  # JSON is YAML
    expected = Endpoint("localhost:7051", b"-----BEGIN CERTIFICATE-----\n", "peer0.org1.example.com")
    assert endpoint_from_profile(tmp_path / "connection.json") == expected
    assert endpoint_from_profile(tmp_path / "connection.yaml") == expected
    other = endpoint_from_profile(tmp_path / "connection.json", "peer0.org2.example.com")
    assert other == Endpoint("localhost:9051", None)


@pytest.mark.parametrize("content", ["", "[]", "{}", "{", '{"peers": {}}', '{"peers": {"p": {}}, "organizations": {}}'])
def test_broken_profiles_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "connection.json").write_text(content)
    with pytest.raises((MalformedInput, UsageError), match=r"connection\.json"):
        endpoint_from_profile(tmp_path / "connection.json")


async def test_plaintext_needs_a_loud_switch() -> None:
    with pytest.raises(UsageError, match="without TLS refused"):
        open_channel(Endpoint("localhost:7051", None))
    channel = open_channel(Endpoint("localhost:7051", None), allow_plaintext=True)
    await channel.close()
