"""The configuration that an orderer proposes for an update: what the update writes, laid over what there is.

Source: Fabric 2.5.9 common/configtx/{update,configmap}.go. Whether it may be made is judged elsewhere, by the same code
that judges blocks.
"""

from __future__ import annotations

from typing import Any

from fabric_protos.common import common_pb2, configtx_pb2

from cloister.fabric.decoding import decode_message
from cloister.trusted.ledger.channel_config import ChannelConfig

_KINDS = ("groups", "values", "policies")


def propose_config(update: bytes, current: ChannelConfig) -> Any:
    """The next `common.Config` for a CONFIG_UPDATE envelope. Raises: MalformedInput."""
    envelope = decode_message(common_pb2.Envelope(), update, "envelope")
    payload = decode_message(common_pb2.Payload(), envelope.payload, "payload")
    outer = decode_message(configtx_pb2.ConfigUpdateEnvelope(), payload.data, "config update envelope")
    inner = decode_message(configtx_pb2.ConfigUpdate(), outer.config_update, "config update")
    group = _overlay(current.group, inner.write_set)
    return configtx_pb2.Config(sequence=current.sequence + 1, channel_group=group)


def _overlay(current: Any, written: Any) -> Any:
    result = configtx_pb2.ConfigGroup()
    result.CopyFrom(current)
    if written.version != current.version:  # then it lists all its members
        result.version, result.mod_policy = written.version, written.mod_policy or "Admins"
        for kind in _KINDS:
            members, listed = getattr(result, kind), getattr(written, kind)
            for name in set(members) - set(listed):
                del members[name]
    for name, group in written.groups.items():
        before = current.groups[name] if name in current.groups else configtx_pb2.ConfigGroup(version=group.version)
        below = _overlay(before, group)
        if name not in current.groups:
            below.mod_policy = group.mod_policy or "Admins"
        result.groups[name].CopyFrom(below)
    for kind in ("values", "policies"):
        members = getattr(result, kind)
        for name, item in getattr(written, kind).items():
            if name not in getattr(current, kind) or item.version != getattr(current, kind)[name].version:
                members[name].CopyFrom(item)
                members[name].mod_policy = item.mod_policy or "Admins"
    return result
