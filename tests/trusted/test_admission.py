"""Who may ask: forged, replayed and misdirected proposals are refused inside the enclave; the honest twin passes."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from fabric_protos.common import common_pb2
from fabric_protos.peer import chaincode_pb2, proposal_pb2
from hypothesis import given
from hypothesis import strategies as st

from cloister.errors import MalformedInput, Refused
from cloister.fabric.identity import SerializedIdentity, decode_serialized_identity
from cloister.fabric.proposal import NONCE_BYTES, build_proposal, encode_signed_proposal, parse_signed_proposal
from cloister.trusted.chaincode import admission
from cloister.trusted.chaincode.admission import Creators, admit
from support.chain import CHANNEL
from support.enclaves import CHAINCODE, Caller

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.fixture(scope="module")
def caller() -> Caller:
    return Caller()


def honest(caller: Caller) -> bytes:
    return caller.signed_proposal(b"sealed", nonce=os.urandom(NONCE_BYTES))


def refused(signed: bytes) -> str:
    with pytest.raises(Refused) as caught:
        admit(signed, channel=CHANNEL, chaincode=CHAINCODE)
    return caught.value.reason


def rebuilt(caller: Caller, change: Callable[[common_pb2.ChannelHeader, common_pb2.SignatureHeader], None]) -> bytes:
    """An honest proposal with changed headers, signed again by its creator: only the content is wrong."""
    signed = proposal_pb2.SignedProposal.FromString(honest(caller))
    proposal = proposal_pb2.Proposal.FromString(signed.proposal_bytes)
    header = common_pb2.Header.FromString(proposal.header)
    channel_header = common_pb2.ChannelHeader.FromString(header.channel_header)
    signature_header = common_pb2.SignatureHeader.FromString(header.signature_header)
    change(channel_header, signature_header)
    header.channel_header = channel_header.SerializeToString()
    header.signature_header = signature_header.SerializeToString()
    proposal.header = header.SerializeToString()
    encoded = proposal.SerializeToString()
    return encode_signed_proposal(encoded, caller.sign(encoded))


def test_an_honest_proposal_is_admitted(caller: Caller) -> None:
    admitted = admit(honest(caller), channel=CHANNEL, chaincode=CHAINCODE)
    assert admitted.sealed_request == b"sealed"
    assert admitted.proposal.creator == caller.creator


def test_a_remembered_creator_is_admitted_by_its_own_signature_only_and_the_memory_is_bounded(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MAX_CREATORS", 2)
    creators = Creators()
    for name in ("Ann", "Bob", "Cid"):
        key = creators.key(Caller(name=name).creator)
        assert len(creators) <= 2
        assert creators.key(caller.creator) is not key
    for _ in range(2):
        admit(honest(caller), channel=CHANNEL, chaincode=CHAINCODE, creators=creators)
        stolen = parse_signed_proposal(honest(caller)).signed_bytes
        with pytest.raises(Refused) as caught:
            admit(
                encode_signed_proposal(stolen, Caller(name="Mallory").sign(stolen)),
                channel=CHANNEL,
                chaincode=CHAINCODE,
                creators=creators,
            )
        assert caught.value.reason == "signature"


def test_b2_creator_without_its_key_is_refused(caller: Caller) -> None:
    other = Caller(name="Mallory")
    stolen = parse_signed_proposal(honest(caller)).signed_bytes
    assert refused(encode_signed_proposal(stolen, other.sign(stolen))) == "signature"


def test_a_high_s_signature_is_refused(caller: Caller) -> None:
    signed = proposal_pb2.SignedProposal.FromString(honest(caller))
    r, s = decode_dss_signature(signed.signature)
    assert (
        refused(encode_signed_proposal(signed.proposal_bytes, encode_dss_signature(r, P256_ORDER - s))) == "signature"
    )


def test_a_wrong_transaction_id_is_refused(caller: Caller) -> None:
    def change(header: common_pb2.ChannelHeader, _: common_pb2.SignatureHeader) -> None:
        header.tx_id = "0" * 64

    assert refused(rebuilt(caller, change)) == "transaction-id"


def test_another_channel_is_refused(caller: Caller) -> None:
    assert refused(caller.signed_proposal(b"x", nonce=os.urandom(24), channel="other")) == "channel"


def test_p10_a_call_from_another_chaincode_is_refused(caller: Caller) -> None:
    """The peer hands the caller's proposal on: it names the calling chaincode, not this one."""
    assert refused(caller.signed_proposal(b"x", nonce=os.urandom(24), chaincode="innocent")) == "chaincode"


