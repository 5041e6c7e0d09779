"""Following a chain in groups gives what following it block by block gives, up to the block that is refused."""

from __future__ import annotations

import contextlib

import pytest

from cloister.ledger.follow import all_cores, follow_all
from cloister.network import Network
from cloister.trusted.ledger.errors import LedgerHalted
from cloister.trusted.ledger.judge import BlockVerdict, Judge, start
from ledger.conftest import fetch_blocks

pytestmark = pytest.mark.fabric


async def test_groups_give_the_same_verdicts_and_stop_at_the_same_block(
    ledger_network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = (await fetch_blocks(ledger_network))[:8]
    whole, _ = start(blocks[0])
    expected = [whole.follow(block) for block in blocks[1:]]
    for size in (1, 10_000, 10_000_000):
        monkeypatch.setattr("cloister.ledger.follow.GROUP_BYTES", size)
        judge, found = follow(blocks)
        assert (found, judge.last_hash) == (expected, whole.last_hash)
        for bad in (b"\xff", blocks[5]):
            judge, found = follow([*blocks[:4], bad, *blocks[5:]])
            assert (found, judge.height) == (expected[:3], 4)


def follow(chain: list[bytes]) -> tuple[Judge, list[BlockVerdict]]:
    """The judge at the end, or where it halted, and its verdicts."""
    judge, _ = start(chain[0])
    found: list[BlockVerdict] = []
    with all_cores() as checker, contextlib.suppress(LedgerHalted):
        for _, verdict in follow_all(judge, chain[1:], checker):
            found.append(verdict)
    return judge, found
