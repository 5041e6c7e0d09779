"""Who must agree before the keys go to another measurement: the upgrade policy, fixed when the keys are made.

Trust level: trusted, pure; `cloister approve-upgrade` signs. A majority of organisations can commit any measurement
(`_lifecycle` is judged by LifecycleEndorsement alone); without this the committed rogue would be handed the keys
(protocol.md section 3). There is one policy in this version: an administrator of every member organisation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cloister.errors import MalformedInput, Refused
from cloister.fabric.identity import decode_serialized_identity, verify_signature
from cloister.wire.framing import decode_frame, encode_frame, u64

_TAG_POLICY = b"cloister/upgrade-policy/1"
_TAG_APPROVAL = b"cloister/upgrade-approval/1"
_TAG_APPROVALS = b"cloister/upgrade-approvals/1"
EVERY_ORGANISATION = hashlib.sha256(encode_frame(_TAG_POLICY, (b"administrator of every organisation",))).digest()
"""The policy's hash, 32 bytes: part of every chaincode enclave's attested data."""
MAX_APPROVALS = 256


@dataclass(frozen=True, slots=True)
class UpgradeApproval:
    """What an administrator signs. genesis_hash and measurement 32 bytes."""

    genesis_hash: bytes
    chaincode: str
    sequence: int
    measurement: bytes

    def encode(self) -> bytes:
        """Canonical bytes: what is signed, with ECDSA over SHA-256 as in Fabric."""
        return encode_frame(
            _TAG_APPROVAL, (self.genesis_hash, self.chaincode.encode(), u64(self.sequence), self.measurement)
        )


def encode_approvals(approvals: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Canonical bytes of (serialised identity, signature) pairs."""
    return encode_frame(_TAG_APPROVALS, [part for pair in approvals for part in pair])


def approvers(encoded: bytes, approval: UpgradeApproval) -> tuple[bytes, ...]:
    """The serialised identities whose signatures over this very approval hold.

    Not here: whether they are administrators: the ledger enclave says so, by the channel's MSPs.
    Raises: MalformedInput.
    """
    flat = decode_frame(_TAG_APPROVALS, encoded, maximum=2 * MAX_APPROVALS)
    if len(flat) % 2:
        raise MalformedInput("approvals: pairs expected", field="approvals")
    return tuple(
        identity
        for identity, signature in zip(flat[::2], flat[1::2], strict=True)
        if _signed(identity, signature, approval)
    )


def _signed(identity: bytes, signature: bytes, approval: UpgradeApproval) -> bool:
    try:
        verify_signature(decode_serialized_identity(identity).certificate(), approval.encode(), signature)
    except (Refused, MalformedInput):
        return False
    return True
