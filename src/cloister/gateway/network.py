"""A channel, as one client sees it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING

from .checkpoint import Checkpointer
from .contract import Argument, Contract, build
from .event_requests import (
    EventsRequest,
    block_events_message,
    chaincode_events_message,
    listen_blocks,
    listen_blocks_and_private_data,
    listen_chaincode_events,
    listen_filtered_blocks,
    starting_position,
)
from .events import BlockEvent, ChaincodeEvent, FilteredBlockEvent, PrivateDataBlockEvent
from .proposal import Proposal
from .session import Session

if TYPE_CHECKING:
    from .gateway import Gateway


class Network:
    """A channel. Make it with `Gateway.network`."""

    def __init__(self, gateway: Gateway, session: Session, name: str) -> None:
        self.gateway = gateway
        self._session = session
        self._name = name

    @property
    def name(self) -> str:
        """The channel's name."""
        return self._name

    def contract(self, chaincode: str, contract: str = "") -> Contract:
        """A chaincode on this channel, and optionally one named contract in it."""
        return Contract(self._session, channel=self._name, chaincode=chaincode, contract=contract)

    def get_contract(self, chaincode: str, contract: str = "") -> Contract:
        """The same as `contract`, by the name that the other clients have."""
        return self.contract(chaincode, contract)

    def new_proposal(
        self,
        chaincode: str,
        arguments: Sequence[Argument],
        *,
        transient: Mapping[str, bytes] | None = None,
        endorsing_organizations: Sequence[str] = (),
        nonce: bytes | None = None,
    ) -> Proposal:
        """A proposal with exactly these arguments, the first one being what a contract takes for the function name."""
        return build(
            self._session,
            channel=self._name,
            chaincode=chaincode,
            arguments=arguments,
            transient=transient,
            organizations=endorsing_organizations,
            nonce=nonce,
        )

    def chaincode_events(
        self,
        chaincode: str,
        *,
        start_block: int | None = None,
        checkpoint: Checkpointer | None = None,
        after_transaction_id: str = "",
    ) -> AsyncGenerator[ChaincodeEvent, None]:
        """Events of one chaincode's valid transactions, without end; by default from now on.

            async with aclosing(network.chaincode_events("basic", checkpoint=checkpointer)) as events:
                async for event in events:
                    ...                                  # deal with it, then:
                    checkpointer.checkpoint_event(event)

        `after_transaction_id`: the last transaction of `start_block` that has been dealt with. A checkpointer that
        holds a position goes before both. Raises: UsageError; while iterating: EventsError.
        """
        return self.new_chaincode_events_request(
            chaincode, start_block=start_block, checkpoint=checkpoint, after_transaction_id=after_transaction_id
        ).events()

    def block_events(
        self, *, start_block: int | None = None, checkpoint: Checkpointer | None = None
    ) -> AsyncGenerator[BlockEvent, None]:
        """Whole blocks; after dealing with one: `checkpointer.checkpoint_block(event.block_number)`."""
        return self.new_block_events_request(start_block=start_block, checkpoint=checkpoint).events()

    def filtered_block_events(
        self, *, start_block: int | None = None, checkpoint: Checkpointer | None = None
    ) -> AsyncGenerator[FilteredBlockEvent, None]:
        """Blocks without contents: transaction ids and validation codes."""
        return self.new_filtered_block_events_request(start_block=start_block, checkpoint=checkpoint).events()

    def block_and_private_data_events(
        self, *, start_block: int | None = None, checkpoint: Checkpointer | None = None
    ) -> AsyncGenerator[PrivateDataBlockEvent, None]:
        """Blocks with the private data that the peer may show to this identity."""
        return self.new_block_and_private_data_events_request(start_block=start_block, checkpoint=checkpoint).events()

    def new_chaincode_events_request(
        self,
        chaincode: str,
        *,
        start_block: int | None = None,
        checkpoint: Checkpointer | None = None,
        after_transaction_id: str = "",
    ) -> EventsRequest[ChaincodeEvent]:
        """For offline signing: what `chaincode_events` sends. Raises: UsageError."""
        message = chaincode_events_message(
            self._session,
            channel=self._name,
            chaincode=chaincode,
            position=starting_position(start_block, checkpoint, after_transaction_id),
        )
        return EventsRequest(self._session, listen_chaincode_events, message=message)

    def new_block_events_request(
        self, *, start_block: int | None = None, checkpoint: Checkpointer | None = None
    ) -> EventsRequest[BlockEvent]:
        """For offline signing: what `block_events` sends. Raises: UsageError."""
        return EventsRequest(self._session, listen_blocks, message=self._deliver_message(start_block, checkpoint))

    def new_filtered_block_events_request(
        self, *, start_block: int | None = None, checkpoint: Checkpointer | None = None
    ) -> EventsRequest[FilteredBlockEvent]:
        """For offline signing: what `filtered_block_events` sends. Raises: UsageError."""
        message = self._deliver_message(start_block, checkpoint)
        return EventsRequest(self._session, listen_filtered_blocks, message=message)

    def new_block_and_private_data_events_request(
        self, *, start_block: int | None = None, checkpoint: Checkpointer | None = None
    ) -> EventsRequest[PrivateDataBlockEvent]:
        """For offline signing: what `block_and_private_data_events` sends. Raises: UsageError."""
        message = self._deliver_message(start_block, checkpoint)
        return EventsRequest(self._session, listen_blocks_and_private_data, message=message)

    def _deliver_message(self, start_block: int | None, checkpoint: Checkpointer | None) -> bytes:
        position = starting_position(start_block, checkpoint)
        return block_events_message(self._session, channel=self._name, position=position)
