"""Blocks in memory: in order, all of them, and never more than the bounds."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.ledger_service import blocks as blocks_module
from cloister.ledger_service.blocks import MAX_BATCH_BLOCKS, RecentBlocks, WaitingBlocks

SIZES = st.lists(st.integers(1, 400), min_size=1, max_size=300)


@given(SIZES)
def test_every_block_is_taken_once_and_in_order_within_the_bounds(sizes: list[int]) -> None:
    sent = [number.to_bytes(4, "big") * size for number, size in enumerate(sizes)]

    async def run() -> list[list[bytes]]:
        waiting = WaitingBlocks()
        batches: list[list[bytes]] = []

        async def send() -> None:
            for block in sent:
                await waiting.add(block)
                assert waiting._bytes <= blocks_module.WAITING_BYTES + len(block)

        sending = asyncio.create_task(send())
        while sum(len(batch) for batch in batches) < len(sent):
            batches.append(await waiting.take())
        await sending
        return batches

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks_module, "MAX_BATCH_BYTES", 1000)
        patch.setattr(blocks_module, "WAITING_BYTES", 2000)
        batches = asyncio.run(run())
    assert [block for batch in batches for block in batch] == sent
    for batch in batches:
        assert len(batch) <= MAX_BATCH_BLOCKS
        assert len(batch) == 1 or sum(map(len, batch)) <= 1000


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 300)), max_size=60))
def test_the_newest_blocks_are_kept_within_the_bounds(added: list[tuple[int, int]]) -> None:
    recent = RecentBlocks()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks_module, "KEPT_BLOCKS", 5)
        patch.setattr(blocks_module, "KEPT_BYTES", 1000)
        for number, size in added:
            recent.add(number, bytes(size))
            kept = [recent.get(number) for number in range(21)]
            found = [block for block in kept if block is not None]
            assert recent.get(number) == bytes(size)
            assert len(found) <= 5
            assert len(found) == 1 or sum(map(len, found)) <= 1000
