"""Payments between members, some of them held back until a condition is met.

Each member has an account; the bank, named when the contract is initialised, puts money in. `lock` takes an amount from
the payer's account and holds it for a payee under the hash of a secret; whoever shows the secret in time releases it to
the payee, after the deadline the payer takes it back. A deal ends once: released or refunded, never both. Amounts are
whole numbers. Balances are each owner's own to see.

Time is the bank's clock, advanced by `tick`: a transaction's timestamp is its client's claim.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from cloister.contract import Contract, TransactionContext, TransactionError, query

BANK = "bank"
CLOCK = "clock"
ACCOUNT = "account"
DEAL = "deal"
HELD = "held"


class Escrow(Contract):
    """A member's id is what `whoami` answers them."""

    async def init(self, ctx: TransactionContext) -> str:
        """Make the caller the bank. Once."""
        stub = ctx.get_stub()
        if await stub.get_state(BANK):
            raise TransactionError("there is a bank already")
        await stub.put_state(BANK, _caller(ctx))
        await stub.put_state(CLOCK, "0")
        return "OK"

    async def issue(self, ctx: TransactionContext, member: str, amount: int) -> str:
        """The bank puts money into a member's account."""
        await self._require_bank(ctx)
        await self._put_balance(ctx, member, await self._balance(ctx, member) + _positive(amount))
        return "OK"

    async def tick(self, ctx: TransactionContext) -> int:
        """The bank advances the clock by one; the time from now on."""
        await self._require_bank(ctx)
        time = await self._time(ctx) + 1
        await ctx.get_stub().put_state(CLOCK, str(time))
        return time

    async def pay(self, ctx: TransactionContext, payee: str, amount: int) -> str:
        """Pay at once."""
        payer = _caller(ctx)
        if payee == payer:
            raise TransactionError("payer and payee are the same")
        await self._withdraw(ctx, payer, _positive(amount))
        await self._put_balance(ctx, payee, await self._balance(ctx, payee) + amount)
        return "OK"

    async def lock(
        self, ctx: TransactionContext, deal: str, payee: str, amount: int, secret_hash: str, until: int
    ) -> str:
        """Hold an amount of the caller's for a payee; `secret_hash` is the SHA-256 of a secret, hex."""
        stub, payer = ctx.get_stub(), _caller(ctx)
        if payee == payer:
            raise TransactionError("payer and payee are the same")
        key = stub.create_composite_key(DEAL, [deal])
        if await stub.get_state(key):
            raise TransactionError("there is such a deal already")
        if until <= await self._time(ctx):
            raise TransactionError("the deadline is over already")
        await self._withdraw(ctx, payer, _positive(amount))
        held = {"payer": payer, "payee": payee, "amount": amount, "hash": secret_hash.lower(), "until": until}
        await stub.put_state(key, json.dumps({**held, "status": HELD}))
        return "OK"

    async def release(self, ctx: TransactionContext, deal: str, secret: str) -> str:
        """Give a held amount to its payee: whoever shows the secret before the deadline."""
        found = await self._held(ctx, deal)
        if await self._time(ctx) >= found["until"]:
            raise TransactionError("the deadline is over")
        if hashlib.sha256(secret.encode()).hexdigest() != found["hash"]:
            raise TransactionError("not the secret")
        await self._end(ctx, deal, found, "released", found["payee"])
        return "OK"

    async def refund(self, ctx: TransactionContext, deal: str) -> str:
        """The payer takes a held amount back after the deadline."""
        found = await self._held(ctx, deal)
        if found["payer"] != _caller(ctx):
            raise TransactionError("only the payer can take it back")
        if await self._time(ctx) < found["until"]:
            raise TransactionError("the deadline is not over yet")
        await self._end(ctx, deal, found, "refunded", found["payer"])
        return "OK"

    @query
    async def balance(self, ctx: TransactionContext) -> int:
        """The caller's own."""
        return await self._balance(ctx, _caller(ctx))

    @query
    async def whoami(self, ctx: TransactionContext) -> str:
        """The caller's id."""
        return _caller(ctx)

    async def _held(self, ctx: TransactionContext, deal: str) -> dict[str, Any]:
        stored = await ctx.get_stub().get_state(ctx.get_stub().create_composite_key(DEAL, [deal]))
        found: dict[str, Any] = json.loads(stored) if stored else {}
        if found.get("status") != HELD:
            raise TransactionError("nothing is held for such a deal")
        return found

    async def _end(self, ctx: TransactionContext, deal: str, found: dict[str, Any], status: str, to: str) -> None:
        stub = ctx.get_stub()
        await stub.put_state(stub.create_composite_key(DEAL, [deal]), json.dumps({**found, "status": status}))
        await self._put_balance(ctx, to, await self._balance(ctx, to) + found["amount"])

    async def _withdraw(self, ctx: TransactionContext, member: str, amount: int) -> None:
        left = await self._balance(ctx, member) - amount
        if left < 0:
            raise TransactionError("not enough money")
        await self._put_balance(ctx, member, left)

    async def _balance(self, ctx: TransactionContext, member: str) -> int:
        stub = ctx.get_stub()
        return int((await stub.get_state(stub.create_composite_key(ACCOUNT, [member]))) or b"0")

    async def _put_balance(self, ctx: TransactionContext, member: str, amount: int) -> None:
        stub = ctx.get_stub()
        await stub.put_state(stub.create_composite_key(ACCOUNT, [member]), str(amount))

    async def _time(self, ctx: TransactionContext) -> int:
        return int((await ctx.get_stub().get_state(CLOCK)) or b"0")

    async def _require_bank(self, ctx: TransactionContext) -> None:
        if (await ctx.get_stub().get_state(BANK)).decode() != _caller(ctx):
            raise TransactionError("only the bank may do this")


def _positive(amount: int) -> int:
    if amount <= 0:
        raise TransactionError("an amount must be above zero")
    return amount


def _caller(ctx: TransactionContext) -> str:
    """MSP ID and subject with issuer: stays the same when the certificate is renewed."""
    identity = ctx.get_client_identity()
    return f"{identity.get_mspid()}:{identity.get_distinguished_id()}"
