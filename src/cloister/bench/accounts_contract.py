"""Accounts between which money only moves: whoever reads all of them at one height finds the same total, always."""

from __future__ import annotations

from cloister.contract import Contract, TransactionContext, TransactionError, query

ACCOUNT = "account"
OPENING = 1_000


class Accounts(Contract):
    """An account that nobody has touched holds OPENING."""

    async def open(self, ctx: TransactionContext, names: list[str]) -> str:
        """Make accounts."""
        stub = ctx.get_stub()
        for name in names:
            await stub.put_state(stub.create_composite_key(ACCOUNT, [name]), str(OPENING))
        return "OK"

    async def move(self, ctx: TransactionContext, source: str, target: str, amount: int) -> str:
        """Move an amount; the source's new balance."""
        stub = ctx.get_stub()
        keys = [stub.create_composite_key(ACCOUNT, [name]) for name in (source, target)]
        balances = [await stub.get_state(key) for key in keys]
        if not all(balances) or source == target:
            raise TransactionError("two accounts are needed")
        left = int(balances[0]) - amount
        await stub.put_state(keys[0], str(left))
        await stub.put_state(keys[1], str(int(balances[1]) + amount))
        return str(left)

    async def audit(self, ctx: TransactionContext) -> str:
        """The total, in a transaction: it conflicts with whatever moves meanwhile."""
        return await self._total(ctx)

    @query
    async def total(self, ctx: TransactionContext) -> str:
        """The total, as of one height."""
        return await self._total(ctx)

    @query
    async def balance(self, ctx: TransactionContext, name: str) -> str:
        """One account's balance."""
        stub = ctx.get_stub()
        return (await stub.get_state(stub.create_composite_key(ACCOUNT, [name]))).decode()

    async def _total(self, ctx: TransactionContext) -> str:
        rows = await ctx.get_stub().get_state_by_partial_composite_key(ACCOUNT, [])
        return str(sum([int(row.value) async for row in rows]))
