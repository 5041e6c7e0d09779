"""A key-value store: the smallest contract with state."""

from __future__ import annotations

from cloister.contract import Contract, TransactionContext, query


class KeyValueStore(Contract):
    """Values are text. An absent key reads as empty."""

    async def put_state(self, ctx: TransactionContext, key: str, value: str) -> str:
        """Store a value."""
        await ctx.get_stub().put_state(key, value)
        return "OK"

    @query
    async def get_state(self, ctx: TransactionContext, key: str) -> str:
        """The value, or nothing."""
        return (await ctx.get_stub().get_state(key)).decode()

    async def del_state(self, ctx: TransactionContext, key: str) -> str:
        """Remove a key."""
        await ctx.get_stub().delete_state(key)
        return "OK"
