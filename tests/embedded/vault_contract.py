"""A contract as an author has it beside the tests."""

from __future__ import annotations

from cloister.contract import Contract, TransactionContext, TransactionError, query


class Vault(Contract):
    """Everyone may store one secret; only its owner can read it."""

    async def store(self, ctx: TransactionContext, secret: str) -> str:
        await ctx.get_stub().put_state(self._key(ctx), secret)
        return "OK"

    @query
    async def read(self, ctx: TransactionContext) -> str:
        secret = await ctx.get_stub().get_state(self._key(ctx))
        if not secret:
            raise TransactionError("nothing stored")
        return secret.decode()

    def _key(self, ctx: TransactionContext) -> str:
        caller = ctx.get_client_identity()
        return ctx.get_stub().create_composite_key("vault", [caller.get_mspid(), caller.get_distinguished_id()])
