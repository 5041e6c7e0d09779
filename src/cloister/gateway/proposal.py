"""A proposal: evaluate it, or have it endorsed."""

from __future__ import annotations

from collections.abc import Sequence

from fabric_protos.gateway import gateway_pb2
from fabric_protos.peer import proposal_pb2

from cloister.errors import MalformedInput
from cloister.fabric.transaction import EndorsedTransaction, parse_endorsed_transaction

from .errors import EndorseError, EvaluateError
from .session import Session, digest_of
from .transaction import Transaction

Bytes = bytes
"""The type, under a name that the property `bytes` does not hide."""


class Proposal:
    """A proposal for one transaction. For offline signing: `bytes`, `digest`, then `Gateway.new_signed_proposal`."""

    def __init__(
        self,
        session: Session,
        *,
        encoded: Bytes,
        proposal_hash: Bytes,
        transaction_id: str,
        channel: str,
        organizations: Sequence[str] = (),
        signature: Bytes | None = None,
    ) -> None:
        self._session = session
        self._encoded = encoded
        self._proposal_hash = proposal_hash
        self._transaction_id = transaction_id
        self._channel = channel
        self._organizations = tuple(organizations)
        self._signature = signature

    @property
    def bytes(self) -> Bytes:
        """The serialised `protos.Proposal`."""
        return self._encoded

    @property
    def digest(self) -> Bytes:
        """SHA-256 of `bytes`: what is to be signed."""
        return digest_of(self._encoded)

    @property
    def proposal_hash(self) -> Bytes:
        """32 bytes: what endorsers sign in its place. Covers headers, chaincode and arguments, not transient data."""
        return self._proposal_hash

    @property
    def transaction_id(self) -> str:
        """64 hex characters."""
        return self._transaction_id

    @property
    def channel_name(self) -> str:
        """The channel it is for."""
        return self._channel

    async def evaluate(self) -> Bytes:
        """Ask one peer; nothing is committed. Returns the chaincode's payload. Raises: EvaluateError."""
        request = gateway_pb2.EvaluateRequest(
            transaction_id=self._transaction_id,
            channel_id=self._channel,
            proposed_transaction=await self._signed(),
            target_organizations=self._organizations,
        )
        answer = await self._session.call(
            "Evaluate",
            request.SerializeToString(),
            gateway_pb2.EvaluateResponse(),
            deadline_s=self._session.deadlines.evaluate_s,
            error=EvaluateError,
            transaction_id=self._transaction_id,
        )
        payload: Bytes = answer.result.payload
        return payload

    async def endorse(self) -> Transaction:
        """Have enough peers endorse it for the endorsement policy. Raises: EndorseError."""
        request = gateway_pb2.EndorseRequest(
            transaction_id=self._transaction_id,
            channel_id=self._channel,
            proposed_transaction=await self._signed(),
            endorsing_organizations=self._organizations,
        )
        answer = await self._session.call(
            "Endorse",
            request.SerializeToString(),
            gateway_pb2.EndorseResponse(),
            deadline_s=self._session.deadlines.endorse_s,
            error=EndorseError,
            transaction_id=self._transaction_id,
        )
        prepared = answer.prepared_transaction.SerializeToString()
        return Transaction(
            self._session,
            prepared=prepared,
            transaction_id=self._transaction_id,
            channel=self._channel,
            endorsed=self._own(prepared),
        )

    def _own(self, prepared: Bytes) -> EndorsedTransaction:
        """The client is about to sign what this peer gave: it must be an endorsement of this proposal.

        Its hash is also what peers compare with the transaction before they commit it.
        """
        try:
            endorsed = parse_endorsed_transaction(prepared)
        except MalformedInput as failure:
            raise self._not_own("something that is no endorsed transaction") from failure
        if endorsed.action.proposal_hash != self._proposal_hash:
            raise self._not_own("the endorsement of another proposal")
        return endorsed

    def _not_own(self, what: str) -> EndorseError:
        return EndorseError(
            f"{self._session.endpoint} answered with {what}",
            transaction_id=self._transaction_id,
            hint="nothing was signed; this peer is not to be trusted",
        )

    async def _signed(self) -> proposal_pb2.SignedProposal:
        signature = self._signature or await self._session.sign(self._encoded)
        return proposal_pb2.SignedProposal(proposal_bytes=self._encoded, signature=signature)
