"""One secret and the list of those who may see or change it. Callers are their verified certificate identities."""

from __future__ import annotations

import json

from cloister.contract import Contract, TransactionContext, TransactionError, query

USERS = "users"
SECRET = "secret"  # noqa: S105 - the name of a key, not a secret


class SecretKeeper(Contract):
    """Whoever calls `init` first is the first user. A user's id is what `whoami` answers them."""

    async def init(self, ctx: TransactionContext) -> str:
        """Make the caller the only user. Once."""
        if await ctx.get_stub().get_state(USERS):
            raise TransactionError("the secret keeper is initialised already")
        await self._store_users(ctx, [_caller(ctx)])
        return "OK"

    async def lock_secret(self, ctx: TransactionContext, secret: str) -> str:
        """Replace the secret."""
        await self._authorise(ctx)
        await ctx.get_stub().put_state(SECRET, secret)
        return "OK"

    async def reveal_secret(self, ctx: TransactionContext) -> str:
        """The secret, for users only."""
        await self._authorise(ctx)
        return (await ctx.get_stub().get_state(SECRET)).decode()

    async def add_user(self, ctx: TransactionContext, user: str) -> str:
        """Let another one in."""
        users = await self._authorise(ctx)
        await self._store_users(ctx, sorted({*users, user}))
        return "OK"

    async def remove_user(self, ctx: TransactionContext, user: str) -> str:
        """Shut one out; the last one stays."""
        users = await self._authorise(ctx)
        if user not in users:
            raise TransactionError("no such user")
        if len(users) == 1:
            raise TransactionError("the last user cannot be removed")
        await self._store_users(ctx, [other for other in users if other != user])
        return "OK"

    @query
    async def whoami(self, ctx: TransactionContext) -> str:
        """The caller's user id."""
        return _caller(ctx)

    async def _authorise(self, ctx: TransactionContext) -> list[str]:
        """The users, if the caller is one of them; before any other key is touched."""
        stored = await ctx.get_stub().get_state(USERS)
        if not stored:
            raise TransactionError("the secret keeper is not initialised: call init first")
        users: list[str] = json.loads(stored)
        if _caller(ctx) not in users:
            raise TransactionError("not authorised")
        return users

    async def _store_users(self, ctx: TransactionContext, users: list[str]) -> None:
        await ctx.get_stub().put_state(USERS, json.dumps(users))


def _caller(ctx: TransactionContext) -> str:
    """MSP ID and subject with issuer: stays the same when the certificate is renewed."""
    identity = ctx.get_client_identity()
    return f"{identity.get_mspid()}:{identity.get_distinguished_id()}"