def test_header_type_and_epoch_are_checked(caller: Caller) -> None:
    def another_type(header: common_pb2.ChannelHeader, _: common_pb2.SignatureHeader) -> None:
        header.type = common_pb2.CONFIG

    def another_epoch(header: common_pb2.ChannelHeader, _: common_pb2.SignatureHeader) -> None:
        header.epoch = 1

    assert refused(rebuilt(caller, another_type)) == "proposal"
    assert refused(rebuilt(caller, another_epoch)) == "proposal"


def test_a_nonce_of_another_length_is_refused(caller: Caller) -> None:
    """Moving a byte between nonce and creator would keep the transaction id: lengths are fixed."""

    def change(header: common_pb2.ChannelHeader, signature: common_pb2.SignatureHeader) -> None:
        signature.nonce = signature.nonce[:-1]

    assert refused(rebuilt(caller, change)) == "proposal"


def test_a_creator_in_another_encoding_is_refused(caller: Caller) -> None:
    def change(header: common_pb2.ChannelHeader, signature: common_pb2.SignatureHeader) -> None:
        signature.creator = signature.creator + b"\x1a\x00"  # an unknown, empty field at the end

    assert refused(rebuilt(caller, change)) == "proposal"


@pytest.mark.parametrize("broken", ["transient", "two arguments", "no argument", "is_init"])
def test_anything_beside_one_sealed_argument_is_refused(caller: Caller, broken: str) -> None:
    arguments = {"two arguments": [b"a", b"b"], "no argument": []}.get(broken, [b"a"])
    proposal = build_proposal(
        channel=CHANNEL,
        chaincode=CHAINCODE,
        arguments=arguments,
        creator=caller.creator,
        nonce=os.urandom(24),
        timestamp_ns=0,
        transient={"secret": b"x"} if broken == "transient" else None,
        is_init=broken == "is_init",
    )
    assert refused(encode_signed_proposal(proposal.encoded, caller.sign(proposal.encoded))) == "proposal"


@pytest.mark.parametrize("place", ["before", "behind"])
def test_b2_a_creator_of_two_certificates_is_refused(caller: Caller, place: str) -> None:
    """Peers take the first block, of whatever type; others the first that calls itself a certificate."""
    member = Caller(name="Member")
    own, other = (decode_serialized_identity(item.creator).id_bytes for item in (caller, member))
    odd = other.replace(b"CERTIFICATE", b"ANYTHING")
    forged = Caller(name="Mallory")
    forged.key, forged.creator = (
        caller.key,
        SerializedIdentity("Org1MSP", odd + own if place == "before" else own + odd).encode(),
    )
    assert refused(honest(forged)) == "proposal"


def test_an_identity_without_certificate_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    creator = SerializedIdentity("Org1MSP", b"no certificate").encode()
    proposal = build_proposal(
        channel=CHANNEL, chaincode=CHAINCODE, arguments=[b"a"], creator=creator, nonce=bytes(24), timestamp_ns=0
    )
    signature = key.sign(proposal.encoded, ec.ECDSA(hashes.SHA256()))
    with pytest.raises(Refused):
        admit(encode_signed_proposal(proposal.encoded, signature), channel=CHANNEL, chaincode=CHAINCODE)


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_with_our_own_errors(encoded: bytes) -> None:
    with pytest.raises((Refused, MalformedInput)):
        admit(encoded, channel=CHANNEL, chaincode=CHAINCODE)


HONEST = honest(Caller())


@given(st.data())
def test_a_flipped_byte_is_never_admitted(data: st.DataObject) -> None:
    encoded = bytearray(HONEST)
    position = data.draw(st.integers(min_value=0, max_value=len(encoded) - 1))
    encoded[position] ^= data.draw(st.integers(min_value=1, max_value=255))
    try:
        admitted = admit(bytes(encoded), channel=CHANNEL, chaincode=CHAINCODE)
    except (Refused, MalformedInput):
        return
    # What remains admitted differs only outside of what is signed (unknown fields around it).
    assert admitted.sealed_request == b"sealed"


def test_decorations_are_refused(caller: Caller) -> None:
    signed = proposal_pb2.SignedProposal.FromString(honest(caller))
    proposal = proposal_pb2.Proposal.FromString(signed.proposal_bytes)
    payload = proposal_pb2.ChaincodeProposalPayload.FromString(proposal.payload)
    spec = chaincode_pb2.ChaincodeInvocationSpec.FromString(payload.input)
    spec.chaincode_spec.input.decorations["peer"] = b"says"
    payload.input = spec.SerializeToString()
    proposal.payload = payload.SerializeToString()
    encoded = proposal.SerializeToString()
    assert refused(encode_signed_proposal(encoded, caller.sign(encoded))) == "proposal"
