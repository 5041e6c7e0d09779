"""The contract API's access to the ledger, in confidential mode: what is offered, what is refused (protocol.md 10).

Trust level: trusted. Implements `contract.ledger.LedgerAccess` on `SealedState`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Never

from cloister.contract.errors import NotSupported
from cloister.contract.iterators import KeyModification, KeyValue, Page, QueryResponseMetadata
from cloister.contract.keys import COMPOSITE_KEY_NAMESPACE, MAX_UNICODE_RUNE, split_composite_key
from cloister.contract.ledger import VALIDATION_PARAMETER
from cloister.contract.response import Response

from .randomness import Randomness
from .sealed_state import Row, SealedState


class SealedLedger:
    """One execution's ledger. The event, if any, is public: `event` is (name, payload).

    `randomness` is None where an outcome is told before the commit.
    """

    def __init__(self, state: SealedState, *, chaincode: str, is_query: bool, randomness: Randomness | None) -> None:
        self._state = state
        self._randomness = randomness
        self._chaincode = chaincode
        self._is_query = is_query
        self.event: tuple[str, bytes] | None = None

    async def get_state(self, key: str, collection: str = "") -> bytes:
        """The committed value, b"" if absent."""
        _public_only(collection)
        return await self._state.get(key) or b""

    async def put_state(self, key: str, value: bytes, collection: str = "") -> None:
        """Write at the end of the execution."""
        _public_only(collection)
        self._state.put(key, value)

    async def delete_state(self, key: str, collection: str = "") -> None:
        """Delete at the end of the execution."""
        _public_only(collection)
        self._state.delete(key)

    async def get_state_by_range(
        self, start_key: str, end_key: str, collection: str = "", *, page_size: int = 0, bookmark: str = ""
    ) -> Page[KeyValue]:
        """A partial composite query, or a plain range inside a clear key space; pages in queries only."""
        _public_only(collection)
        if page_size:
            if not self._is_query:
                _refuse("paging outside queries")
            page = await self._state.page(start_key, end_key, page_size, bookmark)
            metadata = QueryResponseMetadata(len(page.rows), page.bookmark)
            return Page(self._results(page.rows), metadata=metadata)
        if start_key.startswith(COMPOSITE_KEY_NAMESPACE) and end_key == start_key + MAX_UNICODE_RUNE:
            object_type, parts = split_composite_key(start_key)
            return Page(self._results(await self._state.partial(object_type or "", parts)))
        return Page(self._results(await self._state.range(start_key, end_key)))

    async def get_state_metadata(self, key: str, collection: str = "") -> Mapping[str, bytes]:
        """The key's endorsement parameter, the only metadata there is."""
        _public_only(collection)
        parameter = await self._state.get_parameter(key)
        return {VALIDATION_PARAMETER: parameter} if parameter else {}

    async def put_state_metadata(self, key: str, metakey: str, value: bytes, collection: str = "") -> None:
        """Set the key's endorsement parameter at the end of the execution. It is public."""
        _public_only(collection)
        if metakey != VALIDATION_PARAMETER:
            _refuse("metadata other than the endorsement parameter")
        self._state.put_parameter(key, value)

    def set_event(self, name: str, payload: bytes) -> None:
        """An explicit disclosure by the author: name and payload are public. The last one counts."""
        name.encode("utf-8")  # what has no encoding fails here, as the contract's own error
        self.event = (name, payload)

    async def get_random_bytes(self, length: int) -> bytes:
        """What nobody knows before the commit; refused in functions that tell their outcome earlier."""
        if self._randomness is None:
            _refuse("random bytes outside functions revealed on commit")
        return self._randomness.draw(length, self._state.reads_digest())

    async def get_query_result(
        self, query: str, collection: str = "", *, page_size: int = 0, bookmark: str = ""
    ) -> Page[KeyValue]:
        """Refused: a peer's answer to a rich query cannot be verified."""
        del query, collection, page_size, bookmark
        _refuse("rich queries")

    async def get_history_for_key(self, key: str) -> Page[KeyModification]:
        """Refused: history is not part of the verified state."""
        del key
        _refuse("history")

    async def purge_private_data(self, collection: str, key: str) -> None:
        """Refused: state is sealed already."""
        del key
        _public_only(collection or "private data")

    async def get_private_data_hash(self, collection: str, key: str) -> bytes:
        """Refused: state is sealed already."""
        del key
        _public_only(collection or "private data")
        return b""

    async def next_state_page(self, query_id: str) -> Page[KeyValue]:
        """Never needed: results are complete at once."""
        del query_id
        _refuse("partial results")

    async def next_history_page(self, query_id: str) -> Page[KeyModification]:
        """Never needed."""
        del query_id
        _refuse("history")

    async def close_query(self, query_id: str) -> None:
        """Nothing is left open."""
        del query_id

    async def invoke_chaincode(self, name: str, arguments: Sequence[bytes]) -> Response:
        """Refused: another chaincode's answer cannot be verified."""
        del name, arguments
        _refuse("calls of other chaincode")

    def _results(self, rows: Sequence[Row]) -> tuple[KeyValue, ...]:
        return tuple([KeyValue(self._chaincode, key, value) for key, value in rows])


def _public_only(collection: str) -> None:
    if collection:
        _refuse("private data collections")


def _refuse(what: str) -> Never:
    raise NotSupported(f"{what}: not available in confidential mode (see docs/contracts.md)")
