"""The judge beside a real peer and beside bare signature checks: the same ledger, the same cores, round by round.

Within a round judge and signature checks take turns every few blocks, so that other load on the machine hits both.
"""

from __future__ import annotations

import gc
import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from cloister.errors import CloisterError
from cloister.ledger.follow import all_cores, follow_all
from cloister.ledger.sources import open_source
from cloister.ledger.verify import verify_ledger
from cloister.trusted.ledger.blocks import prepare_blocks
from cloister.trusted.ledger.codes import Code
from cloister.trusted.ledger.identities import SignatureChecker, Task
from cloister.trusted.ledger.judge import start

from .catch_up import catch_up, ledger_folder
from .figures import Figure, figure, ratio
from .memory import Memory, measure_memory
from .recorded import FIRST_BLOCK, recorded_ledger

AIM_PEER, AIM_RAW = 1.5, 0.6
"""How much of a peer's rate, and of the raw rate, the judge is to reach: as medians over the rounds."""
_BATCH = 32
_TURN_BLOCKS = 10
_PREHASHED = ec.ECDSA(Prehashed(hashes.SHA256()))
Progress = Callable[[str], None]
RawTask = tuple[Any, bytes, bytes]
"""(public key, SHA-256 of the message, signature)."""


@dataclass(frozen=True, slots=True)
class LedgerFigures:
    """What came of it. Rates in transactions per second; `raw` counts as one transaction as many P-256 verifications as
    a transaction of the ledger has signatures."""

    fabric_version: str
    cores: int
    transactions: int
    blocks: int
    signatures: int
    rounds: int
    judge: Figure
    peer: Figure
    raw: Figure
    judge_to_peer: Figure
    judge_to_raw: Figure
    memory: Memory

    @property
    def reaches_peer(self) -> bool:
        """Whether the aim beside the peer is reached."""
        return self.judge_to_peer.median >= AIM_PEER

    @property
    def reaches_raw(self) -> bool:
        """Whether the aim beside the bare signature checks is reached."""
        return self.judge_to_raw.median >= AIM_RAW


def bench_ledger(folder: Path, *, transactions: int, rounds: int, keys: int, progress: Progress) -> LedgerFigures:
    """Record a ledger, or use the one in the folder; measure `rounds` times. Raises: CloisterError of many kinds."""
    seconds: dict[str, list[float]] = {"peer": [], "judge": [], "raw": []}
    with recorded_ledger(folder, transactions, progress) as ledger:
        blocks: list[bytes] = []
        tasks: list[list[RawTask]] = []
        for number in range(1, rounds + 1):
            progress(f"round {number} of {rounds}: a peer catches up")
            seconds["peer"].append(catch_up(ledger))
            if not blocks:
                blocks = _read(ledger_folder(ledger.network), transactions)
                tasks = [_raw_tasks(block) for block in blocks]
                gc.freeze()  # what is kept here is not for the judge's garbage collections to go through
            progress(f"round {number} of {rounds}: the judge, and signatures alone")
            judged, verified = _take_turns(blocks, tasks)
            seconds["judge"].append(judged)
            seconds["raw"].append(verified)
        version = ledger.network.layout.fabric_version
    progress(f"memory of {keys} keys")
    rates = {name: [transactions / item for item in items] for name, items in seconds.items()}
    return LedgerFigures(
        fabric_version=version,
        cores=os.cpu_count() or 1,
        transactions=transactions,
        blocks=len(blocks) - FIRST_BLOCK,
        signatures=sum(len(of_block) for of_block in tasks[FIRST_BLOCK:]),
        rounds=rounds,
        judge=figure(rates["judge"]),
        peer=figure(rates["peer"]),
        raw=figure(rates["raw"]),
        judge_to_peer=ratio(rates["judge"], rates["peer"]),
        judge_to_raw=ratio(rates["judge"], rates["raw"]),
        memory=measure_memory(keys),
    )


def _read(folder: Path, transactions: int) -> list[bytes]:
    """The peer's blocks. Raises: CloisterError unless judge and peer find all transactions valid, in the same state."""
    blocks = list(open_source(folder).blocks())
    report = verify_ledger(iter(blocks), genesis_hash=None, progress=lambda _: None)
    valid = report.codes[Code.VALID.name] - (FIRST_BLOCK - 1)
    if not report.clean or valid != transactions:
        raise CloisterError(
            f"judge and peer differ on the recorded ledger, or it is not sound: {valid} of {transactions} valid",
            hint=f"see `cloister ledger verify {folder}`",
        )
    return blocks


def _take_turns(blocks: Sequence[bytes], tasks: Sequence[Sequence[RawTask]]) -> tuple[float, float]:
    """Everything from FIRST_BLOCK on, on all cores: seconds to judge and commit it, commit hashes included, and seconds
    for nothing but the P-256 verifications."""
    judge, _ = start(blocks[0])
    for block in blocks[1:FIRST_BLOCK]:
        judge.follow(block)
    judged = verified = 0.0
    with all_cores() as checker, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for first in range(FIRST_BLOCK, len(blocks), _TURN_BLOCKS):
            turn = slice(first, first + _TURN_BLOCKS)
            signatures = [task for of_block in tasks[turn] for task in of_block]
            batches = [signatures[at : at + _BATCH] for at in range(0, len(signatures), _BATCH)]
            begun = time.perf_counter()
            deque(follow_all(judge, blocks[turn], checker), maxlen=0)
            between = time.perf_counter()
            deque(pool.map(_verify_batch, batches), maxlen=0)
            judged += between - begun
            verified += time.perf_counter() - between
    return judged, verified


def _raw_tasks(block: bytes) -> list[RawTask]:
    """Every signature of creators and endorsers, with its message hashed already."""
    found: list[RawTask] = []

    def collect(batches: Sequence[Sequence[Task]]) -> list[list[bool]]:
        found.extend(
            (verifier.key, hashlib.sha256(message).digest(), signature)
            for batch in batches
            for verifier, message, signature in batch
        )
        return [[True] * len(batch) for batch in batches]

    prepare_blocks([block], SignatureChecker(collect))
    return found


def _verify_batch(batch: Sequence[RawTask]) -> None:
    for key, digest, signature in batch:
        key.verify(signature, digest, _PREHASHED)
