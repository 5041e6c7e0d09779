"""The stub: everything a contract can ask of the ledger and of the transaction it runs in.

Names, arguments and awaiting as in `fabric-chaincode-python` 2.5.4; what is missing or cannot work there (private data,
key-level endorsement, transient data, binding, paging of composite keys) follows the Go and Node shims. Methods that
reach the ledger are coroutines; they need no event loop of their own.

Trust level: pure, measured into enclaves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypedDict

from .iterators import HistoryQueryIterator, StateQueryIterator
from .keys import create_composite_key, split_composite_key
from .response import Response


class Creator(TypedDict):
    """The caller: MSP ID, and the certificate in PEM."""

    mspid: str
    idBytes: bytes


class ChaincodeStubInterface(ABC):
    """What a contract sees as `ctx.get_stub()`.

    Reads see committed state, never this transaction's own writes. An absent key reads as b"". Values are bytes; text
    is encoded as UTF-8. Writing an empty value deletes the key, as Fabric does.
    Raises, in coroutines: InvalidKey, PeerRefused, PeerLost, NotSupported.
    """

    # The transaction

    @abstractmethod
    def get_args(self) -> list[bytes]:
        """All arguments, the function name first."""

    @abstractmethod
    def get_string_args(self) -> list[str]:
        """All arguments as text. Raises: InvalidArgument if one is not UTF-8."""

    @abstractmethod
    def get_function_and_parameters(self) -> tuple[str, list[str]]:
        """Function name and the other arguments as text. Raises: InvalidArgument, also if there is no argument."""

    @abstractmethod
    def get_txid(self) -> str:
        """Transaction id: 64 lower-case hex digits."""

    @abstractmethod
    def get_channel_id(self) -> str: ...

    @abstractmethod
    def get_creator(self) -> Creator:
        """The caller, as a dictionary; `TransactionContext.get_client_identity` is more convenient."""

    @abstractmethod
    def get_transient(self) -> dict[str, bytes]:
        """Transient data of the proposal: not part of the transaction on the ledger."""

    @abstractmethod
    def get_tx_timestamp(self) -> Any:
        """The client's clock, unchecked by Fabric, as protobuf Timestamp (`seconds`, `nanos`, `ToDatetime()`)."""

    @abstractmethod
    def get_binding(self) -> bytes:
        """SHA-256 over nonce, creator and epoch: 32 bytes."""

    @abstractmethod
    def get_signed_proposal(self) -> Any:
        """`protos.SignedProposal` as generated protobuf object; empty if there is none."""

    # Public state

    @abstractmethod
    async def get_state(self, key: str) -> bytes: ...

    @abstractmethod
    async def put_state(self, key: str, value: bytes | str) -> None: ...

    @abstractmethod
    async def delete_state(self, key: str) -> None: ...

    async def del_state(self, key: str) -> None:
        """The same as `delete_state`."""
        await self.delete_state(key)

    @abstractmethod
    async def set_state_validation_parameter(self, key: str, policy: bytes) -> None:
        """Set a key's own endorsement policy (`KeyEndorsementPolicy.policy()`)."""

    @abstractmethod
    async def get_state_validation_parameter(self, key: str) -> bytes:
        """A key's own endorsement policy, b"" if it has none."""

    @abstractmethod
    async def get_state_by_range(self, start_key: str, end_key: str) -> StateQueryIterator:
        """Simple keys from `start_key` (inclusive) to `end_key` (exclusive), in order; "" means open."""

    @abstractmethod
    async def get_state_by_range_with_pagination(
        self, start_key: str, end_key: str, page_size: int, bookmark: str = ""
    ) -> StateQueryIterator:
        """One page of a range; the iterator's `metadata.bookmark` begins the next one. For queries only."""

    @abstractmethod
    async def get_state_by_partial_composite_key(
        self, object_type: str, attributes: Sequence[str]
    ) -> StateQueryIterator:
        """All composite keys that begin with these parts, in order."""

    @abstractmethod
    async def get_state_by_partial_composite_key_with_pagination(
        self, object_type: str, attributes: Sequence[str], page_size: int, bookmark: str = ""
    ) -> StateQueryIterator:
        """One page of a partial composite query. For queries only."""

    @abstractmethod
    async def get_query_result(self, query: str) -> StateQueryIterator:
        """Rich query in CouchDB's language; LevelDB peers refuse it."""

    @abstractmethod
    async def get_query_result_with_pagination(
        self, query: str, page_size: int, bookmark: str = ""
    ) -> StateQueryIterator: ...

    @abstractmethod
    async def get_history_for_key(self, key: str) -> HistoryQueryIterator:
        """Committed changes of a key, newest first. Not protected against concurrent changes."""

    # Composite keys

    def create_composite_key(self, object_type: str, attributes: Sequence[str]) -> str:
        """Join parts to a key. Raises: InvalidKey."""
        return create_composite_key(object_type, attributes)

    def split_composite_key(self, composite_key: str) -> tuple[str | None, list[str]]:
        """Object type and attributes; `(None, [])` if the key is not composite."""
        return split_composite_key(composite_key)

    # Private data

    @abstractmethod
    async def get_private_data(self, collection: str, key: str) -> bytes: ...

    @abstractmethod
    async def get_private_data_hash(self, collection: str, key: str) -> bytes:
        """SHA-256 of the value, known to every peer: 32 bytes, b"" if absent."""

    @abstractmethod
    async def put_private_data(self, collection: str, key: str, value: bytes | str) -> None: ...

    @abstractmethod
    async def delete_private_data(self, collection: str, key: str) -> None: ...

    @abstractmethod
    async def purge_private_data(self, collection: str, key: str) -> None:
        """Delete the value and its history from all peers."""

    @abstractmethod
    async def set_private_data_validation_parameter(self, collection: str, key: str, policy: bytes) -> None: ...

    @abstractmethod
    async def get_private_data_validation_parameter(self, collection: str, key: str) -> bytes: ...

    @abstractmethod
    async def get_private_data_by_range(self, collection: str, start_key: str, end_key: str) -> StateQueryIterator: ...

    @abstractmethod
    async def get_private_data_by_partial_composite_key(
        self, collection: str, object_type: str, attributes: Sequence[str]
    ) -> StateQueryIterator: ...

    @abstractmethod
    async def get_private_data_query_result(self, collection: str, query: str) -> StateQueryIterator: ...

    # Others

    @abstractmethod
    def set_event(self, name: str, payload: bytes | str | None = None) -> None:
        """Set the transaction's one event; a later call replaces it. Raises: InvalidArgument for an empty name."""

    @abstractmethod
    async def get_random_bytes(self, length: int) -> bytes:
        """1 to 8160 random bytes, other ones each time, the same at all endorsers, known to nobody before the commit.

        In confidential mode, in functions revealed on commit. Everywhere else there is no such thing, hence
        NotSupported. Let them decide what is written, never which keys are read or written: hosts see that.
        """

    @abstractmethod
    async def invoke_chaincode(self, chaincode_name: str, args: Sequence[bytes | str], channel: str = "") -> Response:
        """Call another chaincode in the same transaction; on another channel, its writes are thrown away."""
