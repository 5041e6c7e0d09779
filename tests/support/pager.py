"""A contract that gives its callers pages of their own notes; where the next page begins they say themselves."""

from __future__ import annotations

import json
from typing import ClassVar

from cloister.contract import Contract, TransactionContext, query


class Pager(Contract):
    """Notes are in a clear key space, by owner; the master key is not."""

    clear_key_spaces: ClassVar[tuple[str, ...]] = ("note/",)

    async def write(self, ctx: TransactionContext, key: str, value: str) -> str:
        await ctx.get_stub().put_state(key, value)
        return "OK"

    @query
    async def notes(self, ctx: TransactionContext, owner: str, size: int, bookmark: str) -> str:
        stub = ctx.get_stub()
        start = f"note/{owner}/"
        rows = await stub.get_state_by_range_with_pagination(start, start + "\U0010ffff", size, bookmark)
        found = [row.value.decode() async for row in rows]
        return json.dumps({"notes": found, "bookmark": rows.metadata.bookmark})

    @query
    async def odd_notes(self, ctx: TransactionContext, owners: list[str], bookmarks: list[str]) -> str:
        """JSON text may hold what UTF-8 cannot."""
        return await self.notes(ctx, owners[0], 1, bookmarks[0])
