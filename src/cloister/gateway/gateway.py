"""The connection: an identity at one peer's Gateway service.

async with connect(endpoint, identity, signer) as gateway:
    contract = gateway.network("mychannel").contract("basic")
    await contract.submit_transaction("put", "key", "value")
    value = await contract.evaluate_transaction("get", "key")
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self, TypeVar

from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2

from cloister.fabric.decoding import decode_message
from cloister.fabric.proposal import encode_signed_proposal, parse_signed_proposal
from cloister.fabric.transaction import parse_endorsed_transaction

from .commit import Commit
from .connection import Endpoint, open_channel, tls_certificate_hash
from .event_requests import (
    EventsRequest,
    Listen,
    listen_blocks,
    listen_blocks_and_private_data,
    listen_chaincode_events,
    listen_filtered_blocks,
)
from .events import BlockEvent, ChaincodeEvent, FilteredBlockEvent, PrivateDataBlockEvent
from .identity import Identity, Signer
from .network import Network
from .nonce import new_nonce
from .proposal import Proposal
from .session import Deadlines, Session
from .transaction import Transaction

_Event = TypeVar("_Event")


class Gateway:
    """Acts for one identity through one peer. Use it as an asynchronous context manager."""

    def __init__(self, session: Session, *, owns_channel: bool) -> None:
        self._session = session
        self._owns_channel = owns_channel

    @property
    def identity(self) -> Identity:
        """The identity that this connection acts for."""
        return self._session.identity

    @property
    def session(self) -> Session:
        """Channel, identity, signer and deadlines, for packages that build on this one."""
        return self._session

    def network(self, name: str) -> Network:
        """A channel by its name; whether it exists is found out by the first call."""
        return Network(self, self._session, name)

    def get_network(self, name: str) -> Network:
        """The same as `network`, by the name that the other clients have."""
        return self.network(name)

    def new_nonce(self) -> bytes:
        """A fresh nonce, for a proposal whose transaction id must be known beforehand."""
        return new_nonce()

    def new_signed_proposal(
        self, encoded: bytes, signature: bytes, *, endorsing_organizations: tuple[str, ...] = ()
    ) -> Proposal:
        """A proposal signed elsewhere, from `Proposal.bytes`. Raises: MalformedInput."""
        parsed = parse_signed_proposal(encode_signed_proposal(encoded, signature))
        return Proposal(
            self._session,
            encoded=encoded,
            proposal_hash=parsed.proposal_hash,
            transaction_id=parsed.transaction_id,
            channel=parsed.channel,
            organizations=endorsing_organizations,
            signature=signature,
        )

    def new_signed_transaction(self, prepared_transaction: bytes, signature: bytes) -> Transaction:
        """An endorsed transaction signed elsewhere, from `Transaction.prepared_transaction`. Raises: MalformedInput."""
        parsed = parse_endorsed_transaction(prepared_transaction)
        return Transaction(
            self._session,
            prepared=prepared_transaction,
            transaction_id=parsed.transaction_id,
            channel=parsed.channel,
            signature=signature,
        )

    def new_signed_commit(self, request: bytes, signature: bytes) -> Commit:
        """A commit status request signed elsewhere, from `Commit.bytes`. Raises: MalformedInput."""
        parsed = decode_message(gateway_pb2.CommitStatusRequest(), request, "commit status request")
        return Commit(
            self._session,
            request=request,
            transaction_id=parsed.transaction_id,
            channel=parsed.channel_id,
            signature=signature,
        )

    def new_signed_chaincode_events_request(self, message: bytes, signature: bytes) -> EventsRequest[ChaincodeEvent]:
        """A request signed elsewhere, from `EventsRequest.bytes`. Raises: MalformedInput."""
        decode_message(gateway_pb2.ChaincodeEventsRequest(), message, "chaincode events request")
        return EventsRequest(self._session, listen_chaincode_events, message=message, signature=signature)

    def new_signed_block_events_request(self, message: bytes, signature: bytes) -> EventsRequest[BlockEvent]:
        """A request signed elsewhere, from `EventsRequest.bytes`. Raises: MalformedInput."""
        return self._signed_deliver(listen_blocks, message, signature)

    def new_signed_filtered_block_events_request(
        self, message: bytes, signature: bytes
    ) -> EventsRequest[FilteredBlockEvent]:
        """A request signed elsewhere, from `EventsRequest.bytes`. Raises: MalformedInput."""
        return self._signed_deliver(listen_filtered_blocks, message, signature)

    def new_signed_block_and_private_data_events_request(
        self, message: bytes, signature: bytes
    ) -> EventsRequest[PrivateDataBlockEvent]:
        """A request signed elsewhere, from `EventsRequest.bytes`. Raises: MalformedInput."""
        return self._signed_deliver(listen_blocks_and_private_data, message, signature)

    def _signed_deliver(self, listen: Listen[_Event], message: bytes, signature: bytes) -> EventsRequest[_Event]:
        decode_message(common_pb2.Payload(), message, "block events request")
        return EventsRequest(self._session, listen, message=message, signature=signature)

    async def close(self) -> None:
        """Close the channel if this connection opened it."""
        if self._owns_channel:
            await self._session.channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def connect(
    peer: Endpoint | Any,
    identity: Identity,
    signer: Signer | None = None,
    *,
    deadlines: Deadlines | None = None,
    allow_plaintext: bool = False,
    tls_client_certificate_hash: bytes = b"",
) -> Gateway:
    """Connect as an identity.

    `peer` is an `Endpoint` (the channel is opened here and closed with the gateway) or a `grpc.aio` channel that stays
    the caller's. Without a signer everything must be signed elsewhere.
    `tls_client_certificate_hash` (SHA-256 of its DER): block events need it on a channel of the caller's own that uses
    mutual TLS. An `Endpoint` tells it by itself.
    Raises: UsageError for an endpoint without TLS, unless `allow_plaintext`; MalformedInput for a client's TLS
    certificate that is none.
    """
    channel, address, tls_hash = peer, "the peer", tls_client_certificate_hash
    if isinstance(peer, Endpoint):
        address, tls_hash = peer.address, tls_certificate_hash(peer)
        channel = open_channel(peer, allow_plaintext=allow_plaintext)
    session = Session(channel, address, identity, signer, deadlines or Deadlines(), tls_hash)
    return Gateway(session, owns_channel=isinstance(peer, Endpoint))
