"""Judging many blocks: signatures on all cores, in groups of blocks, so that short blocks keep all of them busy too.

First all signatures of a group, on this thread and others, then the judge: Python threads that check signatures get
hardly anything done beside a thread that computes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from cloister.trusted.ledger.blocks import prepare_blocks
from cloister.trusted.ledger.errors import LedgerHalted
from cloister.trusted.ledger.identities import SignatureChecker, run_on
from cloister.trusted.ledger.judge import BlockVerdict, Judge

GROUP_BYTES = 256 * 1024
"""Encoded blocks that are prepared together: some 200 signatures; more would not stay in a processor's cache."""


@contextlib.contextmanager
def all_cores() -> Iterator[SignatureChecker]:
    """A checker that uses one thread per core, the calling one among them."""
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        yield SignatureChecker(run_on(lambda work: pool.submit(work).result, cores - 1))


def follow_all(
    judge: Judge, blocks: Iterable[bytes], checker: SignatureChecker
) -> Iterator[tuple[bytes, BlockVerdict]]:
    """Judge and commit serialised blocks, in order; each with its verdict. Raises: LedgerHalted at the bad one."""
    for group in _groups(blocks):
        try:
            prepared = prepare_blocks(group, checker)
        except LedgerHalted:  # one of them does not decode; those before it still count
            for encoded in group:
                yield encoded, judge.follow(encoded, checker)
            continue
        for encoded, block in zip(group, prepared, strict=True):
            judged = judge.judge(block)
            judge.commit(judged)
            yield encoded, judged.verdict


def _groups(blocks: Iterable[bytes]) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    size = 0
    for encoded in blocks:
        group.append(encoded)
        size += len(encoded)
        if size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
