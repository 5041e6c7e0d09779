"""A channel's configuration: what one config block makes true for everything after it.

Source: Fabric 2.5.9 common/channelconfig, common/capabilities, core/peer/channel.go; 3.1 for BFT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fabric_protos.common import configtx_pb2
from fabric_protos.msp import msp_config_pb2

from cloister.errors import MalformedInput
from cloister.fabric.decoding import decode_message

from .config_values import (
    APPLICATION,
    CONSORTIUMS,
    ORDERER,
    check_application,
    check_channel,
    check_consortiums,
    check_orderer,
)
from .errors import LedgerHalted
from .msp import Msp, MspManager, load_msp
from .policies import Policy, PolicyNode, RejectPolicy, build_policies

CHANNEL_CAPABILITIES = frozenset({"V1_1", "V1_3", "V1_4_2", "V1_4_3", "V2_0", "V3_0"})
APPLICATION_CAPABILITIES = frozenset({"V1_1", "V1_2", "V1_3", "V1_4_2", "V2_0", "V2_5"})
_MIGRATING = frozenset({"V1_4_2", "V1_4_3", "V2_0", "V3_0"})
"""Channel capabilities under which the consensus type may change."""


@dataclass(frozen=True)
class Consenter:
    """One BFT orderer: its id in block signatures, and its serialised identity's parts."""

    identifier: int
    msp_id: str
    certificate: bytes


@dataclass(frozen=True)
class ChannelConfig:
    """One configuration, ready to judge by."""

    sequence: int
    msps: MspManager
    policies: PolicyNode
    group: Any
    organizations: dict[str, str]
    """MSP ID → name of the application organisation's group."""
    ordering_organizations: frozenset[str]
    """MSP IDs."""
    bft: bool
    consenters: tuple[Consenter, ...]
    consensus_type: str
    may_migrate: bool

    def policy(self, path: str) -> Policy:
        """A policy by its absolute name (`/Channel/…`); one that rejects everything if there is none."""
        return self.find_policy(path) or RejectPolicy()

    def find_policy(self, path: str) -> Policy | None:
        """A policy by its absolute name, None if there is none."""
        parts = path.split("/")
        if len(parts) < 3 or parts[0] or parts[1] != "Channel":
            return None
        return self.policies.find(parts[2:])


def load_config_block_payload(data: bytes) -> ChannelConfig:
    """From the data of a CONFIG transaction's payload (serialised ConfigEnvelope). Raises: LedgerHalted."""
    try:
        envelope = decode_message(configtx_pb2.ConfigEnvelope(), data, "config envelope")
    except MalformedInput as error:
        raise LedgerHalted("a config envelope does not decode", reason="config") from error
    return load_config(envelope.config)


def load_config(config: Any) -> ChannelConfig:
    """From a parsed `common.Config`. Raises: LedgerHalted; unknown capabilities are named."""
    group = config.channel_group
    if APPLICATION not in group.groups or ORDERER not in group.groups:
        raise LedgerHalted("configuration without application or ordering group", reason="config")
    channel = frozenset(check_channel(group)["Capabilities"].capabilities)
    application = frozenset(check_application(group.groups[APPLICATION])["Capabilities"].capabilities)
    _check_capabilities(channel, application)
    bft = "V3_0" in channel
    orderer = check_orderer(group.groups[ORDERER], needs_endpoints=bft)
    if CONSORTIUMS in group.groups:
        check_consortiums(group.groups[CONSORTIUMS])
    msps, members = _load_msps(group, ed25519=bft)
    return ChannelConfig(
        sequence=config.sequence,
        msps=msps,
        policies=build_policies(group, msps),
        group=group,
        organizations=members[APPLICATION],
        ordering_organizations=frozenset(members[ORDERER]),
        bft=bft,
        consenters=tuple(
            Consenter(item.id, item.msp_id, item.identity) for item in orderer["Orderers"].consenter_mapping
        ),
        consensus_type=orderer["ConsensusType"].type,
        may_migrate=bool(channel & _MIGRATING),
    )


def _check_capabilities(channel: frozenset[str], application: frozenset[str]) -> None:
    for found, known, where in (
        (channel, CHANNEL_CAPABILITIES, "channel"),
        (application, APPLICATION_CAPABILITIES, "application"),
    ):
        unknown = sorted(found - known)
        if unknown:
            raise LedgerHalted(f"unknown {where} capability {unknown[0]}", reason="capability")
    if not application & {"V2_0", "V2_5"}:
        raise LedgerHalted("application capability below V2_0 is not supported", reason="capability")
    if not channel & {"V1_4_3", "V2_0", "V3_0"}:
        raise LedgerHalted("channel capability below V1_4_3 is not supported", reason="capability")


def _load_msps(group: Any, *, ed25519: bool) -> tuple[MspManager, dict[str, dict[str, str]]]:
    """All MSPs, and by kind of group MSP ID → name of the organisation's group."""
    encoded: dict[str, bytes] = {}
    msps: dict[str, Msp] = {}
    members: dict[str, dict[str, str]] = {APPLICATION: {}, ORDERER: {}, CONSORTIUMS: {}}
    for kind, name, value in _msp_values(group):
        msp = load_msp(value, ed25519=ed25519)
        if not msp.msp_id:
            raise LedgerHalted(f"the MSP of {name} has no id", reason="msp")
        if msp.msp_id in encoded and not _same_msp(encoded[msp.msp_id], value):
            raise LedgerHalted(f"two MSPs are called {msp.msp_id}", reason="msp")
        encoded[msp.msp_id] = value
        msps.setdefault(msp.msp_id, msp)
        members[kind][msp.msp_id] = name
    return MspManager(msps), members


def _msp_values(group: Any) -> list[tuple[str, str, bytes]]:
    """(kind of group, organisation's name, serialised MSPConfig) of every organisation."""
    holders = [(APPLICATION, group.groups[APPLICATION]), (ORDERER, group.groups[ORDERER])]
    if CONSORTIUMS in group.groups:
        holders += [(CONSORTIUMS, item) for item in group.groups[CONSORTIUMS].groups.values()]
    return [
        (kind, name, organization.values["MSP"].value if "MSP" in organization.values else b"")
        for kind, holder in holders
        for name, organization in holder.groups.items()
    ]


def _same_msp(first: bytes, second: bytes) -> bool:
    one, other = (decode_message(msp_config_pb2.MSPConfig(), item, "MSP config") for item in (first, second))
    return bool(one == other)
