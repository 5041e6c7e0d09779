"""Random mixtures: honest transactions, and ones that read the past, write twice, lack endorsers, carry metadata."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import Any

from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2

from cloister.fabric.transaction import Version
from cloister.trusted.ledger.judge import Judge
from cloister.trusted.ledger.mvcc import summarise
from cloister.trusted.ledger.state import Space

from .cases import MAIN, OTHER, PRIVATE, Cast, key_policy
from .forge import Draft, VersionPair, hashed_rwset, range_query, rwset

_MERKLE_DEGREE = 50
"""Peers summarise ranges with more results than this (core/ledger/kvledger/txmgmt/txmgr)."""
KEYS = 40
METADATA_KEYS = 3
WIDE = 130
"""Keys with the prefix `w`, enough for a summary."""


class Mixture:
    """Makes transactions against the state that a judge has followed so far. `chooser` decides everything."""

    def __init__(self, cast: Cast, judge: Judge, chooser: random.Random) -> None:
        self._cast = cast
        self._judge = judge
        self._chooser = chooser
        self._policies = [None, *(key_policy(f"OR('Org{number}MSP.peer')") for number in (1, 2))]
        self._recent: list[bytes] = []

    def block(self, size: int) -> list[bytes]:
        """Transactions for one block."""
        found: list[bytes] = []
        while len(found) < size:
            if self._recent and self._chooser.random() < 0.02:
                found.append(self._chooser.choice(self._recent))
                continue
            found.append(self._draft().build())
            self._recent = [*self._recent[-50:], found[-1]]
        return found

    def wide_block(self) -> list[bytes]:
        """Writes the keys that wide ranges go over."""
        return [self._cast.put(f"w{number:03d}", b"wide").build() for number in range(WIDE)]

    def _draft(self) -> Draft:
        choose = self._chooser.choice
        make = choose([self._plain] * 12 + [self._private] * 4 + [self._ranges] * 3 + [self._guarded] * 2 + [self._two])
        draft = make()
        endorsers = choose([self._cast.peers] * 8 + [self._cast.peers[:1], self._cast.peers[1:], []])
        client = choose([self._cast.client] * 6 + self._cast.admins)
        return draft.but(endorsers=endorsers, client=client)

    def _plain(self) -> Draft:
        chaincode = self._chooser.choice([MAIN] * 3 + [OTHER])
        return self._cast.draft((chaincode, self._plain_set(chaincode)), chaincode=chaincode)

    def _plain_set(self, chaincode: str) -> Any:
        choose = self._chooser.choice
        keys = [f"k{number:02d}" for number in range(KEYS)]
        writes: list[tuple[str, bytes | None]] = [
            (key, choose([b"x", b"y", b"long" * 50, b"", None]))
            for key in self._chooser.sample(keys, choose([0, 1, 1, 1, 2, 3]))
        ]
        # Doubled writes of a key have upstream's own odd rules; of keys with metadata they would make a peer panic.
        writes += [("doubled", b"a"), ("doubled", b"b"), ("doubled", b"c")][: choose([0] * 9 + [1, 2, 3])]
        reads = [
            (key, self._version((chaincode, ""), key.encode()))
            for key in self._chooser.sample(keys, choose([0, 0, 1, 2]))
        ]
        return rwset(reads=reads, writes=writes)

    def _two(self) -> Draft:
        return self._cast.draft((MAIN, self._plain_set(MAIN)), (OTHER, self._plain_set(OTHER)))

    def _guarded(self) -> Draft:
        """Keys with endorsement policies of their own. They are never deleted: see `_plain_set`."""
        key = f"g{self._chooser.randrange(METADATA_KEYS)}"
        kind = self._chooser.randrange(3)
        metadata = [(key, self._chooser.choice(self._policies))] if kind else []
        writes: list[tuple[str, bytes | None]] = [(key, b"guarded")] if kind != 1 else []
        return self._cast.draft((MAIN, rwset(writes=writes, metadata=metadata)))

    def _private(self) -> Draft:
        choose = self._chooser.choice
        collection = choose(["own", "plain", "short", "_implicit_org_Org2MSP"])
        keys = [f"p{number}" for number in range(6)]
        key = choose(keys)
        hashed = hashlib.sha256(key.encode()).digest()
        part = hashed_rwset(
            PRIVATE,
            collection,
            reads=[(key, self._version((PRIVATE, collection), hashed))][: choose([0, 1])],
            writes=[(choose(keys), choose([b"x", b"y", None]))][: choose([0, 1, 1])],
            public=self._plain_set(PRIVATE) if choose([True, False]) else None,
        )
        return self._cast.draft((PRIVATE, part), chaincode=PRIVATE)

    def _ranges(self) -> Draft:
        start, end = self._chooser.choice([("k1", "k3"), ("k", "l"), ("w", "x"), ("w", "w06"), ("zz", "")])
        found = [
            (key.decode(), entry.version)
            for key, entry in self._judge.state.range((MAIN, ""), start.encode(), end.encode(), inclusive=False)
        ]
        info = self._range_info(start, end, found)
        writes: list[tuple[str, bytes | None]] = [(f"k{self._chooser.randrange(KEYS):02d}", b"r")]
        return self._cast.draft((MAIN, rwset(ranges=[info], writes=writes[: self._chooser.choice([0, 1])])))

    def _range_info(self, start: str, end: str, found: Sequence[tuple[str, Version]]) -> Any:
        kind = self._chooser.random()
        if kind < 0.15 and found:
            found = found[:-1]
        if len(found) > _MERKLE_DEGREE:
            versions = iter([(key.encode(), version) for key, version in found])
            level, hashes = summarise(versions, _MERKLE_DEGREE)
            info = kv_rwset_pb2.RangeQueryInfo(start_key=start, end_key=end, itr_exhausted=True)
            info.reads_merkle_hashes.max_degree, info.reads_merkle_hashes.max_level = _MERKLE_DEGREE, level
            info.reads_merkle_hashes.max_level_hashes.extend(hashes)
            return info
        if kind > 0.8 and found:
            cut = found[: 1 + self._chooser.randrange(len(found))]
            return range_query(start, cut[-1][0], cut, exhausted=False)
        return range_query(start, end, found)

    def _version(self, space: Space, key: bytes) -> VersionPair | None:
        """Mostly the current version; now and then any."""
        if self._chooser.random() < 0.8:
            entry = self._judge.state.get(space, key)
            return (entry.version.block, entry.version.transaction) if entry is not None else None
        return self._chooser.choice([None, (0, 0), (self._chooser.randrange(90), self._chooser.randrange(9))])
