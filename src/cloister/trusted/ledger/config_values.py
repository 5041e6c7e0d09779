"""The values of a channel configuration: which may stand where, and what they must be like.

A peer refuses a configuration with an unknown group or value, or one out of range, and stops; so does the judge.
Source: Fabric 2.5.9 common/channelconfig/{channel,orderer,application,organization,standardvalues}.go; 3.1.5 for what
channel capability V3_0 adds.
"""

from __future__ import annotations

import re
from typing import Any

from fabric_protos.common import configuration_pb2
from fabric_protos.msp import msp_config_pb2
from fabric_protos.orderer import configuration_pb2 as orderer_pb2
from fabric_protos.peer import configuration_pb2 as peer_pb2

from cloister.errors import MalformedInput
from cloister.fabric.decoding import decode_message

from .errors import LedgerHalted

APPLICATION, ORDERER, CONSORTIUMS = "Application", "Orderer", "Consortiums"
_CHANNEL_VALUES = {
    "HashingAlgorithm": configuration_pb2.HashingAlgorithm,
    "BlockDataHashingStructure": configuration_pb2.BlockDataHashingStructure,
    "OrdererAddresses": configuration_pb2.OrdererAddresses,
    "Consortium": configuration_pb2.Consortium,
    "Capabilities": configuration_pb2.Capabilities,
}
_ORDERER_VALUES = {
    "ConsensusType": orderer_pb2.ConsensusType,
    "BatchSize": orderer_pb2.BatchSize,
    "BatchTimeout": orderer_pb2.BatchTimeout,
    "KafkaBrokers": orderer_pb2.KafkaBrokers,
    "ChannelRestrictions": orderer_pb2.ChannelRestrictions,
    "Capabilities": configuration_pb2.Capabilities,
    "Orderers": configuration_pb2.Orderers,
}
_APPLICATION_VALUES = {"ACLs": peer_pb2.ACLs, "Capabilities": configuration_pb2.Capabilities}
_ORDERER_ORG_VALUES = {"MSP": msp_config_pb2.MSPConfig, "Endpoints": configuration_pb2.OrdererAddresses}
_APPLICATION_ORG_VALUES = {"MSP": msp_config_pb2.MSPConfig, "AnchorPeers": peer_pb2.AnchorPeers}
_CONSORTIUM_ORG_VALUES = {"MSP": msp_config_pb2.MSPConfig}
_DURATION = re.compile(r"\+?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+")
_MAX_WIDTH = 2**32 - 1


def decode_values(group: Any, known: dict[str, Any], where: str) -> dict[str, Any]:
    """All values of a group as messages, absent ones empty. Raises: LedgerHalted(reason="config") on unknown names."""
    unknown = sorted(set(group.values) - set(known))
    if unknown:
        raise _halt(f"{where}: unknown value {unknown[0]}")
    return {name: _decode(kind(), group.values[name].value if name in group.values else b"", f"{where} {name}")
            for name, kind in known.items()}  # fmt: skip


def check_channel(group: Any) -> dict[str, Any]:
    """The channel group's own values. Raises: LedgerHalted(reason="config")."""
    unknown = sorted(set(group.groups) - {APPLICATION, ORDERER, CONSORTIUMS})
    if unknown:
        raise _halt(f"unknown group {unknown[0]}")
    values = decode_values(group, _CHANNEL_VALUES, "channel")
    if values["HashingAlgorithm"].name not in ("SHA256", "SHA3_256"):
        raise _halt("an unknown hashing algorithm")
    if values["BlockDataHashingStructure"].width != _MAX_WIDTH:
        raise _halt("an unknown block data hashing structure")
    capabilities = set(values["Capabilities"].capabilities)
    has_org_endpoints = bool(capabilities & {"V1_4_2", "V1_4_3", "V2_0", "V3_0"})
    addresses = values["OrdererAddresses"].addresses
    if not has_org_endpoints and not addresses:
        raise _halt("no orderer addresses")
    if "V3_0" in capabilities and addresses:
        raise _halt("global orderer addresses, which capability V3_0 does not allow")
    _check_capability_order(group)
    return values


def check_orderer(group: Any, *, needs_endpoints: bool) -> dict[str, Any]:
    """The ordering group's values and its organisations'. Raises: LedgerHalted(reason="config")."""
    values = decode_values(group, _ORDERER_VALUES, "orderer")
    size = values["BatchSize"]
    if not size.max_message_count or not 0 < size.preferred_max_bytes <= size.absolute_max_bytes:
        raise _halt("an impossible batch size")
    if not is_positive_duration(values["BatchTimeout"].timeout):
        raise _halt("an impossible batch timeout")
    for name, organization in group.groups.items():
        endpoints = _check_organization(name, organization, _ORDERER_ORG_VALUES)["Endpoints"]
        if needs_endpoints and not endpoints.addresses:
            raise _halt(f"ordering organisation {name} without endpoints")
    return values


def check_application(group: Any) -> dict[str, Any]:
    """The application group's values and its organisations'. Raises: LedgerHalted(reason="config")."""
    for name, organization in group.groups.items():
        _check_organization(name, organization, _APPLICATION_ORG_VALUES)
    return decode_values(group, _APPLICATION_VALUES, "application")


def check_consortiums(group: Any) -> None:
    """Consortiums of an old system channel. Raises: LedgerHalted(reason="config")."""
    for consortium in group.groups.values():
        for name, organization in consortium.groups.items():
            _check_organization(name, organization, _CONSORTIUM_ORG_VALUES)


def is_positive_duration(text: str) -> bool:
    """Whether Go's time.ParseDuration makes something above zero of it."""
    return _DURATION.fullmatch(text) is not None and any(digit in text for digit in "123456789")


def _check_organization(name: str, group: Any, known: dict[str, Any]) -> dict[str, Any]:
    if group.groups:
        raise _halt(f"organisation {name} with groups below it")
    return decode_values(group, known, f"organisation {name}")


def _check_capability_order(group: Any) -> None:
    """Channel and application capabilities need the orderers' first (bundle.go preValidate)."""
    if ORDERER not in group.groups or "Capabilities" in group.groups[ORDERER].values:
        return
    if "Capabilities" in group.values or (
        APPLICATION in group.groups and "Capabilities" in group.groups[APPLICATION].values
    ):
        raise _halt("capabilities without the orderers'")


def _decode(message: Any, encoded: bytes, what: str) -> Any:
    try:
        return decode_message(message, encoded, what)
    except MalformedInput as error:
        raise _halt(f"{what} does not decode") from error


def _halt(message: str) -> LedgerHalted:
    return LedgerHalted(f"configuration: {message}", reason="config")
