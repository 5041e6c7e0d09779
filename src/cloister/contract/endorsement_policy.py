"""Endorsement policies of single keys: "a peer (or member) of each of these organisations must endorse".

Trust level: pure, measured into enclaves.
Source: fabric-chaincode-go pkg/statebased; the bytes are those of a `common.SignaturePolicyEnvelope`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from fabric_protos.common import policies_pb2
from fabric_protos.msp import msp_principal_pb2
from google.protobuf.message import DecodeError, Message

from cloister.errors import MalformedInput


class RoleType(StrEnum):
    """Whose signature counts: any member's, or a peer's."""

    MEMBER = "MEMBER"
    PEER = "PEER"


_ROLES = {
    RoleType.MEMBER: msp_principal_pb2.MSPRole.MEMBER,
    RoleType.PEER: msp_principal_pb2.MSPRole.PEER,
}


class KeyEndorsementPolicy:
    """A set of organisations, all of which must endorse a change of the key.

    `policy` of an existing key may be given to change it. Equal sets give equal bytes.
    Raises: MalformedInput if `policy` is not a signature policy of roles.
    """

    def __init__(self, policy: bytes = b"") -> None:
        self._roles: dict[str, int] = {}
        for principal in _decode(policies_pb2.SignaturePolicyEnvelope(), policy).identities:
            if principal.principal_classification == msp_principal_pb2.MSPPrincipal.ROLE:
                role = _decode(msp_principal_pb2.MSPRole(), principal.principal)
                self._roles[role.msp_identifier] = role.role

    def add_orgs(self, role: RoleType | str, *msp_ids: str) -> None:
        """Add organisations. Raises: ValueError for a role other than MEMBER and PEER."""
        for msp_id in msp_ids:
            self._roles[msp_id] = _ROLES[RoleType(role)]

    def delete_orgs(self, *msp_ids: str) -> None:
        """Remove organisations; unknown ones are ignored."""
        for msp_id in msp_ids:
            self._roles.pop(msp_id, None)

    def list_orgs(self) -> list[str]:
        """MSP IDs, sorted."""
        return sorted(self._roles)

    def policy(self) -> bytes:
        """Bytes for `set_state_validation_parameter`."""
        orgs = self.list_orgs()
        roles = [msp_principal_pb2.MSPRole(msp_identifier=org, role=self._roles[org]) for org in orgs]
        envelope = policies_pb2.SignaturePolicyEnvelope(
            identities=[
                msp_principal_pb2.MSPPrincipal(
                    principal_classification=msp_principal_pb2.MSPPrincipal.ROLE, principal=_encode(role)
                )
                for role in roles
            ]
        )
        envelope.rule.n_out_of.n = len(orgs)
        for position in range(len(orgs)):
            # A oneof member with value 0 must be set, not only mentioned, or it is not written.
            envelope.rule.n_out_of.rules.add().signed_by = position
        return _encode(envelope)


def _encode(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


def _decode(message: Any, encoded: bytes) -> Any:
    try:
        message.ParseFromString(encoded)
    except DecodeError as error:
        raise MalformedInput("not a signature policy of a key", field="policy") from error
    return message
