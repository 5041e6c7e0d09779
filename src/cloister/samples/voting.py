"""A poll with sealed ballots: each voter once, the tally only after the close, every voter can check their own.

A voter is a member of the channel with a certificate of their own. Ballots are separate keys named by their voters, so
they never conflict. `tally` is revealed on commit: nobody learns an interim result, and nobody can close a poll, look
and throw that away: the tally reads the committed close. A ballot cannot be changed; its receipt, the id of the
transaction that cast it, is checked by its voter with `check` and by anybody against the chain: a valid transaction.
"""

from __future__ import annotations

import json
from typing import Any

from cloister.contract import Contract, TransactionContext, TransactionError, query

POLL = "poll"
BALLOT = "ballot"
OPEN = "open"
CLOSED = "closed"


class Voting(Contract):
    """Whoever creates a poll owns it: only the owner can close it."""

    async def create(self, ctx: TransactionContext, poll: str, choices: list[str]) -> str:
        """Open a poll with two or more choices, all different."""
        if len(choices) < 2 or len(set(choices)) != len(choices):
            raise TransactionError("a poll needs two or more choices, all different")
        if await self._load(ctx, poll) is not None:
            raise TransactionError("there is such a poll already")
        await self._store(ctx, poll, {"owner": _caller(ctx), "choices": choices, "status": OPEN})
        return "OK"

    async def vote(self, ctx: TransactionContext, poll: str, choice: str) -> str:
        """Cast the caller's one ballot. Answers its receipt: keep it, `check` asks for it."""
        found = await self._open(ctx, poll)
        stub = ctx.get_stub()
        key = stub.create_composite_key(BALLOT, [poll, _caller(ctx)])
        if await stub.get_state(key):
            raise TransactionError("you have voted already")
        if choice not in found["choices"]:  # after the reads: which keys are touched must not depend on the choice
            raise TransactionError("no such choice")
        receipt = stub.get_txid()
        await stub.put_state(key, json.dumps({"choice": choice, "receipt": receipt}))
        return receipt

    async def close(self, ctx: TransactionContext, poll: str) -> str:
        """End a poll: no more ballots."""
        found = await self._open(ctx, poll)
        if found["owner"] != _caller(ctx):
            raise TransactionError("only the owner of the poll may close it")
        await self._store(ctx, poll, {**found, "status": CLOSED})
        return "OK"

    async def tally(self, ctx: TransactionContext, poll: str) -> str:
        """How many ballots each choice has in a closed poll, as JSON."""
        found = await self._closed(ctx, poll)
        counts = dict.fromkeys(found["choices"], 0)
        rows = await ctx.get_stub().get_state_by_partial_composite_key(BALLOT, [poll])
        async for row in rows:
            counts[json.loads(row.value)["choice"]] += 1
        return json.dumps(counts)

    @query
    async def check(self, ctx: TransactionContext, poll: str, receipt: str) -> str:
        """The caller's own ballot, as it is counted: for its voter alone, while the poll is open too."""
        stub = ctx.get_stub()
        if await self._load(ctx, poll) is None:
            raise TransactionError("no such poll")
        ballot = await stub.get_state(stub.create_composite_key(BALLOT, [poll, _caller(ctx)]))
        if not ballot or json.loads(ballot)["receipt"] != receipt:
            raise TransactionError("no ballot of yours with this receipt")
        choice: str = json.loads(ballot)["choice"]
        return choice

    async def _open(self, ctx: TransactionContext, poll: str) -> dict[str, Any]:
        found = await self._load(ctx, poll)
        if found is None or found["status"] != OPEN:
            raise TransactionError("no such poll is open")
        return found

    async def _closed(self, ctx: TransactionContext, poll: str) -> dict[str, Any]:
        found = await self._load(ctx, poll)
        if found is None or found["status"] != CLOSED:
            raise TransactionError("the poll is not closed")
        return found

    async def _load(self, ctx: TransactionContext, poll: str) -> dict[str, Any] | None:
        stub = ctx.get_stub()
        stored = await stub.get_state(stub.create_composite_key(POLL, [poll]))
        found: dict[str, Any] | None = json.loads(stored) if stored else None
        return found

    async def _store(self, ctx: TransactionContext, poll: str, found: dict[str, Any]) -> None:
        stub = ctx.get_stub()
        await stub.put_state(stub.create_composite_key(POLL, [poll]), json.dumps(found))


def _caller(ctx: TransactionContext) -> str:
    """MSP ID and subject with issuer: stays the same when the certificate is renewed."""
    identity = ctx.get_client_identity()
    return f"{identity.get_mspid()}:{identity.get_distinguished_id()}"
