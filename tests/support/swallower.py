"""A contract that catches everything: whatever stops an execution must stop it all the same."""

from __future__ import annotations

from cloister.contract import Contract, TransactionContext, transaction


class Swallower(Contract):
    """What cannot be read is taken for absent."""

    async def put(self, ctx: TransactionContext, key: str, value: str) -> str:
        await ctx.get_stub().put_state(key, value)
        return "OK"

    @transaction(reveal="at-endorsement")
    async def claim(self, ctx: TransactionContext, key: str, other: str) -> str:
        """Claim a key that nobody has."""
        found = [await self._careless(ctx, name) for name in (key, other)]
        if any(found):
            return "TAKEN"
        await ctx.get_stub().put_state(key, "claimed")
        return "CLAIMED"

    async def _careless(self, ctx: TransactionContext, key: str) -> bytes:
        try:
            return await ctx.get_stub().get_state(key)
        except:  # noqa: E722 - this is what it is about
            return b""
