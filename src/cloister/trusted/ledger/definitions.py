"""Committed chaincode definitions, out of the state of `_lifecycle` and legacy `lscc`: which policy judges a namespace.

Source: Fabric 2.5.9 core/chaincode/lifecycle/{lifecycle,serializer,deployedcc_infoprovider}.go,
core/policy/application.go, core/common/validation/statebased.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fabric_protos.common import policies_pb2
from fabric_protos.msp import msp_principal_pb2
from fabric_protos.peer import chaincode_pb2, collection_pb2, policy_pb2
from fabric_protos.peer.lifecycle import chaincode_definition_pb2, db_pb2

from cloister.errors import MalformedInput
from cloister.fabric.decoding import decode_message

from .channel_config import ChannelConfig
from .codes import Code, Invalid
from .errors import LedgerHalted
from .policies import Policy, RejectPolicy, compile_envelope
from .state import State

LIFECYCLE = "_lifecycle"
LIFECYCLE_ENDORSEMENT = "/Channel/Application/LifecycleEndorsement"
IMPLICIT_PREFIX = "_implicit_org_"
BUILTIN = "vscc"


@dataclass(frozen=True)
class Definition:
    """What judging a namespace needs of its definition. `collections` None: not defined by `_lifecycle`."""

    parameter: bytes
    collections: Any
    legacy: bool = False


def namespace_policy(namespace: str, state: State, config: ChannelConfig) -> Policy:
    """The chaincode policy of a namespace. Raises: Invalid(INVALID_CHAINCODE); LedgerHalted."""
    if namespace == LIFECYCLE:
        return config.find_policy(LIFECYCLE_ENDORSEMENT) or _majority_of_members(config)
    definition = find_definition(namespace, state)
    if definition.legacy:
        return _signature_policy(definition.parameter, config)
    return application_policy(definition.parameter, config)


def find_definition(namespace: str, state: State) -> Definition:
    """The committed definition of a namespace. Raises: Invalid(INVALID_CHAINCODE) if there is none; LedgerHalted."""
    metadata = state.value(LIFECYCLE, f"namespaces/metadata/{namespace}")
    if metadata is not None:
        parsed = _halt_decode(db_pb2.StateMetadata(), metadata)
        if parsed.datatype != "ChaincodeDefinition":
            raise LedgerHalted(f"definition of {namespace} of an unknown type", reason="lifecycle")
        info = _halt_decode(
            chaincode_definition_pb2.ChaincodeValidationInfo(), _bytes(state, namespace, "ValidationInfo")
        )
        if info.validation_plugin or info.validation_parameter:
            if not info.validation_plugin or not info.validation_parameter:
                raise Invalid(Code.INVALID_CHAINCODE)
            if info.validation_plugin != BUILTIN:
                raise LedgerHalted(f"validation plugin {info.validation_plugin} is not known", reason="plugin")
            package = _halt_decode(collection_pb2.CollectionConfigPackage(), _bytes(state, namespace, "Collections"))
            return Definition(info.validation_parameter, package)
    legacy = state.value("lscc", namespace)
    if legacy is None:
        raise Invalid(Code.INVALID_CHAINCODE)
    data = _halt_decode(chaincode_pb2.ChaincodeData(), legacy)
    return Definition(data.policy.SerializeToString(), None, legacy=True)


def application_policy(encoded: bytes, config: ChannelConfig) -> Policy:
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


def collection_policy(namespace: str, collection: str, state: State, config: ChannelConfig) -> Policy | None:
    """A collection's own endorsement policy; None: the chaincode's. Raises: Invalid if the collection is unknown."""
    if namespace == LIFECYCLE:
        definition = None
    else:
        definition = find_definition(namespace, state)
        if definition.legacy:
            return None
    if collection.startswith(IMPLICIT_PREFIX):
        return _implicit_policy(collection.removeprefix(IMPLICIT_PREFIX), config)
    for item in definition.collections.config if definition is not None else ():
        static = item.static_collection_config
        if static.name == collection:
            if not static.HasField("endorsement_policy"):
                return None
            return application_policy(static.endorsement_policy.SerializeToString(), config)
    raise Invalid(Code.ENDORSEMENT_POLICY_FAILURE)


def block_to_live(namespace: str, collection: str, state: State) -> int:
    """For how many blocks a collection's keys live; 0 for good."""
    if collection.startswith(IMPLICIT_PREFIX):
        return 0
    try:
        definition = find_definition(namespace, state)
    except Invalid:
        return 0
    for item in definition.collections.config if definition.collections is not None else ():
        if item.static_collection_config.name == collection:
            return int(item.static_collection_config.block_to_live)
    return 0


def is_defined_collection(namespace: str, collection: str, state: State, config: ChannelConfig) -> bool:
    """Whether a hashed write to it can be committed at all."""
    if collection.startswith(IMPLICIT_PREFIX):
        return collection.removeprefix(IMPLICIT_PREFIX) in config.organizations
    try:
        definition = find_definition(namespace, state)
    except Invalid:
        return False
    configs = definition.collections.config if definition.collections is not None else ()
    return any(item.static_collection_config.name == collection for item in configs)


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
    roles = msp_principal_pb2.MSPRole
    principals = [
        msp_principal_pb2.MSPPrincipal(principal=roles(msp_identifier=msp_id, role=roles.MEMBER).SerializeToString())
        for msp_id in msp_ids
    ]
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


def _bytes(state: State, namespace: str, field: str) -> bytes:
    encoded = state.value(LIFECYCLE, f"namespaces/fields/{namespace}/{field}")
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
