"""Answers to what a chaincode asks its peer while a transaction runs.

Source: Fabric 2.5.9 core/chaincode/handler.go. Each function takes the transaction's context and the request's payload
and gives the answer's payload. Raises: SimulationFailed with the peer's words.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from fabric_protos.peer import chaincode_pb2, chaincode_shim_pb2

from cloister.errors import MalformedInput
from cloister.fabric.decoding import decode_message
from cloister.trusted.ledger.definitions import IMPLICIT_PREFIX

from .errors import SimulationFailed
from .invocation import Invocation
from .ledger import Ledger
from .queries import TOTAL_LIMIT, Queries, history_results, page, state_results
from .simulation import Simulation

Kind = chaincode_shim_pb2.ChaincodeMessage
Call = Callable[[Invocation, Simulation, str, Any], Awaitable[Any]]
"""Runs another chaincode in the same simulation: name, `ChaincodeInput`; gives its last `ChaincodeMessage`."""


@dataclass
class Context:
    """One transaction in one chaincode."""

    invocation: Invocation
    simulation: Simulation
    namespace: str
    ledger: Ledger
    call: Call
    queries: Queries = field(default_factory=Queries)

    def check_read(self, collection: str) -> None:
        """Raises: SimulationFailed if the creator may not read the collection."""
        static = self._static(collection)
        if static is not None and static.member_only_read and not self._is_member(collection):
            raise self._forbidden("read", collection)

    def check_write(self, collection: str) -> None:
        """Raises: SimulationFailed if the creator may not write to the collection."""
        static = self._static(collection)
        if static is not None and static.member_only_write and not self._is_member(collection):
            raise self._forbidden("write", collection)

    def _static(self, collection: str) -> Any:
        self.simulation.read_definition(self.namespace)
        static = self.ledger.collection(self.namespace, collection)
        if static is None and not collection.startswith(IMPLICIT_PREFIX):
            raise SimulationFailed(
                f"collection {self.invocation.channel}/{self.namespace}/{collection} could not be found"
            )
        return static

    def _is_member(self, collection: str) -> bool:
        identity = self.ledger.config.msps.deserialize(self.invocation.creator)
        return self.ledger.member_policy(self.namespace, collection).evaluate([identity])

    def _forbidden(self, what: str, collection: str) -> SimulationFailed:
        return SimulationFailed(
            f"tx creator does not have {what} access permission on privatedata in "
            f"chaincodeName:{self.namespace} collectionName: {collection}"
        )


async def answer(context: Context, kind: int, payload: bytes) -> bytes:
    """The payload of the answer to one request. Raises: SimulationFailed."""
    try:
        if kind == Kind.INVOKE_CHAINCODE:
            return await _invoke(context, payload)
        if kind in _HANDLERS:
            return _HANDLERS[kind](context, payload)
        raise SimulationFailed(f"cannot handle message ({kind}) while in ready state")
    except MalformedInput as error:
        raise SimulationFailed(f"unmarshal failed: {error.message}") from error


def _get_state(context: Context, payload: bytes) -> bytes:
    request = decode_message(chaincode_shim_pb2.GetState(), payload, "GetState")
    if not request.collection:
        return context.simulation.get(context.namespace, request.key) or b""
    context.check_read(request.collection)
    return context.simulation.get_private(context.namespace, request.collection, request.key) or b""


def _get_private_hash(context: Context, payload: bytes) -> bytes:
    request = decode_message(chaincode_shim_pb2.GetState(), payload, "GetState")
    return context.simulation.get_private_hash(context.namespace, request.collection, request.key) or b""


def _put_state(context: Context, payload: bytes) -> bytes:
    request = decode_message(chaincode_shim_pb2.PutState(), payload, "PutState")
    _write(context, request.collection, request.key, request.value)
    return b""


def _delete_state(context: Context, payload: bytes) -> bytes:
    request = decode_message(chaincode_shim_pb2.DelState(), payload, "DelState")
    _write(context, request.collection, request.key, b"")
    return b""


def _write(context: Context, collection: str, key: str, value: bytes) -> None:
    if not key:
        raise SimulationFailed("empty key")
    if not collection:
        context.simulation.put(context.namespace, key, value)
        return
    context.check_write(collection)
    context.simulation.put_private(context.namespace, collection, key, value)


def _purge(context: Context, payload: bytes) -> bytes:
    request = decode_message(chaincode_shim_pb2.DelState(), payload, "DelState")
    if not request.collection:
        raise SimulationFailed("only applicable for private data")
    context.check_write(request.collection)
    context.simulation.put_private(context.namespace, request.collection, request.key, b"", purge=True)
    return b""


def _get_metadata(context: Context, payload: bytes) -> bytes:
    request = decode_message(chaincode_shim_pb2.GetStateMetadata(), payload, "GetStateMetadata")
    if request.collection:
        context.check_read(request.collection)
        found = context.simulation.private_metadata(context.namespace, request.collection, request.key)
    else:
        found = context.simulation.metadata(context.namespace, request.key)
    entries = [chaincode_shim_pb2.StateMetadata(metakey=name, value=value) for name, value in found.items()]
    return _encode(chaincode_shim_pb2.StateMetadataResult(entries=entries))


def _put_metadata(context: Context, payload: bytes) -> bytes:
    request = decode_message(chaincode_shim_pb2.PutStateMetadata(), payload, "PutStateMetadata")
    entries = {request.metadata.metakey: request.metadata.value}
    if request.collection:
        context.check_write(request.collection)
        context.simulation.put_private_metadata(context.namespace, request.collection, request.key, entries)
    else:
        context.simulation.put_metadata(context.namespace, request.key, entries)
    return b""


def _range(context: Context, payload: bytes) -> bytes:
    request = decode_message(chaincode_shim_pb2.GetStateByRange(), payload, "GetStateByRange")
    namespace, start, end = context.namespace, request.startKey, request.endKey
    paging = decode_message(chaincode_shim_pb2.QueryMetadata(), request.metadata, "QueryMetadata")
    if request.collection:
        context.check_read(request.collection)
        private = context.simulation.scan_private(namespace, request.collection, start, end)
        return _encode(context.queries.start(state_results(private, namespace)))
    if paging.pageSize or paging.bookmark:
        scan = context.simulation.scan(namespace, paging.bookmark or start, end, paginated=True)
        return _encode(page(scan, state_results(scan, namespace), paging.pageSize or TOTAL_LIMIT))
    scan = context.simulation.scan(namespace, start, end)
    return _encode(context.queries.start(state_results(scan, namespace)))


def _rich_query(context: Context, payload: bytes) -> bytes:
    del context, payload
    raise SimulationFailed("ExecuteQuery not supported for leveldb")


def _history(context: Context, payload: bytes) -> bytes:
    request = decode_message(chaincode_shim_pb2.GetHistoryForKey(), payload, "GetHistoryForKey")
    return _encode(context.queries.start(history_results(context.ledger.history(context.namespace, request.key))))


def _next(context: Context, payload: bytes) -> bytes:
    request = decode_message(chaincode_shim_pb2.QueryStateNext(), payload, "QueryStateNext")
    return _encode(context.queries.more(request.id))


def _close(context: Context, payload: bytes) -> bytes:
    request = decode_message(chaincode_shim_pb2.QueryStateClose(), payload, "QueryStateClose")
    return _encode(context.queries.close(request.id))


async def _invoke(context: Context, payload: bytes) -> bytes:
    """Another chaincode, of this channel: there is no other."""
    spec = decode_message(chaincode_pb2.ChaincodeSpec(), payload, "ChaincodeSpec")
    instance, _, channel = spec.chaincode_id.name.partition("/")
    if channel and channel != context.invocation.channel:
        raise SimulationFailed(f"failed to find ledger for channel: {channel}")
    name = instance.partition(":")[0]
    return _encode(await context.call(context.invocation, context.simulation, name, spec.input))


def _encode(message: Any) -> bytes:
    encoded: bytes = message.SerializeToString()
    return encoded


_HANDLERS: dict[int, Callable[[Context, bytes], bytes]] = {
    Kind.GET_STATE: _get_state,
    Kind.GET_PRIVATE_DATA_HASH: _get_private_hash,
    Kind.PUT_STATE: _put_state,
    Kind.DEL_STATE: _delete_state,
    Kind.PURGE_PRIVATE_DATA: _purge,
    Kind.GET_STATE_METADATA: _get_metadata,
    Kind.PUT_STATE_METADATA: _put_metadata,
    Kind.GET_STATE_BY_RANGE: _range,
    Kind.GET_QUERY_RESULT: _rich_query,
    Kind.GET_HISTORY_FOR_KEY: _history,
    Kind.QUERY_STATE_NEXT: _next,
    Kind.QUERY_STATE_CLOSE: _close,
}
