"""An endorsed transaction: look at it, then hand it to the orderer."""

from __future__ import annotations

from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2

from cloister.fabric.transaction import EndorsedTransaction, parse_endorsed_transaction

from .commit import Commit, encode_status_request
from .errors import SubmitError
from .session import Session, digest_of

Bytes = bytes
"""The type, under a name that the property `bytes` does not hide."""


class Transaction:
    """An endorsed transaction, not signed by the client yet."""

    def __init__(
        self,
        session: Session,
        *,
        prepared: Bytes,
        transaction_id: str,
        channel: str,
        signature: Bytes | None = None,
        endorsed: EndorsedTransaction | None = None,
    ) -> None:
        self._session = session
        self._prepared = prepared
        self._endorsed = endorsed
        self._payload: Bytes = common_pb2.Envelope.FromString(prepared).payload
        self._transaction_id = transaction_id
        self._channel = channel
        self._signature = signature

    @property
    def prepared_transaction(self) -> Bytes:
        """The serialised `common.Envelope` as endorsed, unsigned."""
        return self._prepared

    @property
    def bytes(self) -> Bytes:
        """The envelope's payload: what the client signs."""
        return self._payload

    @property
    def digest(self) -> Bytes:
        """SHA-256 of `bytes`."""
        return digest_of(self._payload)

    @property
    def transaction_id(self) -> str:
        """64 hex characters."""
        return self._transaction_id

    @property
    def channel_name(self) -> str:
        """The channel it is for."""
        return self._channel

    @property
    def endorsed(self) -> EndorsedTransaction:
        """The content: response, event, read/write sets, endorsements. Raises: MalformedInput."""
        if self._endorsed is None:
            self._endorsed = parse_endorsed_transaction(self._prepared)
        return self._endorsed

    @property
    def result(self) -> Bytes:
        """The chaincode's payload, as the endorsers signed it."""
        return self.endorsed.action.payload

    async def submit(self) -> Commit:
        """Hand it to the orderer; does not wait for the commit. Raises: SubmitError."""
        signature = self._signature or await self._session.sign(self._payload)
        request = gateway_pb2.SubmitRequest(
            transaction_id=self._transaction_id,
            channel_id=self._channel,
            prepared_transaction=common_pb2.Envelope(payload=self._payload, signature=signature),
        )
        await self._session.call(
            "Submit",
            request.SerializeToString(),
            gateway_pb2.SubmitResponse(),
            deadline_s=self._session.deadlines.submit_s,
            error=SubmitError,
            transaction_id=self._transaction_id,
        )
        request_bytes = encode_status_request(self._transaction_id, self._channel, self._session.identity.creator)
        return Commit(self._session, request=request_bytes, transaction_id=self._transaction_id, channel=self._channel)
