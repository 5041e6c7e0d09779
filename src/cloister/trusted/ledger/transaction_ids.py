"""Every transaction id of the channel and where it stands.

Fabric's block index holds every transaction of every block, invalid ones and configurations too, under its id, and the
first one of an id wins (Fabric 2.5.9 common/ledger/blkstorage/blockindex.go); but for a valid one after a failed one in
one block: anybody could file a failing transaction under somebody else's id. The whole history must be kept, so an id
is kept as a keyed hash of 16 bytes and a position as one number: some 150 bytes per transaction.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

_KEY_BYTES, _POSITION_BYTES = 16, 16
_RECORD_BYTES = _KEY_BYTES + _POSITION_BYTES
_CODE_BITS, _INDEX_BITS = 8, 32
_VALID = 0


class Position(NamedTuple):
    """Where a transaction stands: block number, index in it, its verdict's number, whether a statement covers it."""

    block: int
    transaction: int
    code: int
    covered: bool


class TransactionIds:
    """Ids to positions. `salt` (up to 64 bytes, secret) keeps anybody from looking for ids with equal hashes."""

    def __init__(self, salt: bytes = b"") -> None:
        self.salt = salt
        self._positions: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._positions)

    def __contains__(self, transaction_id: str) -> bool:
        return self._key(transaction_id) in self._positions

    def find(self, transaction_id: str) -> Position | None:
        """Where the transaction stands, None if it is not known."""
        packed = self._positions.get(self._key(transaction_id))
        return _unpack(packed) if packed is not None else None

    def add(self, transaction_id: str, position: Position) -> None:
        """Note a transaction; an id that is known already keeps its first position, or its valid one of that block."""
        key = self._key(transaction_id)
        packed = self._positions.get(key)
        if packed is not None:
            first = _unpack(packed)
            if first.block != position.block or first.code == _VALID or position.code != _VALID:
                return
        self._positions[key] = _pack(position)

    def records(self) -> bytes:
        """Everything, for a checkpoint: 32 bytes a transaction."""
        return b"".join(key + packed.to_bytes(_POSITION_BYTES, "big") for key, packed in self._positions.items())

    def load(self, records: bytes) -> None:
        """Take over the records made under the same salt. Raises: ValueError on another length."""
        if len(records) % _RECORD_BYTES:
            raise ValueError("transaction ids: not a whole number of records")
        for start in range(0, len(records), _RECORD_BYTES):
            middle, end = start + _KEY_BYTES, start + _RECORD_BYTES
            self._positions[records[start:middle]] = int.from_bytes(records[middle:end], "big")

    def _key(self, transaction_id: str) -> bytes:
        return hashlib.blake2b(transaction_id.encode(), key=self.salt, digest_size=_KEY_BYTES).digest()


def _pack(position: Position) -> int:
    return (
        (position.block << _INDEX_BITS | position.transaction) << _CODE_BITS | position.code
    ) << 1 | position.covered


def _unpack(packed: int) -> Position:
    place, code = packed >> 1 + _CODE_BITS, packed >> 1 & 0xFF
    return Position(place >> _INDEX_BITS, place & 0xFFFFFFFF, code, bool(packed & 1))
