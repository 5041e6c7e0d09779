"""The stub over raw ledger access: rules for keys, composite keys, text to bytes, pages to iterators.

Trust level: pure, measured into enclaves.
Source: fabric-chaincode-go shim/stub.go for the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fabric_protos.peer import proposal_pb2
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from cloister.errors import MalformedInput
from cloister.fabric.identity import decode_serialized_identity

from .errors import InvalidArgument
from .invocation import Invocation
from .iterators import HistoryQueryIterator, KeyValue, Page, StateQueryIterator
from .keys import checked_key, partial_composite_range, simple_range
from .ledger import VALIDATION_PARAMETER, LedgerAccess
from .response import Response
from .stub import ChaincodeStubInterface, Creator

MAX_RANDOM_BYTES = 255 * 32
"""What one HKDF-SHA-256 gives (RFC 5869 section 2.3)."""


class ChaincodeStub(ChaincodeStubInterface):
    """One transaction's stub. Subclasses may refuse or replace single methods."""

    def __init__(self, invocation: Invocation, ledger: LedgerAccess) -> None:
        self._invocation = invocation
        self._ledger = ledger

    # The transaction

    def get_args(self) -> list[bytes]:
        return list(self._invocation.arguments)

    def get_string_args(self) -> list[str]:
        return [_as_text(argument, position) for position, argument in enumerate(self.get_args())]

    def get_function_and_parameters(self) -> tuple[str, list[str]]:
        arguments = self.get_string_args()
        if not arguments:
            raise InvalidArgument("function name missing: the transaction has no argument", field="arguments")
        return arguments[0], arguments[1:]

    def get_txid(self) -> str:
        return self._invocation.transaction_id

    def get_channel_id(self) -> str:
        return self._invocation.channel

    def get_creator(self) -> Creator:
        identity = decode_serialized_identity(self._invocation.creator)
        return {"mspid": identity.msp_id, "idBytes": identity.id_bytes}

    def get_transient(self) -> dict[str, bytes]:
        return dict(self._invocation.transient)

    def get_tx_timestamp(self) -> Timestamp:
        return Timestamp(seconds=self._invocation.timestamp_seconds, nanos=self._invocation.timestamp_nanos)

    def get_binding(self) -> bytes:
        return self._invocation.binding

    def get_signed_proposal(self) -> Any:
        message = proposal_pb2.SignedProposal()
        try:
            message.ParseFromString(self._invocation.signed_proposal)
        except DecodeError as error:
            raise MalformedInput("not a signed proposal", field="signed proposal") from error
        return message

    # Public state

    async def get_state(self, key: str) -> bytes:
        return await self._ledger.get_state(checked_key(key))

    async def put_state(self, key: str, value: bytes | str) -> None:
        await self._ledger.put_state(checked_key(key), _as_bytes(value))

    async def delete_state(self, key: str) -> None:
        await self._ledger.delete_state(checked_key(key))

    async def set_state_validation_parameter(self, key: str, policy: bytes) -> None:
        await self._ledger.put_state_metadata(checked_key(key), VALIDATION_PARAMETER, policy)

    async def get_state_validation_parameter(self, key: str) -> bytes:
        return (await self._ledger.get_state_metadata(checked_key(key))).get(VALIDATION_PARAMETER, b"")

    async def get_state_by_range(self, start_key: str, end_key: str) -> StateQueryIterator:
        return self._iterate(await self._ledger.get_state_by_range(*simple_range(start_key, end_key)))

    async def get_state_by_range_with_pagination(
        self, start_key: str, end_key: str, page_size: int, bookmark: str = ""
    ) -> StateQueryIterator:
        start, end = simple_range(start_key, end_key)
        size = _checked_page_size(page_size)
        return self._iterate(await self._ledger.get_state_by_range(start, end, page_size=size, bookmark=bookmark))

    async def get_state_by_partial_composite_key(
        self, object_type: str, attributes: Sequence[str]
    ) -> StateQueryIterator:
        bounds = partial_composite_range(object_type, attributes)
        return self._iterate(await self._ledger.get_state_by_range(*bounds))

    async def get_state_by_partial_composite_key_with_pagination(
        self, object_type: str, attributes: Sequence[str], page_size: int, bookmark: str = ""
    ) -> StateQueryIterator:
        start, end = partial_composite_range(object_type, attributes)
        size = _checked_page_size(page_size)
        return self._iterate(await self._ledger.get_state_by_range(start, end, page_size=size, bookmark=bookmark))

    async def get_query_result(self, query: str) -> StateQueryIterator:
        return self._iterate(await self._ledger.get_query_result(query))

    async def get_query_result_with_pagination(
        self, query: str, page_size: int, bookmark: str = ""
    ) -> StateQueryIterator:
        size = _checked_page_size(page_size)
        return self._iterate(await self._ledger.get_query_result(query, page_size=size, bookmark=bookmark))

    async def get_history_for_key(self, key: str) -> HistoryQueryIterator:
        first = await self._ledger.get_history_for_key(checked_key(key))
        return HistoryQueryIterator(first, self._ledger.next_history_page, self._ledger.close_query)

    # Private data

    async def get_private_data(self, collection: str, key: str) -> bytes:
        return await self._ledger.get_state(checked_key(key), _checked_collection(collection))

    async def get_private_data_hash(self, collection: str, key: str) -> bytes:
        return await self._ledger.get_private_data_hash(_checked_collection(collection), checked_key(key))

    async def put_private_data(self, collection: str, key: str, value: bytes | str) -> None:
        await self._ledger.put_state(checked_key(key), _as_bytes(value), _checked_collection(collection))

    async def delete_private_data(self, collection: str, key: str) -> None:
        await self._ledger.delete_state(checked_key(key), _checked_collection(collection))

    async def purge_private_data(self, collection: str, key: str) -> None:
        await self._ledger.purge_private_data(_checked_collection(collection), checked_key(key))

    async def set_private_data_validation_parameter(self, collection: str, key: str, policy: bytes) -> None:
        collection = _checked_collection(collection)
        await self._ledger.put_state_metadata(checked_key(key), VALIDATION_PARAMETER, policy, collection)

    async def get_private_data_validation_parameter(self, collection: str, key: str) -> bytes:
        entries = await self._ledger.get_state_metadata(checked_key(key), _checked_collection(collection))
        return entries.get(VALIDATION_PARAMETER, b"")

    async def get_private_data_by_range(self, collection: str, start_key: str, end_key: str) -> StateQueryIterator:
        start, end = simple_range(start_key, end_key)
        return self._iterate(await self._ledger.get_state_by_range(start, end, _checked_collection(collection)))

    async def get_private_data_by_partial_composite_key(
        self, collection: str, object_type: str, attributes: Sequence[str]
    ) -> StateQueryIterator:
        start, end = partial_composite_range(object_type, attributes)
        return self._iterate(await self._ledger.get_state_by_range(start, end, _checked_collection(collection)))

    async def get_private_data_query_result(self, collection: str, query: str) -> StateQueryIterator:
        return self._iterate(await self._ledger.get_query_result(query, _checked_collection(collection)))

    # Others

    def set_event(self, name: str, payload: bytes | str | None = None) -> None:
        self._ledger.set_event(_checked_text(name, "event name"), b"" if payload is None else _as_bytes(payload))

    async def get_random_bytes(self, length: int) -> bytes:
        return await self._ledger.get_random_bytes(_checked_random_length(length))

    async def invoke_chaincode(self, chaincode_name: str, args: Sequence[bytes | str], channel: str = "") -> Response:
        name = f"{chaincode_name}/{channel}" if channel else chaincode_name
        return await self._ledger.invoke_chaincode(name, [_as_bytes(argument) for argument in args])

    def _iterate(self, first: Page[KeyValue]) -> StateQueryIterator:
        return StateQueryIterator(first, self._ledger.next_state_page, self._ledger.close_query)


def _as_bytes(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise InvalidArgument(f"value refused: expected bytes or text, got {type(value).__name__}", field="value")


def _as_text(argument: bytes, position: int) -> str:
    try:
        return argument.decode()
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"argument {position} is not UTF-8", field="arguments") from error


def _checked_collection(collection: object) -> str:
    return _checked_text(collection, "collection")


def _checked_text(text: object, what: str) -> str:
    if not isinstance(text, str) or not text:
        raise InvalidArgument(f"{what} refused: expected a non-empty string", field=what)
    return text


def _checked_random_length(length: object) -> int:
    if isinstance(length, bool) or not isinstance(length, int) or not 0 < length <= MAX_RANDOM_BYTES:
        raise InvalidArgument(f"random bytes refused: expected a length from 1 to {MAX_RANDOM_BYTES}", field="length")
    return length


def _checked_page_size(page_size: object) -> int:
    if isinstance(page_size, bool) or not isinstance(page_size, int) or not 0 < page_size < 2**31:
        raise InvalidArgument("page size refused: expected an integer from 1 to 2147483647", field="page_size")
    return page_size
