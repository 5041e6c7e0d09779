"""Configurations that change: real updates on a real channel, and forged ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from fabric_protos.common import common_pb2, configtx_pb2, policies_pb2
from fabric_protos.msp import msp_config_pb2
from fabric_protos.orderer import configuration_pb2 as orderer_pb2

from cloister.fabric.block import parse_block
from cloister.ledger.verify import verify_ledger
from cloister.network import Network
from cloister.trusted.ledger.channel_config import load_config
from cloister.trusted.ledger.codes import Code
from cloister.trusted.ledger.errors import LedgerHalted
from cloister.trusted.ledger.judge import Judge, start
from ledger.conftest import CHAINCODE, await_transactions, fetch_blocks
from ledger.test_attacked_chains import make_block, orderer_signer
from support.forge import Draft, Signer, broadcast, client_signer, peer_signer, rwset, signer_of

pytestmark = pytest.mark.fabric
Change = Callable[[Any], None]


async def current_config(network: Network) -> Any:
    """The newest `common.Config` of the channel."""
    for encoded in reversed(await fetch_blocks(network)):
        envelope = common_pb2.Envelope.FromString(parse_block(encoded).transactions[0])
        payload = common_pb2.Payload.FromString(envelope.payload)
        header = common_pb2.ChannelHeader.FromString(payload.header.channel_header)
        if header.type == common_pb2.CONFIG:
            return configtx_pb2.ConfigEnvelope.FromString(payload.data).config
    raise AssertionError("no configuration")


def bare(group: Any) -> Any:
    return configtx_pb2.ConfigGroup(version=group.version, mod_policy=group.mod_policy)


def update_envelope(network: Network, config: Any, path: Sequence[str], change: Change, signers: list[Signer]) -> bytes:
    """A CONFIG_UPDATE envelope that changes one group's values or policies in place (`change` bumps versions)."""
    read, write = bare(config.channel_group), bare(config.channel_group)
    source, read_at, write_at = config.channel_group, read, write
    for name in path:
        source = source.groups[name]
        read_at.groups[name].CopyFrom(bare(source))
        write_at.groups[name].CopyFrom(bare(source))
        read_at, write_at = read_at.groups[name], write_at.groups[name]
    scratch = configtx_pb2.ConfigGroup()
    scratch.CopyFrom(source)
    change(scratch)
    for kind in ("values", "policies"):
        before, after, target = getattr(source, kind), getattr(scratch, kind), getattr(write_at, kind)
        for name, item in after.items():
            if name not in before or before[name] != item:
                target[name].CopyFrom(item)
    encoded = configtx_pb2.ConfigUpdate(channel_id=network.channel, read_set=read, write_set=write).SerializeToString()
    envelope = configtx_pb2.ConfigUpdateEnvelope(config_update=encoded)
    for signer in signers:
        header = common_pb2.SignatureHeader(creator=signer.creator, nonce=b"nonce").SerializeToString()
        envelope.signatures.add(signature_header=header, signature=signer.sign(header + encoded))
    return sign_payload(network, signers[0], common_pb2.CONFIG_UPDATE, envelope.SerializeToString())


def sign_payload(network: Network, signer: Signer, kind: int, data: bytes) -> bytes:
    header = common_pb2.Header(
        channel_header=common_pb2.ChannelHeader(type=kind, channel_id=network.channel).SerializeToString(),
        signature_header=common_pb2.SignatureHeader(creator=signer.creator, nonce=b"nonce").SerializeToString(),
    )
    payload = common_pb2.Payload(header=header, data=data).SerializeToString()
    return common_pb2.Envelope(payload=payload, signature=signer.sign(payload)).SerializeToString()  # type: ignore[no-any-return]


def orderer_admin(network: Network) -> Signer:
    folder = next((network.orderer.crypto / "users").iterdir()) / "msp"
    return signer_of("OrdererMSP", folder)


def peer_admins(network: Network) -> list[Signer]:
    return [client_signer(item, "Admin") for item in network.organisations]


def batch_timeout(value: str) -> Change:
    def change(group: Any) -> None:
        item = group.values["BatchTimeout"]
        item.version += 1
        item.value = orderer_pb2.BatchTimeout(timeout=value).SerializeToString()

    return change


def endorsement_rule(rule: int) -> Change:
    def change(group: Any) -> None:
        item = group.policies["Endorsement"]
        item.version += 1
        meta = policies_pb2.ImplicitMetaPolicy(sub_policy="Endorsement", rule=rule)
        item.policy.value = meta.SerializeToString()

    return change


async def send(network: Network, envelope: bytes) -> Code:
    """Have it ordered and committed; the judge's verdict on it, which is the peer's too."""
    before = sum(len(parse_block(block).transactions) for block in await fetch_blocks(network))
    assert await broadcast(network, [envelope]) == [200]
    blocks = await await_transactions(network, before + 1)
    report = verify_ledger(iter(blocks), genesis_hash=None, progress=lambda _: None)
    assert (report.halted, report.differences) == ("", [])
    return report.blocks[-1].codes[-1]


