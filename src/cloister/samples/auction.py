"""A sealed-bid auction: bids stay sealed until the auction is closed; then the highest bid and its bidder are told.

Functions and answers are those of the well-known auction sample of Fabric Private Chaincode.
Bids are separate keys, so concurrent bids of different bidders never conflict; each bid reads the auction's state, so
a bid that races with `close` loses.
"""

from __future__ import annotations

import json

from cloister.contract import Contract, TransactionContext, TransactionError

HOUSE = "house"
AUCTION = "auction"
BID = "bid"
OPEN = "open"
CLOSED = "closed"


class Auction(Contract):
    """`init` names the auction house once; every other function needs it."""

    async def init(self, ctx: TransactionContext, house: str) -> str:
        """Open the auction house. Doing it again with the same name is harmless."""
        present = await ctx.get_stub().get_state(HOUSE)
        if present and present.decode() != house:
            raise TransactionError("the auction house is initialised already")
        await ctx.get_stub().put_state(HOUSE, house)
        return "OK"

    async def create(self, ctx: TransactionContext, auction: str) -> str:
        """Create an auction, open for bids."""
        if await self._status(ctx, auction) is not None:
            return "AUCTION_ALREADY_EXISTING"
        await self._set_status(ctx, auction, OPEN)
        return "OK"

    async def submit(self, ctx: TransactionContext, auction: str, bidder: str, value: int) -> str:
        """Bid; a bidder's new bid replaces the old one."""
        status = await self._status(ctx, auction)
        if status is None:
            return "AUCTION_NOT_EXISTING"
        if status == CLOSED:
            return "AUCTION_ALREADY_CLOSED"
        if value < 0:
            raise TransactionError("a bid must not be negative")
        stub = ctx.get_stub()
        bid = json.dumps({"bidder": bidder, "value": value})
        await stub.put_state(stub.create_composite_key(BID, [auction, bidder]), bid)
        return "OK"

    async def close(self, ctx: TransactionContext, auction: str) -> str:
        """Close an auction: no more bids."""
        status = await self._status(ctx, auction)
        if status is None:
            return "AUCTION_NOT_EXISTING"
        if status == CLOSED:
            return "AUCTION_ALREADY_CLOSED"
        await self._set_status(ctx, auction, CLOSED)
        return "OK"

    async def eval(self, ctx: TransactionContext, auction: str) -> str:
        """The winner of a closed auction as JSON, or NO_BIDS, or DRAW if several bid the highest value."""
        status = await self._status(ctx, auction)
        if status is None:
            return "AUCTION_NOT_EXISTING"
        if status == OPEN:
            return "AUCTION_STILL_OPEN"
        rows = await ctx.get_stub().get_state_by_partial_composite_key(BID, [auction])
        bids = [json.loads(row.value) async for row in rows]
        if not bids:
            return "NO_BIDS"
        highest = max(bid["value"] for bid in bids)
        winners = [bid for bid in bids if bid["value"] == highest]
        return json.dumps(winners[0]) if len(winners) == 1 else "DRAW"

    async def _status(self, ctx: TransactionContext, auction: str) -> str | None:
        """open, closed, or None if there is no such auction. An error before `init`."""
        stub = ctx.get_stub()
        if not await stub.get_state(HOUSE):
            raise TransactionError("the auction house is not initialised: call init first")
        return (await stub.get_state(stub.create_composite_key(AUCTION, [auction]))).decode() or None

    async def _set_status(self, ctx: TransactionContext, auction: str, status: str) -> None:
        stub = ctx.get_stub()
        await stub.put_state(stub.create_composite_key(AUCTION, [auction]), status)
