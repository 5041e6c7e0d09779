"""Events as values: chaincode events and blocks. The streams come from one peer and are that peer's word."""

from __future__ import annotations

from dataclasses import dataclass

from cloister.fabric.block import Block


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
