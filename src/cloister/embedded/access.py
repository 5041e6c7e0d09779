"""Who may do what: policies of the channel, evaluated by the judge's own code on who really signed.

Source: Fabric 2.5.9 core/aclmgmt/defaultaclprovider.go, core/policy/policy.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from fabric_protos.peer import configuration_pb2

from cloister.errors import CloisterError
from cloister.fabric.identity import decode_serialized_identity
from cloister.trusted.ledger.errors import IdentityInvalid
from cloister.trusted.ledger.msp import Roles, role_principal
from cloister.trusted.ledger.policies import SignedItem, valid_signers

from .ledger import Ledger

READERS = "/Channel/Application/Readers"


class AccessDenied(CloisterError):
    """The signers do not satisfy the policy."""


def check_policy(ledger: Ledger, path: str, items: Sequence[SignedItem], *, resource: str = "") -> None:
    """Raises: AccessDenied unless these signers satisfy a channel policy, or the one the channel's ACLs name."""
    named = _acl(ledger, resource) or path
    if not ledger.config.policy(named).evaluate(valid_signers(items, ledger.config.msps)):
        name = named.rpartition("/")[2]
        raise AccessDenied(
            f"failed evaluating policy on signed data during check policy [{named}]: [implicit policy evaluation "
            f"failed - 0 sub-policies were satisfied, but this policy requires 1 of the '{name}' sub-policies to be "
            "satisfied]"
        )


def check_administrator(ledger: Ledger, msp_id: str, items: Sequence[SignedItem]) -> None:
    """Raises: AccessDenied unless an administrator of the organisation signed."""
    _check_role(ledger, msp_id, items, Roles.ADMIN, "Admins")


def check_member(ledger: Ledger, msp_id: str, items: Sequence[SignedItem]) -> None:
    """Raises: AccessDenied unless a member of the organisation signed."""
    _check_role(ledger, msp_id, items, Roles.MEMBER, "Members")


def check_creator(ledger: Ledger, item: SignedItem) -> None:
    """Raises: AccessDenied unless a valid member of the channel signed, with a certificate that has not expired."""
    channel = ledger.channel
    try:
        identity = ledger.config.msps.deserialize(item.identity)
        ledger.config.msps.validate(identity)
    except IdentityInvalid as error:
        raise AccessDenied(f"access denied: channel [{channel}] creator org unknown, creator is malformed") from error
    if not valid_signers([item], ledger.config.msps):
        raise AccessDenied(
            f"access denied: channel [{channel}] creator org [{identity.msp_id}]: the creator's signature over the "
            "proposal is not valid"
        )
    certificate = x509.load_pem_x509_certificate(decode_serialized_identity(item.identity).id_bytes)
    if certificate.not_valid_after_utc < datetime.now(UTC):
        raise AccessDenied("proposal client identity expired")


def _check_role(ledger: Ledger, msp_id: str, items: Sequence[SignedItem], role: int, name: str) -> None:
    principal = role_principal(msp_id, role)
    msps = ledger.config.msps
    if not any(msps.satisfies(identity, principal) for identity in valid_signers(items, msps)):
        raise AccessDenied(
            f"Failed verifying that proposal's creator satisfies local MSP principal during channelless check policy "
            f"with policy [{name}]: [This identity is not an {'admin' if role == Roles.ADMIN else 'member'}]"
        )


def _acl(ledger: Ledger, resource: str) -> str:
    """The policy that the channel's configuration names for a resource, "" if none."""
    application = ledger.config.group.groups["Application"]
    if not resource or "ACLs" not in application.values:
        return ""
    acls = configuration_pb2.ACLs.FromString(application.values["ACLs"].value).acls
    if resource not in acls:
        return ""
    reference: str = acls[resource].policy_ref
    return reference if reference.startswith("/") else f"/Channel/Application/{reference}"
