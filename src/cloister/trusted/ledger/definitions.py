"""Committed chaincode definitions, out of the state of `_lifecycle` and legacy `lscc`: which policy judges a namespace.

Source: Fabric 2.5.9 core/chaincode/lifecycle/{lifecycle,serializer,deployedcc_infoprovider}.go,
core/policy/application.go, core/common/validation/statebased.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fabric_protos.common import policies_pb2
from fabric_protos.peer import chaincode_pb2, collection_pb2, policy_pb2
from fabric_protos.peer.lifecycle import chaincode_definition_pb2, db_pb2

from cloister.errors import MalformedInput
from cloister.fabric.decoding import decode_message

from .channel_config import ChannelConfig
from .codes import Code, Invalid
from .errors import LedgerHalted
from .msp import Roles, role_principal
from .policies import Policy, RejectPolicy, RememberingPolicy, compile_envelope

LIFECYCLE = "_lifecycle"
LEGACY = "lscc"
LIFECYCLE_ENDORSEMENT = "/Channel/Application/LifecycleEndorsement"
IMPLICIT_PREFIX = "_implicit_org_"
BUILTIN = "vscc"
ReadValue = Callable[[str, str], bytes | None]
"""(namespace, key) → value, None if absent."""


@dataclass(frozen=True)
class Definition:
    """What judging a namespace needs of its definition. `collections` None: not defined by `_lifecycle`."""

    parameter: bytes
    collections: Any
    legacy: bool = False


class Definitions:
    """All definitions of one state under one configuration; answers are remembered, so it lives as long as both."""

    def __init__(self, read: ReadValue, config: ChannelConfig) -> None:
        self._read = read
        self._config = config
        self._definitions: dict[str, Definition | Invalid | LedgerHalted] = {}
        self._policies: dict[str, Policy] = {}
        self._collections: dict[tuple[str, str], Policy | None] = {}

    def find(self, namespace: str) -> Definition:
        """The definition of a namespace. Raises: Invalid(INVALID_CHAINCODE) if there is none; LedgerHalted."""
        found = self._definitions.get(namespace)
        if found is None:
            try:
                found = _find(namespace, self._read)
            except (Invalid, LedgerHalted) as problem:
                found = problem
            self._definitions[namespace] = found
        if isinstance(found, Definition):
            return found
        raise found

    def policy(self, namespace: str) -> Policy:
        """The chaincode policy of a namespace. Raises: Invalid(INVALID_CHAINCODE); LedgerHalted."""
        policy = self._policies.get(namespace)
        if policy is None:
            policy = self._policies[namespace] = RememberingPolicy(self._policy(namespace))
        return policy

    def collection_policy(self, namespace: str, collection: str) -> Policy | None:
        """A collection's own endorsement policy; None: the chaincode's. Raises: Invalid if it is unknown."""
        place = (namespace, collection)
        if place not in self._collections:
            policy = self._collection_policy(namespace, collection)
            self._collections[place] = RememberingPolicy(policy) if policy is not None else None
        return self._collections[place]

    def block_to_live(self, namespace: str, collection: str) -> int:
        """For how many blocks a collection's keys live; 0 for good."""
        static = self._static(namespace, collection)
        return int(static.block_to_live) if static is not None else 0

    def is_defined_collection(self, namespace: str, collection: str) -> bool:
        """Whether a hashed write to it can be committed at all."""
        if collection.startswith(IMPLICIT_PREFIX):
            return collection.removeprefix(IMPLICIT_PREFIX) in self._config.organizations
        return self._static(namespace, collection) is not None

    def _policy(self, namespace: str) -> Policy:
        if namespace == LIFECYCLE:
            return self._config.find_policy(LIFECYCLE_ENDORSEMENT) or _majority_of_members(self._config)
        definition = self.find(namespace)
        if definition.legacy:
            return _signature_policy(definition.parameter, self._config)
        return _application_policy(definition.parameter, self._config)

    def _collection_policy(self, namespace: str, collection: str) -> Policy | None:
        if namespace != LIFECYCLE and self.find(namespace).legacy:
            return None
        if collection.startswith(IMPLICIT_PREFIX):
            return _implicit_policy(collection.removeprefix(IMPLICIT_PREFIX), self._config)
        static = self._static(namespace, collection)
        if static is None:
            raise Invalid(Code.ENDORSEMENT_POLICY_FAILURE)
        if not static.HasField("endorsement_policy"):
            return None
        return _application_policy(static.endorsement_policy.SerializeToString(), self._config)

    def _static(self, namespace: str, collection: str) -> Any:
        """The `StaticCollectionConfig`, None if there is none of that name."""
        if namespace == LIFECYCLE or collection.startswith(IMPLICIT_PREFIX):
            return None
        try:
            package = self.find(namespace).collections
        except Invalid:
            return None
        configs = package.config if package is not None else ()
        return next(
            (item.static_collection_config for item in configs if item.static_collection_config.name == collection),
            None,
        )


