"""Chaincode definitions as colluding organisations can commit them: written straight into `_lifecycle`'s state.

Keys and values: Fabric 2.5.9 core/chaincode/lifecycle/{lifecycle,serializer}.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fabric_protos.peer import collection_pb2, policy_pb2
from fabric_protos.peer.lifecycle import chaincode_definition_pb2, db_pb2

from cloister.lifecycle import parse_policy_expression

from .forge import rwset

LIFECYCLE = "_lifecycle"
ENDORSEMENT_POLICY = "/Channel/Application/Endorsement"
_FIELDS = ("Sequence", "EndorsementInfo", "ValidationInfo", "Collections")


@dataclass(frozen=True)
class ForgedDefinition:
    """`policy` in the peer CLI's notation, or the path of a channel policy; `parameter` instead, as it is stored."""

    name: str
    sequence: int = 1
    version: str = "1.0"
    policy: str = ENDORSEMENT_POLICY
    collections: Sequence[Any] = ()
    parameter: bytes | None = None

    def write(self) -> tuple[str, Any]:
        """The namespace and KVRWSet that commit it."""
        info = chaincode_definition_pb2.ChaincodeEndorsementInfo(version=self.version, endorsement_plugin="escc")
        validation = chaincode_definition_pb2.ChaincodeValidationInfo(
            validation_plugin="vscc", validation_parameter=self._parameter()
        )
        package = collection_pb2.CollectionConfigPackage(config=list(self.collections))
        metadata = db_pb2.StateMetadata(datatype="ChaincodeDefinition", fields=_FIELDS)
        place = f"namespaces/fields/{self.name}"
        writes = [
            (f"namespaces/metadata/{self.name}", metadata.SerializeToString()),
            (f"{place}/Sequence", db_pb2.StateData(Int64=self.sequence).SerializeToString()),
            (f"{place}/EndorsementInfo", db_pb2.StateData(Bytes=info.SerializeToString()).SerializeToString()),
            (f"{place}/ValidationInfo", db_pb2.StateData(Bytes=validation.SerializeToString()).SerializeToString()),
            (f"{place}/Collections", db_pb2.StateData(Bytes=package.SerializeToString()).SerializeToString()),
        ]
        return LIFECYCLE, rwset(writes=writes)

    def _parameter(self) -> bytes:
        if self.parameter is not None:
            return self.parameter
        return application_policy(self.policy)


def application_policy(policy: str) -> bytes:
    """A serialised `protos.ApplicationPolicy` from a policy expression or the path of a channel policy."""
    found = policy_pb2.ApplicationPolicy()
    if policy.startswith("/"):
        found.channel_config_policy_reference = policy
    else:
        found.signature_policy.ParseFromString(parse_policy_expression(policy))
    encoded: bytes = found.SerializeToString()
    return encoded


def collection(name: str, members: str, *, block_to_live: int = 0, endorsement: str = "") -> Any:
    """A CollectionConfig. `members` and `endorsement` in the peer CLI's notation."""
    static = collection_pb2.StaticCollectionConfig(name=name, block_to_live=block_to_live, maximum_peer_count=1)
    static.member_orgs_policy.signature_policy.ParseFromString(parse_policy_expression(members))
    if endorsement:
        static.endorsement_policy.ParseFromString(application_policy(endorsement))
    return collection_pb2.CollectionConfig(static_collection_config=static)
