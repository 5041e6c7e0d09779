"""One call as the server's handler sees it: what the peer sent, and raw access to the ledger through that peer.

It implements `cloister.contract.LedgerAccess`; keys and values pass as they are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from cloister.contract.errors import NotSupported, PeerRefused
from cloister.contract.invocation import Invocation, invocation_from_proposal
from cloister.contract.iterators import KeyModification, KeyValue, Page
from cloister.contract.response import Response, ResponseCode

from . import messages
from .messages import Request, WriteRecord
from .stream import CallStarted

Ask = Callable[[Request], Awaitable[bytes]]
"""Send a request for this call and wait for the answer's payload. Raises: PeerRefused, PeerLost, MessageTooLarge."""


class PeerStub:
    """One transaction on one peer. Every coroutine raises PeerRefused, PeerLost or MessageTooLarge.

    `signed_proposal` holds the serialised `protos.SignedProposal` that the peer endorses (empty if it sent none),
    `arguments` the chaincode's arguments, the function name first. Concurrent requests are put one after the other.

    From Fabric 3.1 on, peers take many writes in one message. Between `start_write_batch` and `finish_write_batch` they
    are collected for that, and what the peer says against one of them is raised by the latter; older peers get them
    one by one.
    """

    def __init__(self, call: CallStarted, ask: Ask, batch_size: int) -> None:
        self.channel, self.transaction_id = call.key
        self.arguments = call.arguments
        self.signed_proposal = call.signed_proposal
        self.is_init = call.is_init
        self.event: Any = None
        self._ask = ask
        self._batch_size = batch_size
        self._batch: list[Any] | None = None

    def invocation(self) -> Invocation:
        """The call with what its proposal says about the caller. Raises: MalformedInput."""
        return invocation_from_proposal(
            self.signed_proposal,
            arguments=self.arguments,
            channel=self.channel,
            transaction_id=self.transaction_id,
            is_init=self.is_init,
        )

    async def get_state(self, key: str, collection: str = "") -> bytes:
        return await self._ask(messages.get_state(key, collection))

    def start_write_batch(self) -> None:
        """Collect writes from now on, if the peer takes batches."""
        if self._batch_size and self._batch is None:
            self._batch = []

    async def finish_write_batch(self) -> None:
        """Send what was collected, in its order; nothing if there is no batch."""
        batch, self._batch = self._batch, None
        for request in messages.write_batches(batch or (), self._batch_size):
            await self._ask(request)

    async def put_state(self, key: str, value: bytes, collection: str = "") -> None:
        if self._batch is None:
            await self._ask(messages.put_state(key, value, collection))
        else:
            self._batch.append(WriteRecord(type=WriteRecord.PUT_STATE, key=key, value=value, collection=collection))

    async def delete_state(self, key: str, collection: str = "") -> None:
        if self._batch is None:
            await self._ask(messages.delete_state(key, collection))
        else:
            self._batch.append(WriteRecord(type=WriteRecord.DEL_STATE, key=key, collection=collection))

    async def purge_private_data(self, collection: str, key: str) -> None:
        if self._batch is None:
            await self._ask(messages.purge_private_data(collection, key))
        else:
            self._batch.append(WriteRecord(type=WriteRecord.PURGE_PRIVATE_DATA, key=key, collection=collection))

    async def get_private_data_hash(self, collection: str, key: str) -> bytes:
        return await self._ask(messages.get_private_data_hash(collection, key))

    async def get_state_metadata(self, key: str, collection: str = "") -> dict[str, bytes]:
        return messages.decode_metadata(await self._ask(messages.get_state_metadata(key, collection)))

    async def put_state_metadata(self, key: str, metakey: str, value: bytes, collection: str = "") -> None:
        if self._batch is None:
            await self._ask(messages.put_state_metadata(key, metakey, value, collection))
        else:
            entry = {"metakey": metakey, "value": value}
            record = WriteRecord(type=WriteRecord.PUT_STATE_METADATA, key=key, collection=collection, metadata=entry)
            self._batch.append(record)

    async def get_state_by_range(
        self, start_key: str, end_key: str, collection: str = "", *, page_size: int = 0, bookmark: str = ""
    ) -> Page[KeyValue]:
        request = messages.get_state_by_range(start_key, end_key, collection, page_size, bookmark)
        return messages.decode_state_page(await self._ask(request))

    async def get_query_result(
        self, query: str, collection: str = "", *, page_size: int = 0, bookmark: str = ""
    ) -> Page[KeyValue]:
        request = messages.get_query_result(query, collection, page_size, bookmark)
        return messages.decode_state_page(await self._ask(request))

    async def get_history_for_key(self, key: str) -> Page[KeyModification]:
        return messages.decode_history_page(await self._ask(messages.get_history_for_key(key)))

    async def next_state_page(self, query_id: str) -> Page[KeyValue]:
        return messages.decode_state_page(await self._ask(messages.query_state_next(query_id)))

    async def next_history_page(self, query_id: str) -> Page[KeyModification]:
        return messages.decode_history_page(await self._ask(messages.query_state_next(query_id)))

    async def close_query(self, query_id: str) -> None:
        await self._ask(messages.query_state_close(query_id))

    async def invoke_chaincode(self, name: str, arguments: Sequence[bytes]) -> Response:
        """Call another chaincode; if the peer refuses that, the answer has status 500 and its text, as in Go."""
        try:
            answer = await self._ask(messages.invoke_chaincode(name, arguments))
        except PeerRefused as refusal:
            return Response(ResponseCode.ERROR, refusal.message)
        return messages.decode_invocation(answer)

    async def get_random_bytes(self, length: int) -> bytes:
        """Refused: what all endorsers can compute, each of them knows before the commit."""
        del length
        raise NotSupported("random bytes: endorsers of plain chaincode have none that nobody knows before the commit")

    def set_event(self, name: str, payload: bytes) -> None:
        """Set the transaction's event; it goes to the peer with the response."""
        self.event = messages.encode_event(name, payload)
