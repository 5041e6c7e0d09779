"""Who, other than orderers, could sign a block? Fabric's default BlockValidation lets any member of an ordering
organisation, a client or an administrator as much as an orderer: the ledger enclave says so loudly.
"""

from __future__ import annotations

from typing import Any, cast

from fabric_protos.msp import msp_principal_pb2

from cloister.errors import MalformedInput
from cloister.fabric.decoding import decode_message

from .blocks import BLOCK_VALIDATION
from .certificates import Certificate
from .channel_config import ChannelConfig
from .msp import Identity, MspManager, Roles
from .policies import build_policies

_OTHERS = {"client": Roles.CLIENT, "administrator": Roles.ADMIN, "peer": Roles.PEER}


class _OneRole:
    """Every identity is a member in one role of the MSP that it names."""

    def __init__(self, role: int) -> None:
        self._role = role

    def satisfies(self, identity: Identity, principal: Any) -> bool:
        if principal.principal_classification != msp_principal_pb2.MSPPrincipal.ROLE:
            return False
        try:
            wanted = decode_message(msp_principal_pb2.MSPRole(), principal.principal, "role")
        except MalformedInput:
            return False
        return wanted.msp_identifier == identity.msp_id and wanted.role in (Roles.MEMBER, self._role)


def other_signers(config: ChannelConfig) -> tuple[str, ...]:
    """Who else than an orderer satisfies BlockValidation alone, as "role of MSP ID", sorted."""
    found = []
    for name, role in _OTHERS.items():
        policies = build_policies(config.group, cast("MspManager", _OneRole(role)))
        policy = policies.find(BLOCK_VALIDATION.split("/")[2:])
        for msp_id in config.ordering_organizations:
            identity = Identity(msp_id, Certificate(b""), (msp_id, b""))
            if policy is not None and policy.evaluate([identity]):
                found.append(f"{name} of {msp_id}")
    return tuple(sorted(found))
