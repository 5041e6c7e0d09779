"""The channel's own time: the median over organisations of the latest timestamp that each has committed.

An enclave has no clock that it may trust, and a timestamp is its client's claim; so no single organisation can move
this time, and nothing rests on it but the age of attestation collateral. An observer of the judge.
"""

from __future__ import annotations

from fabric_protos.msp import identities_pb2

from cloister.errors import MalformedInput
from cloister.fabric.decoding import decode_message

from .state import State
from .transaction import Transaction
from .updates import BlockUpdates

MAX_SECONDS = 2**40


class ChannelTime:
    """`latest`: MSP ID → seconds since 1970."""

    def __init__(self) -> None:
        self.latest: dict[str, int] = {}
        self._pending: dict[str, int] = {}

    def begin(self, number: int) -> None:
        """A block is being judged."""
        del number
        self._pending = {}

    def valid(self, transaction: Transaction, state: State, updates: BlockUpdates) -> bool:
        """Note a valid transaction's timestamp. It covers nothing."""
        del state, updates
        seconds = transaction.timestamp[0]
        msp_id = _msp_id(transaction.creator.identity) if transaction.creator is not None else ""
        if 0 < seconds < MAX_SECONDS and seconds > self._pending.get(msp_id, 0):
            self._pending[msp_id] = seconds
        return False

    def commit(self, number: int, state: State, updates: BlockUpdates) -> None:
        """The block is accepted."""
        del number, state, updates
        for msp_id, seconds in self._pending.items():
            self.latest[msp_id] = max(seconds, self.latest.get(msp_id, 0))
        self._pending = {}

    def now_s(self, members: set[str]) -> int:
        """The median over those members that have committed anything (of two the lesser), 0 if none has."""
        known = sorted(seconds for msp_id, seconds in self.latest.items() if msp_id in members)
        return known[(len(known) - 1) // 2] if known else 0


def _msp_id(identity: bytes) -> str:
    try:
        return str(decode_message(identities_pb2.SerializedIdentity(), identity, "identity").mspid)
    except MalformedInput:
        return ""
