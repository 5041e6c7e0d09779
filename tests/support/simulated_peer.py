"""The peer's side of the chaincode stream over real gRPC, on a ledger in memory; written against Fabric's protocol,
not with the server's own code, so that the server is not checked with itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Self

import grpc
from fabric_protos.ledger.queryresult import kv_query_result_pb2 as results
from fabric_protos.peer import chaincode_pb2, proposal_pb2, proposal_response_pb2
from fabric_protos.peer import chaincode_shim_pb2 as shim

from cloister.contract import KeyValue, Page
from cloister.errors import CloisterError

from .memory_ledger import MemoryLedger

Message = shim.ChaincodeMessage


class SimulatedPeer:
    """Dials a chaincode server, registers it, runs transactions one after the other, and answers their requests.

    `parameters`: what READY carries; since Fabric 3.1 a serialised `protos.ChaincodeAdditionalParams`.
    """

    def __init__(
        self,
        address: str,
        ledger: MemoryLedger,
        credentials: Any = None,
        *,
        timeout_s: float = 10.0,
        parameters: bytes = b"",
    ) -> None:
        options = [("grpc.max_receive_message_length", 100 << 20), ("grpc.max_send_message_length", 100 << 20)]
        self.ledger = ledger
        self._timeout_s = timeout_s
        self._parameters = parameters
        self.chaincode_id = ""
        self.requests: list[Any] = []
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(address, options)
        else:
            self._channel = grpc.aio.secure_channel(address, credentials, options)
        self.call: Any = None

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def connect(self) -> None:
        method = self._channel.stream_stream("/protos.Chaincode/Connect")
        self.call = method()
        message = await self.receive()
        self.chaincode_id = chaincode_pb2.ChaincodeID.FromString(message.payload).name
        await self.send(type=Message.REGISTERED)
        await self.send(type=Message.READY, payload=self._parameters)

    async def close(self) -> None:
        if self.call is not None:
            self.call.cancel()
        await self._channel.close()

    async def send(self, **fields: Any) -> None:
        await self.call.write(Message(**fields).SerializeToString())

    async def receive(self) -> Any:
        async with asyncio.timeout(self._timeout_s):
            frame = await self.call.read()
        if frame is grpc.aio.EOF:
            raise ConnectionError("the server ended the stream")
        return Message.FromString(frame)

    async def start_call(
        self, transaction_id: str, arguments: Sequence[bytes | str], *, proposal: bytes = b"", init: bool = False
    ) -> None:
        args = [argument.encode() if isinstance(argument, str) else argument for argument in arguments]
        signed = proposal_pb2.SignedProposal.FromString(proposal) if proposal else None
        await self.send(
            type=Message.INIT if init else Message.TRANSACTION,
            channel_id="channel",
            txid=transaction_id,
            payload=chaincode_pb2.ChaincodeInput(args=args).SerializeToString(),
            proposal=signed,
        )

    async def run(
        self, transaction_id: str, arguments: Sequence[bytes | str], *, proposal: bytes = b"", init: bool = False
    ) -> tuple[Any, Any]:
        """Run a transaction to its end and commit its writes if it succeeded. Returns response and event (or None)."""
        await self.start_call(transaction_id, arguments, proposal=proposal, init=init)
        while (message := await self.receive()).type != Message.COMPLETED:
            self.requests.append(message)
            await self.answer(message)
        response = proposal_response_pb2.Response.FromString(message.payload)
        if response.status < 400:
            self.ledger.commit(transaction_id)
        else:
            self.ledger.rollback()
        return response, message.chaincode_event if message.HasField("chaincode_event") else None

    async def answer(self, message: Any) -> None:
        """Answer one request from the ledger."""
        kind, payload = Message.RESPONSE, b""
        try:
            payload = await self._serve(message)
        except CloisterError as error:
            kind, payload = Message.ERROR, error.message.encode()
        await self.send(type=kind, channel_id=message.channel_id, txid=message.txid, payload=payload)

    async def _serve(self, message: Any) -> bytes:
        name = Message.Type.Name(message.type).lower()
        served: bytes = await getattr(self, f"_serve_{name}")(message.payload)
        return served

    async def _serve_get_state(self, payload: bytes) -> bytes:
        request = shim.GetState.FromString(payload)
        return await self.ledger.get_state(request.key, request.collection)

    async def _serve_put_state(self, payload: bytes) -> bytes:
        request = shim.PutState.FromString(payload)
        await self.ledger.put_state(request.key, request.value, request.collection)
        return b""

    async def _serve_del_state(self, payload: bytes) -> bytes:
        request = shim.DelState.FromString(payload)
        await self.ledger.delete_state(request.key, request.collection)
        return b""

    async def _serve_purge_private_data(self, payload: bytes) -> bytes:
        request = shim.PurgePrivateState.FromString(payload)
        await self.ledger.purge_private_data(request.collection, request.key)
        return b""

    async def _serve_get_private_data_hash(self, payload: bytes) -> bytes:
        request = shim.GetState.FromString(payload)
        return await self.ledger.get_private_data_hash(request.collection, request.key)

    async def _serve_get_state_metadata(self, payload: bytes) -> bytes:
        request = shim.GetStateMetadata.FromString(payload)
        entries = await self.ledger.get_state_metadata(request.key, request.collection)
        listed = [shim.StateMetadata(metakey=name, value=value) for name, value in entries.items()]
        encoded: bytes = shim.StateMetadataResult(entries=listed).SerializeToString()
        return encoded

    async def _serve_put_state_metadata(self, payload: bytes) -> bytes:
        request = shim.PutStateMetadata.FromString(payload)
        entry = request.metadata
        await self.ledger.put_state_metadata(request.key, entry.metakey, entry.value, request.collection)
        return b""

    async def _serve_write_batch_state(self, payload: bytes) -> bytes:
        for record in shim.WriteBatchState.FromString(payload).rec:
            if record.type == shim.WriteRecord.PUT_STATE:
                await self.ledger.put_state(record.key, record.value, record.collection)
            elif record.type == shim.WriteRecord.DEL_STATE:
                await self.ledger.delete_state(record.key, record.collection)
            elif record.type == shim.WriteRecord.PURGE_PRIVATE_DATA:
                await self.ledger.purge_private_data(record.collection, record.key)
            else:
                entry = record.metadata
                await self.ledger.put_state_metadata(record.key, entry.metakey, entry.value, record.collection)
        return b""

    async def _serve_get_state_by_range(self, payload: bytes) -> bytes:
        request = shim.GetStateByRange.FromString(payload)
        paging = shim.QueryMetadata.FromString(request.metadata)
        page = await self.ledger.get_state_by_range(
            request.startKey,
            request.endKey,
            request.collection,
            page_size=paging.pageSize,
            bookmark=paging.bookmark,
        )
        return _encode_page(page)

    async def _serve_get_query_result(self, payload: bytes) -> bytes:
        return _encode_page(await self.ledger.get_query_result(shim.GetQueryResult.FromString(payload).query))

    async def _serve_get_history_for_key(self, payload: bytes) -> bytes:
        return _encode_page(await self.ledger.get_history_for_key(shim.GetHistoryForKey.FromString(payload).key))

    async def _serve_query_state_next(self, payload: bytes) -> bytes:
        return _encode_page(await self.ledger.next_state_page(shim.QueryStateNext.FromString(payload).id))

    async def _serve_query_state_close(self, payload: bytes) -> bytes:
        await self.ledger.close_query(shim.QueryStateClose.FromString(payload).id)
        encoded: bytes = shim.QueryResponse().SerializeToString()
        return encoded

    async def _serve_invoke_chaincode(self, payload: bytes) -> bytes:
        spec = chaincode_pb2.ChaincodeSpec.FromString(payload)
        response = await self.ledger.invoke_chaincode(spec.chaincode_id.name, list(spec.input.args))
        encoded: bytes = Message(type=Message.COMPLETED, payload=response.encode()).SerializeToString()
        return encoded


def _encode_page(page: Page[Any]) -> bytes:
    items = [
        results.KV(namespace=item.namespace, key=item.key, value=item.value)
        if isinstance(item, KeyValue)
        else results.KeyModification(
            tx_id=item.tx_id, value=item.value, timestamp=item.timestamp, is_delete=item.is_delete
        )
        for item in page.results
    ]
    metadata = shim.QueryResponseMetadata(
        fetched_records_count=page.metadata.fetched_records_count, bookmark=page.metadata.bookmark
    )
    response = shim.QueryResponse(
        results=[shim.QueryResultBytes(resultBytes=item.SerializeToString()) for item in items],
        has_more=page.has_more,
        id=page.id,
        metadata=metadata.SerializeToString(),
    )
    encoded: bytes = response.SerializeToString()
    return encoded
