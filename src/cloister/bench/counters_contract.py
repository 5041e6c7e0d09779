"""Counters: a transaction that is lost, or counted twice, shows in the end."""

from __future__ import annotations

from cloister.contract import Contract, TransactionContext, query


class Counters(Contract):
    """Every counter begins at nothing."""

    async def add(self, ctx: TransactionContext, counter: str) -> int:
        """One more; what it is then."""
        value = int(await ctx.get_stub().get_state(counter) or b"0") + 1
        await ctx.get_stub().put_state(counter, str(value))
        return value

    @query
    async def read(self, ctx: TransactionContext, counter: str) -> int:
        """What it is."""
        return int(await ctx.get_stub().get_state(counter) or b"0")
