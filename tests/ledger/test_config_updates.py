"""Configurations that nobody allowed: a dishonest orderer signs them, the judge does not follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from fabric_protos.common import configtx_pb2, configuration_pb2, policies_pb2
from fabric_protos.orderer import configuration_pb2 as orderer_pb2

from cloister.fabric.block import parse_block
from cloister.network import Network
from cloister.testing.blocks import make_block
from cloister.testing.cases import Cast
from cloister.testing.configs import (
    Change,
    batch_timeout,
    config_envelope,
    config_of,
    implicit_policy,
    members,
    msp_fields,
    sign_data,
    update_envelope,
)
from cloister.testing.signers import Signer, orderer_admin, orderer_signer
from cloister.trusted.ledger.channel_config import load_config
from cloister.trusted.ledger.codes import Code
from cloister.trusted.ledger.errors import LedgerHalted
from cloister.trusted.ledger.judge import Judge, start
from ledger.conftest import fetch_blocks

pytestmark = pytest.mark.fabric
APPLICATION = ["Application"]
ANY = implicit_policy("Endorsement", policies_pb2.ImplicitMetaPolicy.ANY)


class Channel:
    """A real chain, its configuration, and forged successors of its last block."""

    def __init__(self, network: Network, blocks: list[bytes]) -> None:
        self.network = network
        self.cast = Cast(network)
        self.orderer = orderer_signer(network)
        self.blocks = blocks
        self.config = next(
            found for block in reversed(blocks) if (found := config_of(parse_block(block).transactions[0])) is not None
        )

    def judge(self) -> Judge:
        judge, _ = start(self.blocks[0])
        for block in self.blocks[1:]:
            judge.follow(block)
        return judge

    def envelope(
        self,
        signers: Sequence[Signer],
        change: Change = ANY,
        path: Sequence[str] = APPLICATION,
        bend: Change = lambda config: None,
        applied: Change | None = None,
    ) -> bytes:
        """A CONFIG transaction; `applied` is what the orderer makes of the update, if it is not what it says."""
        update = update_envelope(self.network.channel, self.config, path, change, signers)
        sound = config_envelope(self.network.channel, self.config, update, path, applied or change, self.orderer)
        bent = config_bent(sound, bend)
        return sound if bent is None else sign_data(self.network.channel, self.orderer, 1, bent)

    def follow(self, transactions: list[bytes]) -> tuple[Code, ...]:
        judge = self.judge()
        return judge.follow(make_block(judge.height, judge.last_hash, transactions, [self.orderer])).codes

    def refused(self, transactions: list[bytes]) -> str:
        with pytest.raises(LedgerHalted) as caught:
            self.follow(transactions)
        return caught.value.reason


def config_bent(envelope: bytes, bend: Change) -> bytes | None:
    """The ConfigEnvelope inside after a change of its Config, None if nothing changed."""
    from fabric_protos.common import common_pb2

    payload = common_pb2.Payload.FromString(common_pb2.Envelope.FromString(envelope).payload)
    found = configtx_pb2.ConfigEnvelope.FromString(payload.data)
    before = found.SerializeToString(deterministic=True)
    bend(found.config)
    after = found.SerializeToString(deterministic=True)
    return None if after == before else after


@pytest.fixture(scope="module")
async def channel(ledger_network: Network) -> Channel:
    return Channel(ledger_network, (await fetch_blocks(ledger_network))[:6])


async def test_a_sound_update_is_followed(channel: Channel) -> None:
    assert channel.follow([channel.envelope(channel.cast.admins)]) == (Code.VALID,)


async def test_updates_without_enough_signatures_are_refused(channel: Channel) -> None:
    admins = channel.cast.admins
    forged = Signer(admins[1].creator, admins[0].key)
    for signers in (
        [channel.cast.client],
        admins[:1],
        [admins[0], admins[0]],
        [admins[0], forged],
        [orderer_admin(channel.network)],
        [channel.orderer],
        channel.cast.peers,
    ):
        assert channel.refused([channel.envelope(signers)]) == "config"


async def test_a_configuration_that_is_not_what_the_update_makes_is_refused(channel: Channel) -> None:
    admins = channel.cast.admins

    def another_policy(config: Any) -> None:
        config.channel_group.groups["Application"].policies["Readers"].policy.value = b""

    def another_group(config: Any) -> None:
        config.channel_group.groups["Application"].groups["Org3MSP"].SetInParent()

    def skipped(config: Any) -> None:
        config.sequence += 1

    for bend in (another_policy, another_group, skipped, lambda config: config.ClearField("channel_group")):
        assert channel.refused([channel.envelope(admins, bend=bend)]) == "config"
    assert channel.refused([channel.envelope(admins, applied=batch_timeout("1s"), path=["Orderer"])]) == "config"


async def test_versions_must_go_one_on(channel: Channel) -> None:
    def twice(group: Any) -> None:
        ANY(group)
        group.policies["Endorsement"].version += 1

    def not_at_all(group: Any) -> None:
        ANY(group)
        group.policies["Endorsement"].version -= 1

    def another_base(group: Any) -> None:
        """Read and written one on: made for a configuration that is not the current one."""
        group.version += 7

    for change in (twice, not_at_all, another_base):
        assert channel.refused([channel.envelope(channel.cast.admins, change)]) == "config"


async def test_configurations_that_peers_cannot_load_are_refused_whoever_signs_them(channel: Channel) -> None:
    admins, orderer = channel.cast.admins, [orderer_admin(channel.network)]

    def value(name: str, content: bytes) -> Change:
        def change(group: Any) -> None:
            group.values[name].version += 1 if name in group.values else 0
            group.values[name].value = content
            group.values[name].mod_policy = "Admins"

        return change

    no_count = orderer_pb2.BatchSize(absolute_max_bytes=1, preferred_max_bytes=1).SerializeToString()
    too_much = orderer_pb2.BatchSize(max_message_count=1, absolute_max_bytes=1, preferred_max_bytes=2)
    capability = configuration_pb2.Capabilities()
    capability.capabilities["V9_9"].SetInParent()
    unknown = capability.SerializeToString()
    second = admins[1:]
    path = ["Application", "Org2MSP"]
    cases: list[tuple[Sequence[Signer], Change, Sequence[str], str]] = [
        (orderer, batch_timeout("0s"), ["Orderer"], "config"),
        (orderer, batch_timeout("never"), ["Orderer"], "config"),
        (orderer, value("BatchSize", no_count), ["Orderer"], "config"),
        (orderer, value("BatchSize", too_much.SerializeToString()), ["Orderer"], "config"),
        (admins, value("Nonsense", b""), APPLICATION, "config"),
        (admins, value("Capabilities", unknown), APPLICATION, "capability"),
        (admins, value("Capabilities", b""), APPLICATION, "capability"),
        (second, msp_fields(lambda config: config.root_certs.pop()), path, "msp"),
        (second, msp_fields(lambda config: config.root_certs.append(b"garbage")), path, "msp"),
        (second, msp_fields(lambda config: config.revocation_list.append(b"garbage")), path, "msp"),
        (second, msp_fields(lambda config: setattr(config, "name", "AnotherMSP")), path, "config"),
        (second, msp_fields(lambda config: setattr(config, "name", "")), path, "msp"),
        (second, msp_fields(lambda config: setattr(config, "name", "Org1MSP")), path, "msp"),
        (second, msp_fields(_sha3), path, "msp"),
        (second, value("MSP", b"\x08\x01"), path, "msp"),
        (second, _policy(policies_pb2.Policy.MSP), path, "policy"),
        (second, _policy(policies_pb2.Policy.SIGNATURE), path, "policy"),
        (admins, members(Org2MSP=None, Org1MSP=None), APPLICATION, ""),
    ]
    for signers, change, where, reason in cases:
        envelope = channel.envelope(signers, change, where)
        if reason:
            assert channel.refused([envelope]) == reason
        else:
            assert channel.follow([envelope]) == (Code.VALID,)


def _sha3(config: Any) -> None:
    config.crypto_config.signature_hash_family = "SHA3"


def _policy(kind: int) -> Change:
    def change(group: Any) -> None:
        item = group.policies["Readers"]
        item.version += 1
        item.policy.type, item.policy.value = kind, b"\x12\x00"

    return change


async def test_a_configuration_among_other_transactions_is_refused(channel: Channel) -> None:
    sound = channel.envelope(channel.cast.admins)
    other = channel.cast.put("k").build()
    assert channel.refused([other, sound]) == "config"
    assert channel.refused([sound, other]) == "config"


async def test_a13_an_unknown_capability_stops_the_judge_with_its_name(channel: Channel) -> None:
    config = configtx_pb2.Config()
    config.CopyFrom(channel.config)
    capabilities = config.channel_group.groups["Application"].values["Capabilities"]
    capabilities.value = b"\n\x08\n\x04V9_9\x12\x00"
    with pytest.raises(LedgerHalted, match="unknown application capability V9_9"):
        load_config(config)


async def test_a13_what_comes_after_a_withheld_configuration_is_not_accepted(channel: Channel) -> None:
    judge = channel.judge()
    block = make_block(judge.height, judge.last_hash, [channel.envelope(channel.cast.admins)], [channel.orderer])
    after = make_block(
        judge.height + 1, parse_block(block).header_hash, [channel.cast.put("k").build()], [channel.orderer]
    )
    with pytest.raises(LedgerHalted) as caught:
        judge.follow(after)
    assert caught.value.reason == "number"
    judge.follow(block)
    judge.follow(after)
