"""What a transaction asks for and by whom: everything a stub knows without asking the ledger.

Trust level: pure, measured into enclaves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cloister.fabric.proposal import parse_signed_proposal


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of a chaincode.

    `arguments` begins with the function name. `creator` is a serialised `msp.SerializedIdentity`, `signed_proposal` a
    serialised `protos.SignedProposal` (both may be empty in tests). Time is the client's claim. `is_init` tells an
    initialisation that the lifecycle demanded (`--isInit`).
    """

    arguments: tuple[bytes, ...]
    channel: str
    transaction_id: str
    creator: bytes = b""
    nonce: bytes = b""
    epoch: int = 0
    timestamp_seconds: int = 0
    timestamp_nanos: int = 0
    transient: Mapping[str, bytes] = field(default_factory=dict)
    signed_proposal: bytes = b""
    is_init: bool = False

    @property
    def binding(self) -> bytes:
        """SHA-256(nonce, creator, epoch as 8 bytes little-endian); fabric-chaincode-go shim/stub.go."""
        return hashlib.sha256(self.nonce + self.creator + self.epoch.to_bytes(8, "little")).digest()


def invocation_from_proposal(
    signed_proposal: bytes, *, arguments: Sequence[bytes], channel: str, transaction_id: str, is_init: bool = False
) -> Invocation:
    """Complete a call with what its signed proposal says about the caller. Nothing is verified.

    Arguments and channel are given apart, since they differ from the proposal's when another chaincode is the caller.
    Raises: MalformedInput.
    """
    if not signed_proposal:
        return Invocation(tuple(arguments), channel, transaction_id, is_init=is_init)
    proposal = parse_signed_proposal(signed_proposal)
    return Invocation(
        arguments=tuple(arguments),
        channel=channel,
        transaction_id=transaction_id,
        creator=proposal.creator,
        nonce=proposal.nonce,
        epoch=proposal.epoch,
        timestamp_seconds=proposal.timestamp_seconds,
        timestamp_nanos=proposal.timestamp_nanos,
        transient=proposal.transient,
        signed_proposal=signed_proposal,
        is_init=is_init,
    )
