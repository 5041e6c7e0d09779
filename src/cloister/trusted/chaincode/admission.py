"""Who asks, and is the proposal about this enclave? The first thing that happens to anything a host hands in.

Trust level: trusted, pure. The peer has made these checks too; nothing here relies on that.
Steps: 1 well-formed · 2 header type and epoch · 3 channel and chaincode, named three times · 4 nonce length and
canonical creator · 5 transaction id · 6 creator's signature · 7 input shape. Source of the peer's own list: Fabric
2.5.9 core/endorser/msgvalidation.go. Whether the creator is a valid member is the ledger view's answer, asked next.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from cloister.errors import Refused
from cloister.fabric.identity import decode_serialized_identity, signing_key, verify_under
from cloister.fabric.pem import is_plain_certificate
from cloister.fabric.proposal import NONCE_BYTES, ParsedProposal, compute_transaction_id, parse_signed_proposal

_ENDORSER_TRANSACTION = 3
MAX_CREATORS = 1024
"""Creators whose public keys are remembered."""


@dataclass(frozen=True, slots=True)
class AdmittedProposal:
    """A proposal whose creator really signed it, for this channel and chaincode. `sealed_request` is its argument."""

    proposal: ParsedProposal
    sealed_request: bytes

    @property
    def creator_hash(self) -> bytes:
        """SHA-256 of the serialised creator."""
        return hashlib.sha256(self.proposal.creator).digest()


class Creators:
    """Public keys of creators in canonical encoding: a cache of what their bytes say, at most MAX_CREATORS."""

    def __init__(self) -> None:
        self._keys: OrderedDict[bytes, ec.EllipticCurvePublicKey] = OrderedDict()

    def __len__(self) -> int:
        return len(self._keys)

    def key(self, creator: bytes) -> ec.EllipticCurvePublicKey:
        """Raises: Refused(reason="proposal", "signature"); MalformedInput."""
        known = self._keys.get(creator)
        if known is None:
            identity = decode_serialized_identity(creator)
            if identity.encode() != creator:
                raise Refused("proposal refused: creator not in canonical encoding", reason="proposal")
            if not is_plain_certificate(identity.id_bytes):  # else others may read another certificate in it
                raise Refused("proposal refused: creator is not one certificate in PEM", reason="proposal")
            known = self._keys[creator] = signing_key(identity.certificate())
            if len(self._keys) > MAX_CREATORS:
                self._keys.popitem(last=False)
        return known


def admit(
    signed_proposal: bytes, *, channel: str, chaincode: str, creators: Creators | None = None
) -> AdmittedProposal:
    """Check a serialised `protos.SignedProposal` by the steps above. `creators`: kept from one call to the next.

    Raises: Refused(reason="proposal", "channel", "chaincode", "transaction-id", "signature"); MalformedInput.
    """
    proposal = parse_signed_proposal(signed_proposal)  # 1
    if proposal.header_type != _ENDORSER_TRANSACTION or proposal.epoch != 0:  # 2
        raise Refused("proposal refused: not an endorser transaction of epoch 0", reason="proposal")
    if proposal.channel != channel:  # 3
        raise Refused("proposal refused: it is for another channel", reason="channel")
    if proposal.extension_chaincode != chaincode or proposal.spec_chaincode != chaincode:
        # Also what a call from another chaincode looks like: the proposal names the caller, not us.
        raise Refused("proposal refused: it is for another chaincode", reason="chaincode")
    if len(proposal.nonce) != NONCE_BYTES:  # 4
        raise Refused("proposal refused: nonce of another length", reason="proposal")
    key = (creators if creators is not None else Creators()).key(proposal.creator)
    if compute_transaction_id(proposal.nonce, proposal.creator) != proposal.transaction_id:  # 5
        raise Refused("proposal refused: wrong transaction id", reason="transaction-id")
    verify_under(key, proposal.signed_bytes, proposal.signature)  # 6
    if proposal.is_init or proposal.has_decorations or proposal.transient or len(proposal.arguments) != 1:  # 7
        raise Refused("proposal refused: expected one sealed argument and nothing beside it", reason="proposal")
    return AdmittedProposal(proposal, proposal.arguments[0])
