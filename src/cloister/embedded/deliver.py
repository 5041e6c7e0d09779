"""Deliver: blocks to whoever may read them, from the orderer and from peers, whole, filtered or with private data.

Source: Fabric 2.5.9 common/deliver/deliver.go, core/peer/deliverevents.go.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.orderer import ab_pb2
from fabric_protos.peer import chaincode_event_pb2, events_pb2

from cloister.errors import MalformedInput
from cloister.fabric.block import parse_block
from cloister.fabric.decoding import decode_message
from cloister.trusted.ledger.policies import SignedItem
from cloister.trusted.ledger.transaction import parse_transaction

from .access import AccessDenied, check_policy
from .ledger import Ledger, without_verdicts

TIME_WINDOW_S = 900
_FILTER = 2
_SUCCESS, _BAD_REQUEST, _FORBIDDEN, _NOT_FOUND = (
    common_pb2.SUCCESS,
    common_pb2.BAD_REQUEST,
    common_pb2.FORBIDDEN,
    common_pb2.NOT_FOUND,
)
MakeAnswer = Callable[[bytes], Any]
"""The answer that carries a block (serialised, with verdicts)."""


@dataclass(frozen=True)
class Delivery:
    """One kind of Deliver: who may read, what an answer looks like."""

    ledger: Ledger
    policy: str
    resource: str
    answer: MakeAnswer
    status: Callable[[int], Any]

    async def serve(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Answers to a stream of signed seek requests (`common.Envelope`); ends after the first that fails."""
        async for envelope in requests:
            status = _SUCCESS
            try:
                seek, items = self._parse(envelope)
                async for block in self._blocks(seek, items):
                    yield self.answer(block)
            except _Stopped as stopped:
                status = stopped.status
            yield self.status(status)
            if status != _SUCCESS:
                return

    def _parse(self, envelope: Any) -> tuple[Any, list[SignedItem]]:
        try:
            payload = decode_message(common_pb2.Payload(), envelope.payload, "payload")
            header = decode_message(common_pb2.ChannelHeader(), payload.header.channel_header, "channel header")
            signed = decode_message(common_pb2.SignatureHeader(), payload.header.signature_header, "signature header")
            seek = decode_message(ab_pb2.SeekInfo(), payload.data, "seek info")
        except MalformedInput as error:
            raise _Stopped(_BAD_REQUEST) from error
        if abs(time.time() - header.timestamp.seconds) > TIME_WINDOW_S:
            raise _Stopped(_BAD_REQUEST)
        if header.channel_id != self.ledger.channel:
            raise _Stopped(_NOT_FOUND)
        return seek, [SignedItem(signed.creator, envelope.payload, envelope.signature)]

    async def _blocks(self, seek: Any, items: list[SignedItem]) -> AsyncIterator[bytes]:
        self._check(items)
        if not seek.HasField("start") or not seek.HasField("stop"):
            raise _Stopped(_BAD_REQUEST)
        number = self._position(seek.start)
        last = number if seek.start == seek.stop else self._position(seek.stop)
        if last < number and seek.stop.HasField("specified"):
            raise _Stopped(_BAD_REQUEST)
        while True:
            if number >= self.ledger.height and seek.behavior == ab_pb2.SeekInfo.FAIL_IF_NOT_READY:
                raise _Stopped(_NOT_FOUND)
            block = await self.ledger.wait_for_block(number)
            self._check(items)  # the configuration may have changed meanwhile
            yield block
            if number == last:
                return
            number += 1

    def _position(self, position: Any) -> int:
        kind = position.WhichOneof("Type")
        if kind == "specified":
            return int(position.specified.number)
        if kind == "oldest":
            return 0
        if kind == "newest":
            return self.ledger.height - 1
        if kind == "next_commit":
            return self.ledger.height
        raise _Stopped(_BAD_REQUEST)

    def _check(self, items: list[SignedItem]) -> None:
        try:
            check_policy(self.ledger, self.policy, items, resource=self.resource)
        except AccessDenied as denied:
            raise _Stopped(_FORBIDDEN) from denied


class _Stopped(Exception):
    """The stream ends with this `common.Status`."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def orderer_delivery(ledger: Ledger) -> Delivery:
    """The orderer's Deliver: blocks without verdicts."""

    def answer(block: bytes) -> Any:
        return ab_pb2.DeliverResponse(block=common_pb2.Block.FromString(without_verdicts(block)))

    return Delivery(ledger, "/Channel/Readers", "", answer, lambda status: ab_pb2.DeliverResponse(status=status))


def peer_deliveries(ledger: Ledger, msp_id: str) -> dict[str, Delivery]:
    """A peer's Deliver services, by method."""

    def whole(block: bytes) -> Any:
        return events_pb2.DeliverResponse(block=common_pb2.Block.FromString(block))

    def filtered(block: bytes) -> Any:
        return events_pb2.DeliverResponse(filtered_block=filter_block(ledger.channel, block))

    def private(block: bytes) -> Any:
        number = parse_block(block).number
        both = events_pb2.BlockAndPrivateData(block=common_pb2.Block.FromString(block))
        for position, data in ledger.private_data(number, msp_id).items():
            both.private_data_map[position].CopyFrom(data)
        return events_pb2.DeliverResponse(block_and_private_data=both)

    kinds = {
        "Deliver": (whole, "event/Block"),
        "DeliverFiltered": (filtered, "event/FilteredBlock"),
        "DeliverWithPrivateData": (private, "event/Block"),
    }
    return {
        method: Delivery(
            ledger,
            "/Channel/Application/Readers",
            resource,
            answer,
            lambda status: events_pb2.DeliverResponse(status=status),
        )
        for method, (answer, resource) in kinds.items()
    }


def filter_block(channel: str, encoded: bytes) -> Any:
    """A block's `FilteredBlock`: ids, verdicts, and events without payload."""
    block = parse_block(encoded)
    found = events_pb2.FilteredBlock(channel_id=channel, number=block.number)
    for index, data in enumerate(block.transactions):
        item = parse_transaction(data, index)
        filtered = found.filtered_transactions.add(
            txid=item.transaction_id, type=max(item.header_type, 0), tx_validation_code=block.metadata[_FILTER][index]
        )
        if item.header_type == common_pb2.ENDORSER_TRANSACTION:
            actions = filtered.transaction_actions
            actions.SetInParent()
            if item.action is not None:
                action = actions.chaincode_actions.add()
                if item.action.events:
                    event = chaincode_event_pb2.ChaincodeEvent.FromString(item.action.events)
                    event.payload = b""
                    action.chaincode_event.CopyFrom(event)
    return found
