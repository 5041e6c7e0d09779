"""A contract for the Gateway's conformance tests."""

from __future__ import annotations

from cloister.contract import Contract, TransactionContext, TransactionError, query


class Conformance(Contract):
    """Reads, writes, errors, events, transient data."""

    async def put(self, ctx: TransactionContext, key: str, value: str) -> str:
        await ctx.get_stub().put_state(key, value)
        return f"stored {key}"

    @query
    async def get(self, ctx: TransactionContext, key: str) -> str:
        return (await ctx.get_stub().get_state(key)).decode()

    async def increment(self, ctx: TransactionContext, key: str) -> int:
        value = int(await ctx.get_stub().get_state(key) or b"0") + 1
        await ctx.get_stub().put_state(key, str(value))
        return value

    async def fail(self, ctx: TransactionContext, text: str) -> str:
        raise TransactionError(text)

    async def emit(self, ctx: TransactionContext, name: str, payload: str) -> str:
        ctx.get_stub().set_event(name, payload)
        await ctx.get_stub().put_state(name, payload)
        return "emitted"

    async def transient(self, ctx: TransactionContext) -> str:
        return ",".join(f"{key}={value.decode()}" for key, value in sorted(ctx.get_stub().get_transient().items()))

    @query
    async def whoami(self, ctx: TransactionContext) -> str:
        return ctx.get_client_identity().get_mspid()
