"""A channel's configuration: what one config block makes true for everything after it.

Source: Fabric 2.5.9 common/channelconfig, common/capabilities, core/peer/channel.go; 3.1 for BFT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fabric_protos.common import configtx_pb2, configuration_pb2
from fabric_protos.msp import msp_config_pb2

from cloister.errors import MalformedInput
from cloister.fabric.decoding import decode_message

from .errors import LedgerHalted
from .msp import Msp, MspManager, load_msp
from .policies import Policy, PolicyNode, RejectPolicy, build_policies

CHANNEL_CAPABILITIES = frozenset({"V1_1", "V1_3", "V1_4_2", "V1_4_3", "V2_0", "V3_0"})
APPLICATION_CAPABILITIES = frozenset({"V1_1", "V1_2", "V1_3", "V1_4_2", "V2_0", "V2_5"})
_MSP_GROUPS = ("Application", "Orderer", "Consortiums")


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
    bft: bool
    consenters: tuple[Consenter, ...]

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
    if "Application" not in group.groups:
        raise LedgerHalted("configuration without an Application group", reason="config")
    channel = _capabilities(group)
    application = _capabilities(group.groups["Application"])
    for found, known, where in (
        (channel, CHANNEL_CAPABILITIES, "channel"),
        (application, APPLICATION_CAPABILITIES, "application"),
    ):
        unknown = sorted(found - known)
        if unknown:
            raise LedgerHalted(f"unknown {where} capability {unknown[0]}", reason="capability")
    if not application & {"V2_0", "V2_5"}:
        raise LedgerHalted("application capability below V2_0 is not supported", reason="capability")
    msps = _load_msps(group)
    return ChannelConfig(
        sequence=config.sequence,
        msps=msps,
        policies=build_policies(group, msps),
        group=group,
        organizations=_organizations(group),
        bft="V3_0" in channel,
        consenters=_consenters(group),
    )


def _capabilities(group: Any) -> frozenset[str]:
    value = group.values.get("Capabilities")
    if value is None:
        return frozenset()
    return frozenset(_value(configuration_pb2.Capabilities(), value.value, "capabilities").capabilities)


def _load_msps(group: Any) -> MspManager:
    encoded: dict[str, bytes] = {}
    msps: dict[str, Msp] = {}
    for name in _MSP_GROUPS:
        for organization in _organization_groups(group.groups.get(name)):
            value = organization.values.get("MSP")
            if value is None:
                continue
            msp = load_msp(value.value)
            if msp.msp_id in encoded and not _same_msp(encoded[msp.msp_id], value.value):
                raise LedgerHalted(f"two MSPs are called {msp.msp_id}", reason="msp")
            encoded[msp.msp_id] = value.value
            msps.setdefault(msp.msp_id, msp)
    return MspManager(msps)


def _organization_groups(group: Any) -> list[Any]:
    return list(group.groups.values()) if group is not None else []


def _same_msp(first: bytes, second: bytes) -> bool:
    parse = msp_config_pb2.MSPConfig.FromString
    return bool(parse(first) == parse(second))


def _organizations(group: Any) -> dict[str, str]:
    found = {}
    for name, organization in group.groups["Application"].groups.items():
        value = organization.values.get("MSP")
        if value is not None:
            found[load_msp(value.value).msp_id] = name
    return found


def _consenters(group: Any) -> tuple[Consenter, ...]:
    orderer = group.groups.get("Orderer")
    value = orderer.values.get("Orderers") if orderer is not None else None
    if value is None:
        return ()
    mapping = _value(configuration_pb2.Orderers(), value.value, "orderers").consenter_mapping
    return tuple(Consenter(item.id, item.msp_id, item.identity) for item in mapping)


def _value(message: Any, encoded: bytes, what: str) -> Any:
    try:
        return decode_message(message, encoded, what)
    except MalformedInput as error:
        raise LedgerHalted(f"config value {what} does not decode", reason="config") from error
