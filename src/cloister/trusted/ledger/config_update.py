"""Is a new configuration what its update makes of the old one, and did the right ones sign it?

A real peer validates that again and halts if not; it does not rest on the orderers' word here either.
Sources of the rules: Fabric 2.5.9 common/configtx/{validator,update,configmap}.go. Steps as in `verify_config_update`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fabric_protos.common import common_pb2, configtx_pb2
from fabric_protos.msp import msp_config_pb2

from cloister.errors import MalformedInput
from cloister.fabric.decoding import decode_message

from .channel_config import ChannelConfig
from .config_values import APPLICATION, CONSORTIUMS, ORDERER
from .errors import LedgerHalted
from .policies import MAX_DEPTH, Policy, PolicyNode, SignedItem, valid_signers

GROUP, VALUE, POLICY = "group", "value", "policy"
_ID = re.compile(r"[a-zA-Z0-9.-]{1,249}")
_ROOT = "Channel"
Key = tuple[str, tuple[str, ...]]
"""(kind, path from the root, the element's own name last)."""


@dataclass(frozen=True, slots=True)
class Element:
    """One group, value or policy of a configuration."""

    kind: str
    path: tuple[str, ...]
    message: Any

    @property
    def version(self) -> int:
        """How often it has been changed."""
        return int(self.message.version)

    @property
    def mod_policy(self) -> str:
        """Which policy a change of it must satisfy."""
        return str(self.message.mod_policy)

    def children(self) -> frozenset[Key]:
        """What a group holds, by kind and name; nothing for values and policies."""
        if self.kind != GROUP:
            return frozenset()
        parts = ((GROUP, self.message.groups), (VALUE, self.message.values), (POLICY, self.message.policies))
        return frozenset((kind, (*self.path, name)) for kind, items in parts for name in items)


def verify_config_update(data: bytes, *, channel: str, current: ChannelConfig) -> Any:
    """The new `common.Config` of a ConfigEnvelope.

    Steps: 1 sequence · 2 the update is of this channel · 3 what it read has the current versions · 4 what it changes
    is new, or one version on and allowed by the modification policy · 5 the result is the configuration in the block.
    Raises: LedgerHalted(reason="config").
    """
    try:
        return _verify(data, channel, current)
    except MalformedInput as error:
        raise _halt("the update does not decode") from error


def _verify(data: bytes, channel: str, current: ChannelConfig) -> Any:
    envelope = decode_message(configtx_pb2.ConfigEnvelope(), data, "config envelope")
    if not envelope.HasField("config") or envelope.config.sequence != current.sequence + 1:  # 1
        raise _halt(f"configuration {envelope.config.sequence} after {current.sequence}")
    update_envelope = _update_envelope(envelope)
    update = decode_message(configtx_pb2.ConfigUpdate(), update_envelope.config_update, "config update")
    if update.channel_id != channel:  # 2
        raise _halt("the update is for another channel")
    old = _flatten(current.group)
    read = _flatten(update.read_set)
    written = _flatten(update.write_set)
    for key, element in read.items():  # 3
        if key not in old or old[key].version != element.version:
            raise _halt("the update was made for another configuration")
    changed = {key: item for key, item in written.items() if key not in read or read[key].version != item.version}
    _check_changes(changed, old, current, _signers(update_envelope, current))  # 4
    result = _overlay(old, changed)
    if not set(written) <= set(result):
        raise _halt("the update writes what is not part of the result")
    expected = _assemble(result, (GROUP, (_ROOT,)), default_policies=_default_policies(result))
    if expected != envelope.config.channel_group:  # 5
        raise _halt("the configuration is not what the update makes of the one before")
    return envelope.config


def _update_envelope(envelope: Any) -> Any:
    payload = decode_message(common_pb2.Payload(), envelope.last_update.payload, "payload")
    header = decode_message(common_pb2.ChannelHeader(), payload.header.channel_header, "channel header")
    if header.type != common_pb2.CONFIG_UPDATE:
        raise _halt("the configuration carries no update")
    return decode_message(configtx_pb2.ConfigUpdateEnvelope(), payload.data, "config update envelope")


def _signers(update_envelope: Any, current: ChannelConfig) -> Sequence[Any]:
    items = []
    for signature in update_envelope.signatures:
        header = decode_message(common_pb2.SignatureHeader(), signature.signature_header, "signature header")
        signed = signature.signature_header + update_envelope.config_update
        items.append(SignedItem(header.creator, signed, signature.signature))
    return valid_signers(items, current.msps)


def _check_changes(
    changed: dict[Key, Element], old: dict[Key, Element], current: ChannelConfig, signers: Sequence[Any]
) -> None:
    if not changed:
        raise _halt("the update changes nothing")
    for key, element in changed.items():
        names = element.mod_policy.removeprefix("/").split("/")
        if not element.mod_policy or not all(_is_id(name) for name in names):
            raise _halt("a changed element without modification policy")
        existing = old.get(key)
        if existing is None:
            if element.version != 0:
                raise _halt("a new element of another version than 0")
            continue
        if element.version != existing.version + 1:
            raise _halt("a changed element that is not one version on")
        policy = _mod_policy(existing, current)
        if policy is None or not policy.evaluate(signers):
            raise _halt("a change that its modification policy does not allow")


def _mod_policy(element: Element, current: ChannelConfig) -> Policy | None:
    """Absolute names from the root; relative ones in the group that holds the element (a group: in itself)."""
    if element.mod_policy.startswith("/"):
        return current.find_policy(element.mod_policy)
    groups = element.path[1:] if element.kind == GROUP else element.path[1:-1]
    node: PolicyNode | None = current.policies
    for group in groups:
        node = node.children.get(group) if node is not None else None
    return node.find(element.mod_policy.split("/")) if node is not None else None


def _overlay(old: dict[Key, Element], changed: dict[Key, Element]) -> dict[Key, Element]:
    """What is reachable from the root once changed elements replace old ones: dropped children vanish."""
    merged = {**old, **changed}
    found: dict[Key, Element] = {}
    waiting: list[Key] = [(GROUP, (_ROOT,))]
    while waiting:
        key = waiting.pop()
        element = merged.get(key)
        if element is None:
            raise _halt("the update names a child that it does not hold")
        found[key] = element
        waiting.extend(element.children())
    return found


def _assemble(elements: dict[Key, Element], key: Key, *, default_policies: bool) -> Any:
    """The ConfigGroup at `key` with everything below it."""
    element = elements[key]
    group = configtx_pb2.ConfigGroup(version=element.version, mod_policy=_or_admins(element, default_policies))
    for kind, path in element.children():
        name = path[-1]
        child = elements[(kind, path)]
        if kind == GROUP:
            below = _assemble(elements, (kind, path), default_policies=default_policies)
            group.groups[name].CopyFrom(below)
            continue
        target = group.values[name] if kind == VALUE else group.policies[name]
        target.CopyFrom(child.message)
        target.mod_policy = _or_admins(child, default_policies)
    return group


def _or_admins(element: Element, default_policies: bool) -> str:  # noqa: FBT001 - a rule that is on or off
    return element.mod_policy or ("Admins" if default_policies else "")


def _default_policies(elements: dict[Key, Element]) -> bool:
    """With orderer capabilities, an empty modification policy anywhere becomes `Admins`."""
    return (VALUE, (_ROOT, "Orderer", "Capabilities")) in elements


def check_compatible(old: ChannelConfig, new: ChannelConfig) -> None:
    """What no update may do, whoever signs it (bundle.go ValidateNew). Raises: LedgerHalted(reason="config")."""
    if (CONSORTIUMS in old.group.groups) != (CONSORTIUMS in new.group.groups):
        raise _halt("Consortiums appear or disappear")
    if old.consensus_type != new.consensus_type and not old.may_migrate:
        raise _halt("the consensus type changes without the capability for it")
    for kind in (APPLICATION, ORDERER):
        before, after = (_msp_ids(config.group.groups[kind]) for config in (old, new))
        for name, msp_id in before.items():
            if after.get(name, msp_id) != msp_id:
                raise _halt(f"organisation {name} changes its MSP ID")


def _msp_ids(group: Any) -> dict[str, str]:
    found = {}
    for name, organization in group.groups.items():
        encoded = organization.values["MSP"].value if "MSP" in organization.values else b""
        config = decode_message(msp_config_pb2.MSPConfig(), encoded, "MSP config").config
        found[name] = str(decode_message(msp_config_pb2.FabricMSPConfig(), config, "MSP config").name)
    return found


def _flatten(group: Any) -> dict[Key, Element]:
    found: dict[Key, Element] = {}
    waiting: list[tuple[tuple[str, ...], Any]] = [((_ROOT,), group)]
    while waiting:
        path, message = waiting.pop()
        if len(path) > MAX_DEPTH or not _is_id(path[-1]):
            raise _halt("a configuration with an impossible path")
        found[(GROUP, path)] = Element(GROUP, path, message)
        for kind, items in ((VALUE, message.values), (POLICY, message.policies)):
            for name, item in items.items():
                if not _is_id(name):
                    raise _halt("a configuration with an impossible name")
                found[(kind, (*path, name))] = Element(kind, (*path, name), item)
        waiting.extend(((*path, name), item) for name, item in message.groups.items())
    return found


def _is_id(name: str) -> bool:
    return _ID.fullmatch(name) is not None and name not in (".", "..")


def _halt(message: str) -> LedgerHalted:
    return LedgerHalted(message, reason="config")