async def test_real_updates_are_judged_and_change_what_comes_after(ledger_network: Network) -> None:
    """One organisation's endorsement is too little, then enough, then too little again: by configuration alone."""
    network = ledger_network
    client, peers = client_signer(network.organisations[0]), [peer_signer(network.organisations[0])]

    def put() -> bytes:
        return Draft(network.channel, CHAINCODE, client, peers, [(CHAINCODE, rwset(writes=[("c", b"v")]))]).envelope()

    admins, application = peer_admins(network), ["Application"]
    assert await send(network, put()) is Code.ENDORSEMENT_POLICY_FAILURE
    any_rule = endorsement_rule(policies_pb2.ImplicitMetaPolicy.ANY)
    config = await current_config(network)
    assert await send(network, update_envelope(network, config, application, any_rule, admins)) is Code.VALID
    assert await send(network, put()) is Code.VALID
    config = await current_config(network)
    orderer = [orderer_admin(network)]
    assert (
        await send(network, update_envelope(network, config, ["Orderer"], batch_timeout("150ms"), orderer))
        is Code.VALID
    )
    majority = endorsement_rule(policies_pb2.ImplicitMetaPolicy.MAJORITY)
    config = await current_config(network)
    assert await send(network, update_envelope(network, config, application, majority, admins)) is Code.VALID
    assert await send(network, put()) is Code.ENDORSEMENT_POLICY_FAILURE


async def test_forged_configurations_signed_by_the_orderer_alone_are_refused(ledger_network: Network) -> None:
    """A dishonest orderer signs a block with a configuration that nobody allowed: the judge does not follow."""
    network = ledger_network
    blocks = await fetch_blocks(network)
    orderer = orderer_signer(network)
    config = await current_config(network)
    any_rule = endorsement_rule(policies_pb2.ImplicitMetaPolicy.ANY)
    admins = peer_admins(network)

    def config_block(judge: Judge, signers: list[Signer], bend: Change = lambda config: None) -> bytes:
        update = update_envelope(network, config, ["Application"], any_rule, signers)
        new = configtx_pb2.Config()
        new.CopyFrom(config)
        new.sequence += 1
        any_rule(new.channel_group.groups["Application"])
        bend(new)
        envelope = configtx_pb2.ConfigEnvelope(config=new, last_update=common_pb2.Envelope.FromString(update))
        data = envelope.SerializeToString()
        return make_block(judge, [sign_payload(network, orderer, common_pb2.CONFIG, data)], [orderer])

    def follow() -> Judge:
        judge, _ = start(blocks[0])
        for block in blocks[1:]:
            judge.judge(block)
        return judge

    def another_policy(new: Any) -> None:
        new.channel_group.groups["Application"].policies["Readers"].policy.value = b""

    def skipped(new: Any) -> None:
        new.sequence += 1

    judge = follow()
    assert judge.judge(config_block(judge, admins)).codes == (Code.VALID,)  # the honest twin
    client = client_signer(network.organisations[0])
    for signers, bend in (
        ([client], lambda new: None),
        (admins[:1], lambda new: None),
        ([admins[0], admins[0]], lambda new: None),
        ([orderer_admin(network)], lambda new: None),
        (admins, another_policy),
        (admins, skipped),
    ):
        judge = follow()
        with pytest.raises(LedgerHalted) as caught:
            judge.judge(config_block(judge, signers, bend))
        assert caught.value.reason == "config"
        assert judge.height == len(blocks)


async def test_a13_an_unknown_capability_stops_the_judge_with_its_name(ledger_network: Network) -> None:
    config = await current_config(ledger_network)
    capabilities = config.channel_group.groups["Application"].values["Capabilities"]
    capabilities.value = b"\n\x08\n\x04V9_9\x12\x00"
    with pytest.raises(LedgerHalted, match="unknown application capability V9_9"):
        load_config(config)


def revocation_list(network: Network, certificate_pem: bytes) -> bytes:
    """A CRL of the second organisation's CA that revokes one certificate, in PEM."""
    folder = network.organisations[1].crypto / "ca"
    authority = x509.load_pem_x509_certificate(next(folder.glob("*-cert.pem")).read_bytes())
    key = load_pem_private_key((folder / "priv_sk").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    serial = x509.load_pem_x509_certificate(certificate_pem).serial_number
    moment = authority.not_valid_before_utc
    entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(moment).build()
    identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    extension = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    builder = x509.CertificateRevocationListBuilder().issuer_name(authority.subject).add_revoked_certificate(entry)
    builder = (
        builder.last_update(moment).next_update(moment + timedelta(days=1)).add_extension(extension, critical=False)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def revoke(revocations: list[bytes]) -> Change:
    def change(group: Any) -> None:
        item = group.values["MSP"]
        item.version += 1
        config = msp_config_pb2.MSPConfig.FromString(item.value)
        inner = msp_config_pb2.FabricMSPConfig.FromString(config.config)
        del inner.revocation_list[:]
        inner.revocation_list.extend(revocations)
        config.config = inner.SerializeToString()
        item.value = config.SerializeToString()

    return change


async def test_a_revoked_endorser_counts_no_more_and_a_pardoned_one_again(ledger_network: Network) -> None:
    """The list's own dates are long past: Fabric does not look at them, nor does the judge."""
    network = ledger_network
    second = network.organisations[1]
    admin = [client_signer(second, "Admin")]
    peers = [peer_signer(item) for item in network.organisations]
    certificate = next((second.peer_crypto / "msp" / "signcerts").iterdir()).read_bytes()
    client = client_signer(network.organisations[0])
    path = ["Application", second.msp_id]

    def put() -> bytes:
        return Draft(network.channel, CHAINCODE, client, peers, [(CHAINCODE, rwset(writes=[("c", b"v")]))]).envelope()

    assert await send(network, put()) is Code.VALID
    revoked = revoke([revocation_list(network, certificate)])
    assert (
        await send(network, update_envelope(network, await current_config(network), path, revoked, admin)) is Code.VALID
    )
    assert await send(network, put()) is Code.ENDORSEMENT_POLICY_FAILURE
    pardoned = revoke([])
    assert (
        await send(network, update_envelope(network, await current_config(network), path, pardoned, admin))
        is Code.VALID
    )
    assert await send(network, put()) is Code.VALID
