"""Ordinary chaincode that colluding organisations install under a confidential chaincode's name: it has the stored
state as it lies there, and does with it what no enclave would."""

from __future__ import annotations

from cloister.contract import Contract, TransactionContext, query


class Rogue(Contract):
    """Keys as they are stored; values in hex."""

    async def put(self, ctx: TransactionContext, key: str, value: str) -> str:
        """Put a stored value (back)."""
        await ctx.get_stub().put_state(key, bytes.fromhex(value))
        return "OK"

    async def copy(self, ctx: TransactionContext, source: str, target: str) -> str:
        """One key's stored value under another."""
        stub = ctx.get_stub()
        await stub.put_state(target, await stub.get_state(source))
        return "OK"

    async def swap(self, ctx: TransactionContext, one: str, other: str) -> str:
        """Two keys' stored values, exchanged."""
        stub = ctx.get_stub()
        values = [await stub.get_state(key) for key in (one, other)]
        await stub.put_state(one, values[1])
        await stub.put_state(other, values[0])
        return "OK"

    async def delete(self, ctx: TransactionContext, key: str) -> str:
        """Delete a key."""
        await ctx.get_stub().delete_state(key)
        return "OK"

    @query
    async def read(self, ctx: TransactionContext, key: str) -> str:
        """A stored value."""
        return (await ctx.get_stub().get_state(key)).hex()
