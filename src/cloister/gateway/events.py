"""Chaincode events and block events, from any block on, resumed exactly where a checkpoint says.

Sources: Fabric 2.5.9 internal/pkg/gateway (ChaincodeEvents: events of valid transactions only), core/peer deliver
services. The streams come from one peer and are that peer's word. A broken stream raises EventsError; call again with
the same checkpointer to go on.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2
from fabric_protos.orderer import ab_pb2
from fabric_protos.peer import events_pb2

from cloister.fabric.block import Block, parse_block

from .checkpoint import Checkpointer, Position
from .errors import EventsError
from .nonce import new_nonce
from .rpc import call_deliver, call_stream
from .session import Session, now_ns

_LAST_BLOCK = 2**64 - 1


@dataclass(frozen=True, slots=True)
class ChaincodeEvent:
    """An event that a valid transaction's chaincode set."""

    block_number: int
    transaction_id: str
    chaincode_name: str
    event_name: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class BlockEvent:
    """A block; `encoded` is the serialised `common.Block` as the peer sent it."""

    block: Block
    encoded: bytes

    @property
    def block_number(self) -> int:
        """The block's number."""
        return self.block.number


@dataclass(frozen=True, slots=True)
class FilteredTransaction:
    """One transaction of a filtered block. `code` is Fabric's TxValidationCode."""

    transaction_id: str
    header_type: int
    code: int


@dataclass(frozen=True, slots=True)
class FilteredBlockEvent:
    """A block without contents: which transactions it holds and whether they are valid."""

    channel: str
    block_number: int
    transactions: tuple[FilteredTransaction, ...]


@dataclass(frozen=True, slots=True)
class PrivateDataBlockEvent:
    """A block with the private data that this peer's organisation may see: transaction index → serialised
    `rwset.TxPvtReadWriteSet`."""

    block: Block
    encoded: bytes
    private_data: dict[int, bytes]

    @property
    def block_number(self) -> int:
        """The block's number."""
        return self.block.number


async def chaincode_events(
    session: Session, *, channel: str, chaincode: str, start_block: int | None, checkpoint: Checkpointer | None
) -> AsyncGenerator[ChaincodeEvent, None]:
    """Events of one chaincode, from the checkpoint, else from `start_block`, else from now on. Raises: EventsError."""
    position = checkpoint.position if checkpoint else Position()
    request = gateway_pb2.ChaincodeEventsRequest(
        channel_id=channel,
        chaincode_id=chaincode,
        identity=session.identity.creator,
        start_position=_seek(position, start_block),
        after_transaction_id=position.transaction_id,
    ).SerializeToString()
    signed = gateway_pb2.SignedChaincodeEventsRequest(request=request, signature=await session.sign(request))
    stream = call_stream(
        session.channel,
        "/gateway.Gateway/ChaincodeEvents",
        signed.SerializeToString(),
        error=EventsError,
        endpoint=session.endpoint,
    )
    async with aclosing(stream) as answers:
        async for answer in answers:
            response = gateway_pb2.ChaincodeEventsResponse.FromString(answer)
            for event in response.events:
                yield ChaincodeEvent(
                    block_number=response.block_number,
                    transaction_id=event.tx_id,
                    chaincode_name=event.chaincode_id,
                    event_name=event.event_name,
                    payload=event.payload,
                )


async def block_events(
    session: Session, *, channel: str, start_block: int | None, checkpoint: Checkpointer | None
) -> AsyncGenerator[BlockEvent, None]:
    """Whole blocks. Raises: EventsError."""
    async with aclosing(_deliver(session, "Deliver", channel, start_block, checkpoint)) as answers:
        async for answer in answers:
            encoded = answer.block.SerializeToString()
            yield BlockEvent(parse_block(encoded), encoded)


async def filtered_block_events(
    session: Session, *, channel: str, start_block: int | None, checkpoint: Checkpointer | None
) -> AsyncGenerator[FilteredBlockEvent, None]:
    """Blocks without contents. Raises: EventsError."""
    async with aclosing(_deliver(session, "DeliverFiltered", channel, start_block, checkpoint)) as answers:
        async for answer in answers:
            block = answer.filtered_block
            transactions = tuple(
                FilteredTransaction(item.txid, item.type, item.tx_validation_code)
                for item in block.filtered_transactions
            )
            yield FilteredBlockEvent(block.channel_id, block.number, transactions)


async def block_and_private_data_events(
    session: Session, *, channel: str, start_block: int | None, checkpoint: Checkpointer | None
) -> AsyncGenerator[PrivateDataBlockEvent, None]:
    """Blocks with private data. Raises: EventsError."""
    async with aclosing(_deliver(session, "DeliverWithPrivateData", channel, start_block, checkpoint)) as answers:
        async for answer in answers:
            both = answer.block_and_private_data
            encoded = both.block.SerializeToString()
            private = {index: item.SerializeToString() for index, item in both.private_data_map.items()}
            yield PrivateDataBlockEvent(parse_block(encoded), encoded, private)


async def _deliver(
    session: Session, method: str, channel: str, start_block: int | None, checkpoint: Checkpointer | None
) -> AsyncGenerator[events_pb2.DeliverResponse, None]:
    position = checkpoint.position if checkpoint else Position()
    request = await _seek_envelope(session, channel, _seek(position, start_block))
    stream = call_deliver(
        session.channel, f"/protos.Deliver/{method}", request, error=EventsError, endpoint=session.endpoint
    )
    async with aclosing(stream) as answers:
        async for encoded in answers:
            answer = events_pb2.DeliverResponse.FromString(encoded)
            if answer.WhichOneof("Type") == "status":
                name = common_pb2.Status.Name(answer.status)
                hint = "may this identity read the channel, and is the channel's name right?"
                raise EventsError(f"{session.endpoint} ended the stream: {name}", code=name, hint=hint)
            yield answer


async def _seek_envelope(session: Session, channel: str, start: ab_pb2.SeekPosition) -> bytes:
    """A signed `common.Envelope` with SeekInfo: from `start` without end, waiting for new blocks."""
    header = common_pb2.ChannelHeader(type=common_pb2.DELIVER_SEEK_INFO, channel_id=channel)
    header.timestamp.seconds, header.timestamp.nanos = divmod(now_ns(), 1_000_000_000)
    signature_header = common_pb2.SignatureHeader(creator=session.identity.creator, nonce=new_nonce())
    stop = ab_pb2.SeekPosition(specified=ab_pb2.SeekSpecified(number=_LAST_BLOCK))
    seek = ab_pb2.SeekInfo(start=start, stop=stop, behavior=ab_pb2.SeekInfo.BLOCK_UNTIL_READY)
    payload = common_pb2.Payload(
        header=common_pb2.Header(
            channel_header=header.SerializeToString(), signature_header=signature_header.SerializeToString()
        ),
        data=seek.SerializeToString(),
    ).SerializeToString()
    envelope = common_pb2.Envelope(payload=payload, signature=await session.sign(payload))
    encoded: bytes = envelope.SerializeToString()
    return encoded


def _seek(position: Position, start_block: int | None) -> ab_pb2.SeekPosition:
    number = position.block_number if position.block_number is not None else start_block
    if number is None:
        return ab_pb2.SeekPosition(next_commit=ab_pb2.SeekNextCommit())
    return ab_pb2.SeekPosition(specified=ab_pb2.SeekSpecified(number=number))
