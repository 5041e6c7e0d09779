# mypy: ignore-errors
"""The auction of src/cloister/samples/auction.py for the package `fabric-chaincode-python`: same keys, same answers.

It differs in its imports, and in that this package stores bytes only and knows no TransactionError.
"""

from __future__ import annotations

import json

from fabric_chaincode_python.fabric_contract_api.contractapi import Contract, ContractChaincode, TransactionContext

HOUSE, AUCTION, BID, OPEN, CLOSED = "house", "auction", "bid", "open", "closed"


class Auction(Contract):
    """See the sample."""

    async def init(self, ctx: TransactionContext, house: str) -> str:
        present = await ctx.get_stub().get_state(HOUSE)
        if present and present.decode() != house:
            raise ValueError("the auction house is initialised already")
        await ctx.get_stub().put_state(HOUSE, house.encode())
        return "OK"

    async def create(self, ctx: TransactionContext, auction: str) -> str:
        if await self._status(ctx, auction) is not None:
            return "AUCTION_ALREADY_EXISTING"
        await self._set_status(ctx, auction, OPEN)
        return "OK"

    async def submit(self, ctx: TransactionContext, auction: str, bidder: str, value: int) -> str:
        status = await self._status(ctx, auction)
        if status is None:
            return "AUCTION_NOT_EXISTING"
        if status == CLOSED:
            return "AUCTION_ALREADY_CLOSED"
        if value < 0:
            raise ValueError("a bid must not be negative")
        stub = ctx.get_stub()
        bid = json.dumps({"bidder": bidder, "value": value})
        await stub.put_state(stub.create_composite_key(BID, [auction, bidder]), bid.encode())
        return "OK"

    async def close(self, ctx: TransactionContext, auction: str) -> str:
        status = await self._status(ctx, auction)
        if status is None:
            return "AUCTION_NOT_EXISTING"
        if status == CLOSED:
            return "AUCTION_ALREADY_CLOSED"
        await self._set_status(ctx, auction, CLOSED)
        return "OK"

    async def eval(self, ctx: TransactionContext, auction: str) -> str:
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
        stub = ctx.get_stub()
        if not await stub.get_state(HOUSE):
            raise ValueError("the auction house is not initialised: call init first")
        found = await stub.get_state(stub.create_composite_key(AUCTION, [auction]))
        return found.decode() if found else None

    async def _set_status(self, ctx: TransactionContext, auction: str, status: str) -> None:
        stub = ctx.get_stub()
        await stub.put_state(stub.create_composite_key(AUCTION, [auction]), status.encode())


if __name__ == "__main__":
    ContractChaincode.new_chaincode(Auction()).start()
