"""Chaincode messages: from requests to bytes, from the peer's bytes to answers. No I/O, no state.

Source: Fabric 2.5.9 core/chaincode/handler.go, fabric-chaincode-go shim/handler.go and shim/stub.go; for batches of
writes, Fabric 3.1.5 core/chaincode/handler.go (sendReady, HandleWriteBatch).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from fabric_protos.ledger.queryresult import kv_query_result_pb2
from fabric_protos.peer import chaincode_event_pb2, chaincode_pb2, chaincode_shim_pb2
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from cloister.contract.iterators import KeyModification, KeyValue, Page, QueryResponseMetadata
from cloister.contract.response import Response, ResponseCode, decode_response

from .errors import StreamViolated

Kind = chaincode_shim_pb2.ChaincodeMessage
"""The message class, whose constants name the kinds: `Kind.GET_STATE` and so on."""

T = TypeVar("T")
Request = tuple[int, bytes]
"""Kind and payload of a request to the peer."""
WriteRecord = chaincode_shim_pb2.WriteRecord
"""One write of a batch."""

MAX_BATCH_BYTES = 16 * 1024 * 1024
"""A single larger write makes a batch of its own."""
_VARINT = 0


def get_state(key: str, collection: str) -> Request:
    return Kind.GET_STATE, encode(chaincode_shim_pb2.GetState(key=key, collection=collection))


def put_state(key: str, value: bytes, collection: str) -> Request:
    return Kind.PUT_STATE, encode(chaincode_shim_pb2.PutState(key=key, value=value, collection=collection))


def delete_state(key: str, collection: str) -> Request:
    return Kind.DEL_STATE, encode(chaincode_shim_pb2.DelState(key=key, collection=collection))


def purge_private_data(collection: str, key: str) -> Request:
    return Kind.PURGE_PRIVATE_DATA, encode(chaincode_shim_pb2.PurgePrivateState(key=key, collection=collection))


def get_private_data_hash(collection: str, key: str) -> Request:
    return Kind.GET_PRIVATE_DATA_HASH, encode(chaincode_shim_pb2.GetState(key=key, collection=collection))


def get_state_metadata(key: str, collection: str) -> Request:
    return Kind.GET_STATE_METADATA, encode(chaincode_shim_pb2.GetStateMetadata(key=key, collection=collection))


def put_state_metadata(key: str, metakey: str, value: bytes, collection: str) -> Request:
    entry = chaincode_shim_pb2.StateMetadata(metakey=metakey, value=value)
    message = chaincode_shim_pb2.PutStateMetadata(key=key, collection=collection, metadata=entry)
    return Kind.PUT_STATE_METADATA, encode(message)


def write_batches(records: Sequence[Any], at_a_time: int) -> Iterator[Request]:
    """The requests that carry these WriteRecords in their order, each at most `at_a_time` and MAX_BATCH_BYTES."""
    batch = chaincode_shim_pb2.WriteBatchState()
    size = 0
    for record in records:
        size += record.ByteSize()
        if batch.rec and (len(batch.rec) == at_a_time or size > MAX_BATCH_BYTES):
            yield Kind.WRITE_BATCH_STATE, encode(batch)
            batch.Clear()
            size = record.ByteSize()
        batch.rec.append(record)
    if batch.rec:
        yield Kind.WRITE_BATCH_STATE, encode(batch)


def get_state_by_range(start_key: str, end_key: str, collection: str, page_size: int, bookmark: str) -> Request:
    message = chaincode_shim_pb2.GetStateByRange(
        startKey=start_key, endKey=end_key, collection=collection, metadata=_paging(page_size, bookmark)
    )
    return Kind.GET_STATE_BY_RANGE, encode(message)


def get_query_result(query: str, collection: str, page_size: int, bookmark: str) -> Request:
    message = chaincode_shim_pb2.GetQueryResult(
        query=query, collection=collection, metadata=_paging(page_size, bookmark)
    )
    return Kind.GET_QUERY_RESULT, encode(message)


def get_history_for_key(key: str) -> Request:
    return Kind.GET_HISTORY_FOR_KEY, encode(chaincode_shim_pb2.GetHistoryForKey(key=key))


def query_state_next(query_id: str) -> Request:
    return Kind.QUERY_STATE_NEXT, encode(chaincode_shim_pb2.QueryStateNext(id=query_id))


def query_state_close(query_id: str) -> Request:
    return Kind.QUERY_STATE_CLOSE, encode(chaincode_shim_pb2.QueryStateClose(id=query_id))


def invoke_chaincode(name: str, arguments: Sequence[bytes]) -> Request:
    message = chaincode_pb2.ChaincodeSpec(
        chaincode_id=chaincode_pb2.ChaincodeID(name=name), input=chaincode_pb2.ChaincodeInput(args=list(arguments))
    )
    return Kind.INVOKE_CHAINCODE, encode(message)


def decode_batch_size(payload: bytes) -> int:
    """How many writes the peer takes in one message, from what READY carries; 0 if none. Raises: StreamViolated.

    The payload is a `protos.ChaincodeAdditionalParams`, and empty before Fabric 3.1. The official Python package does
    not have that message: its fields 1 (whether) and 2 (how many) are read as unknown ones.
    """
    message = decode(Empty(), payload, "parameters")
    fields = {item.field_number: item.data for item in UnknownFieldSet(message) if item.wire_type == _VARINT}
    return int(fields.get(2, 0)) if fields.get(1) else 0


def decode_state_page(payload: bytes) -> Page[KeyValue]:
    """Answer to a range or rich query. Raises: StreamViolated."""
    row = kv_query_result_pb2.KV()  # one for all, since each would have memory of its own

    def convert(encoded: bytes) -> KeyValue:
        decode(row, encoded, "query result")
        return KeyValue(row.namespace, row.key, row.value)

    return _decode_page(payload, convert)


def decode_history_page(payload: bytes) -> Page[KeyModification]:
    """Answer to a history query. Raises: StreamViolated."""

    def convert(encoded: bytes) -> KeyModification:
        item = decode(kv_query_result_pb2.KeyModification(), encoded, "query result")
        return KeyModification(item.tx_id, item.value, item.timestamp, item.is_delete)

    return _decode_page(payload, convert)


def decode_metadata(payload: bytes) -> dict[str, bytes]:
    """Answer to a metadata read. Raises: StreamViolated."""
    result = decode(chaincode_shim_pb2.StateMetadataResult(), payload, "state metadata")
    return {entry.metakey: entry.value for entry in result.entries}


def decode_invocation(payload: bytes) -> Response:
    """Answer to a call of another chaincode: a chaincode message that holds its response. Raises: StreamViolated."""
    message = decode(Kind(), payload, "called chaincode's message")
    if message.type != Kind.COMPLETED:
        return Response(ResponseCode.ERROR, message.payload.decode(errors="replace"))
    return decode_response(message.payload)


def encode_event(name: str, payload: bytes) -> Any:
    """`protos.ChaincodeEvent`; the peer fills in chaincode and transaction id."""
    return chaincode_event_pb2.ChaincodeEvent(event_name=name, payload=payload)


def encode(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


def decode(message: Any, encoded: bytes, what: str) -> Any:
    """Fill a message, of whose content before nothing is left. Raises: StreamViolated."""
    try:
        message.ParseFromString(encoded)
    except DecodeError as error:
        raise StreamViolated(f"peer sent no valid {what}", field=what) from error
    return message


def _paging(page_size: int, bookmark: str) -> bytes:
    if not page_size:
        return b""
    return encode(chaincode_shim_pb2.QueryMetadata(pageSize=page_size, bookmark=bookmark))


def _decode_page(payload: bytes, convert: Callable[[bytes], T]) -> Page[T]:
    response = decode(chaincode_shim_pb2.QueryResponse(), payload, "query response")
    metadata = decode(chaincode_shim_pb2.QueryResponseMetadata(), response.metadata, "query response metadata")
    return Page(
        results=tuple([convert(result.resultBytes) for result in response.results]),
        has_more=response.has_more,
        id=response.id,
        metadata=QueryResponseMetadata(metadata.fetched_records_count, metadata.bookmark),
    )
