"""Requests for events, from any block on, resumed exactly where a checkpoint says; signed here or elsewhere.

Sources: Fabric 2.5.9 internal/pkg/gateway (ChaincodeEvents: events of valid transactions only), core/peer deliver
services. A broken stream raises EventsError; ask again with the same checkpointer to go on.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Generic, TypeVar

from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2
from fabric_protos.orderer import ab_pb2
from fabric_protos.peer import events_pb2

from cloister.errors import MalformedInput, UsageError
from cloister.fabric.block import Block, parse_block

from .checkpoint import Checkpointer, Position
from .errors import EventsError
from .events import BlockEvent, ChaincodeEvent, FilteredBlockEvent, FilteredTransaction, PrivateDataBlockEvent
from .nonce import new_nonce
from .rpc import call_deliver, call_stream, decode_answer
from .session import Session, digest_of, now_ns

_LAST_BLOCK = 2**64 - 1
_HINTS = {
    common_pb2.BAD_REQUEST: "is this machine's clock right? with mutual TLS over a channel of your own: connect with "
    "tls_client_certificate_hash"
}
_Event = TypeVar("_Event")
Bytes = bytes
"""The type, under a name that the property `bytes` does not hide."""
Listen = Callable[[Session, Bytes, Bytes], AsyncGenerator[_Event, None]]
"""Opens a stream with a message and its signature."""


class EventsRequest(Generic[_Event]):
    """A request for events. For offline signing: `bytes`, `digest`, then `Gateway.new_signed_…_events_request`."""

    def __init__(
        self, session: Session, listen: Listen[_Event], *, message: Bytes, signature: Bytes | None = None
    ) -> None:
        self._session = session
        self._listen = listen
        self._message = message
        self._signature = signature

    @property
    def bytes(self) -> Bytes:
        """What is signed: a `gateway.ChaincodeEventsRequest`, or the `common.Payload` of a Deliver request."""
        return self._message

    @property
    def digest(self) -> Bytes:
        """SHA-256 of `bytes`."""
        return digest_of(self._message)

    async def events(self) -> AsyncGenerator[_Event, None]:
        """The events, without end. Use it with `contextlib.aclosing`. Raises, while iterating: EventsError."""
        signature = self._signature or await self._session.sign(self._message)
        async with aclosing(self._listen(self._session, self._message, signature)) as events:
            async for event in events:
                yield event


# --- messages ---------------------------------------------------------------------------------------------------------


def starting_position(
    start_block: int | None, checkpoint: Checkpointer | None, after_transaction_id: str = ""
) -> Position:
    """Where the checkpoint is, else at `start_block` after that transaction, else from now on. Raises: UsageError."""
    if after_transaction_id and start_block is None:
        raise UsageError("after_transaction_id: expected start_block with it, the block that holds the transaction")
    if start_block is not None and not 0 <= start_block <= _LAST_BLOCK:
        raise UsageError(f"start_block: expected a block number from 0 on, got {start_block}")
    if checkpoint is not None and checkpoint.position.block_number is not None:
        return checkpoint.position
    return Position(start_block, after_transaction_id)


def chaincode_events_message(session: Session, *, channel: str, chaincode: str, position: Position) -> bytes:
    """A `gateway.ChaincodeEventsRequest`; a position without block: from now on."""
    request = gateway_pb2.ChaincodeEventsRequest(
        channel_id=channel,
        chaincode_id=chaincode,
        identity=session.identity.creator,
        start_position=_seek(position),
        after_transaction_id=position.transaction_id,
    )
    encoded: bytes = request.SerializeToString()
    return encoded


def block_events_message(session: Session, *, channel: str, position: Position) -> bytes:
    """A `common.Payload` with SeekInfo: without end, waiting for new blocks."""
    header = common_pb2.ChannelHeader(
        type=common_pb2.DELIVER_SEEK_INFO, channel_id=channel, tls_cert_hash=session.tls_certificate_hash
    )
    header.timestamp.seconds, header.timestamp.nanos = divmod(now_ns(), 1_000_000_000)
    signature_header = common_pb2.SignatureHeader(creator=session.identity.creator, nonce=new_nonce())
    seek = ab_pb2.SeekInfo(
        start=_seek(position),
        stop=ab_pb2.SeekPosition(specified=ab_pb2.SeekSpecified(number=_LAST_BLOCK)),
        behavior=ab_pb2.SeekInfo.BLOCK_UNTIL_READY,
    )
    payload = common_pb2.Payload(
        header=common_pb2.Header(
            channel_header=header.SerializeToString(), signature_header=signature_header.SerializeToString()
        ),
        data=seek.SerializeToString(),
    )
    encoded: bytes = payload.SerializeToString()
    return encoded


def _seek(position: Position) -> ab_pb2.SeekPosition:
    if position.block_number is None:
        return ab_pb2.SeekPosition(next_commit=ab_pb2.SeekNextCommit())
    return ab_pb2.SeekPosition(specified=ab_pb2.SeekSpecified(number=position.block_number))


# --- streams ----------------------------------------------------------------------------------------------------------


async def listen_chaincode_events(
    session: Session, message: bytes, signature: bytes
) -> AsyncGenerator[ChaincodeEvent, None]:
    """Events of one chaincode's valid transactions."""
    signed = gateway_pb2.SignedChaincodeEventsRequest(request=message, signature=signature)
    stream = call_stream(
        session.channel,
        "/gateway.Gateway/ChaincodeEvents",
        signed.SerializeToString(),
        error=EventsError,
        endpoint=session.endpoint,
    )
    async with aclosing(stream) as answers:
        async for answer in answers:
            response = decode_answer(
                gateway_pb2.ChaincodeEventsResponse(), answer, error=EventsError, endpoint=session.endpoint
            )
            for event in response.events:
                yield ChaincodeEvent(
                    block_number=response.block_number,
                    transaction_id=event.tx_id,
                    chaincode_name=event.chaincode_id,
                    event_name=event.event_name,
                    payload=event.payload,
                )


