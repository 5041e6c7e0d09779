"""Counts: whatever is done twice or not at all shows."""

from __future__ import annotations

from cloister.contract import Contract, TransactionContext, query


class Counter(Contract):
    """One counter per name."""

    async def increment(self, ctx: TransactionContext, name: str) -> int:
        value = int(await ctx.get_stub().get_state(name) or b"0") + 1
        await ctx.get_stub().put_state(name, str(value))
        return value

    @query
    async def value(self, ctx: TransactionContext, name: str) -> int:
        return int(await ctx.get_stub().get_state(name) or b"0")