def _find(namespace: str, read: ReadValue) -> Definition:
    metadata = read(LIFECYCLE, f"namespaces/metadata/{namespace}")
    if metadata is not None:
        parsed = _halt_decode(db_pb2.StateMetadata(), metadata)
        if parsed.datatype != "ChaincodeDefinition":
            raise LedgerHalted(f"definition of {namespace} of an unknown type", reason="lifecycle")
        info = _halt_decode(
            chaincode_definition_pb2.ChaincodeValidationInfo(), _bytes(read, namespace, "ValidationInfo")
        )
        if info.validation_plugin or info.validation_parameter:
            if not info.validation_plugin or not info.validation_parameter:
                raise Invalid(Code.INVALID_CHAINCODE)
            if info.validation_plugin != BUILTIN:
                raise LedgerHalted(f"validation plugin {info.validation_plugin} is not known", reason="plugin")
            package = _halt_decode(collection_pb2.CollectionConfigPackage(), _bytes(read, namespace, "Collections"))
            return Definition(info.validation_parameter, package)
    legacy = read(LEGACY, namespace)
    if legacy is None:
        raise Invalid(Code.INVALID_CHAINCODE)
    data = _halt_decode(chaincode_pb2.ChaincodeData(), legacy)
    return Definition(data.policy.SerializeToString(), None, legacy=True)


def _application_policy(encoded: bytes, config: ChannelConfig) -> Policy:
    """From a serialised `protos.ApplicationPolicy`; what cannot be used rejects everything."""
    try:
        policy = decode_message(policy_pb2.ApplicationPolicy(), encoded, "application policy")
        kind = policy.WhichOneof("Type")
        if kind == "signature_policy":
            return compile_envelope(policy.signature_policy, config.msps)
        if kind == "channel_config_policy_reference":
            return config.policy(policy.channel_config_policy_reference)
    except MalformedInput:
        pass
    return RejectPolicy()


def _implicit_policy(msp_id: str, config: ChannelConfig) -> Policy:
    group = config.organizations.get(msp_id)
    if group is None:
        raise Invalid(Code.ENDORSEMENT_POLICY_FAILURE)
    found = config.find_policy(f"/Channel/Application/{group}/Endorsement")
    return found or _members(config, [msp_id], 1)


def _majority_of_members(config: ChannelConfig) -> Policy:
    msp_ids = sorted(config.organizations)
    return _members(config, msp_ids, len(msp_ids) // 2 + 1)


def _members(config: ChannelConfig, msp_ids: list[str], needed: int) -> Policy:
    principals = [role_principal(msp_id, Roles.MEMBER) for msp_id in msp_ids]
    rules = [policies_pb2.SignaturePolicy(signed_by=position) for position in range(len(msp_ids))]
    rule = policies_pb2.SignaturePolicy(n_out_of=policies_pb2.SignaturePolicy.NOutOf(n=needed, rules=rules))
    return compile_envelope(policies_pb2.SignaturePolicyEnvelope(rule=rule, identities=principals), config.msps)


def _signature_policy(encoded: bytes, config: ChannelConfig) -> Policy:
    try:
        return compile_envelope(
            decode_message(policies_pb2.SignaturePolicyEnvelope(), encoded, "signature policy"), config.msps
        )
    except MalformedInput:
        return RejectPolicy()


def _bytes(read: ReadValue, namespace: str, field: str) -> bytes:
    encoded = read(LIFECYCLE, f"namespaces/fields/{namespace}/{field}")
    if encoded is None:
        return b""
    data = _halt_decode(db_pb2.StateData(), encoded)
    if data.WhichOneof("Type") != "Bytes":
        raise LedgerHalted(f"definition of {namespace}: {field} of an unexpected type", reason="lifecycle")
    value: bytes = data.Bytes
    return value


def _halt_decode(message: Any, encoded: bytes) -> Any:
    try:
        return decode_message(message, encoded, "lifecycle state")
    except MalformedInput as error:
        raise LedgerHalted("lifecycle state does not decode", reason="lifecycle") from error