async def listen_blocks(session: Session, message: bytes, signature: bytes) -> AsyncGenerator[BlockEvent, None]:
    """Whole blocks."""
    async with aclosing(_deliver(session, "Deliver", message, signature)) as answers:
        async for answer in answers:
            encoded = answer.block.SerializeToString()
            yield BlockEvent(_block(session, encoded), encoded)


async def listen_filtered_blocks(
    session: Session, message: bytes, signature: bytes
) -> AsyncGenerator[FilteredBlockEvent, None]:
    """Blocks without contents."""
    async with aclosing(_deliver(session, "DeliverFiltered", message, signature)) as answers:
        async for answer in answers:
            block = answer.filtered_block
            transactions = tuple(
                FilteredTransaction(item.txid, item.type, item.tx_validation_code)
                for item in block.filtered_transactions
            )
            yield FilteredBlockEvent(block.channel_id, block.number, transactions)


async def listen_blocks_and_private_data(
    session: Session, message: bytes, signature: bytes
) -> AsyncGenerator[PrivateDataBlockEvent, None]:
    """Blocks with private data."""
    async with aclosing(_deliver(session, "DeliverWithPrivateData", message, signature)) as answers:
        async for answer in answers:
            both = answer.block_and_private_data
            encoded = both.block.SerializeToString()
            private = {index: item.SerializeToString() for index, item in both.private_data_map.items()}
            yield PrivateDataBlockEvent(_block(session, encoded), encoded, private)


async def _deliver(
    session: Session, method: str, payload: bytes, signature: bytes
) -> AsyncGenerator[events_pb2.DeliverResponse, None]:
    request = common_pb2.Envelope(payload=payload, signature=signature).SerializeToString()
    stream = call_deliver(
        session.channel, f"/protos.Deliver/{method}", request, error=EventsError, endpoint=session.endpoint
    )
    async with aclosing(stream) as answers:
        async for encoded in answers:
            answer = decode_answer(events_pb2.DeliverResponse(), encoded, error=EventsError, endpoint=session.endpoint)
            if answer.WhichOneof("Type") == "status":
                raise _stopped(session, answer.status)
            yield answer


def _stopped(session: Session, status: int) -> EventsError:
    names = common_pb2.Status
    name = names.Name(status) if status in names.values() else str(status)
    hint = _HINTS.get(status, "may this identity read the channel, and is the channel's name right?")
    return EventsError(f"{session.endpoint} ended the stream: {name}", code=name, hint=hint)


def _block(session: Session, encoded: bytes) -> Block:
    try:
        return parse_block(encoded)
    except MalformedInput as error:
        raise EventsError(f"{session.endpoint} sent something that is no block: {error.message}") from error
