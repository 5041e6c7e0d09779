// The auction of src/cloister/samples/auction.py for Hyperledger's Node contract API: same keys, same answers.

'use strict';
const { Contract } = require('fabric-contract-api');

const HOUSE = 'house', AUCTION = 'auction', BID = 'bid', OPEN = 'open', CLOSED = 'closed';

class Auction extends Contract {
    async init(ctx, house) {
        const present = (await ctx.stub.getState(HOUSE)).toString();
        if (present && present !== house) {
            throw new Error('the auction house is initialised already');
        }
        await ctx.stub.putState(HOUSE, Buffer.from(house));
        return 'OK';
    }

    async create(ctx, auction) {
        if (await this._status(ctx, auction)) {
            return 'AUCTION_ALREADY_EXISTING';
        }
        await this._setStatus(ctx, auction, OPEN);
        return 'OK';
    }

    async submit(ctx, auction, bidder, value) {
        const status = await this._status(ctx, auction);
        if (!status) {
            return 'AUCTION_NOT_EXISTING';
        }
        if (status === CLOSED) {
            return 'AUCTION_ALREADY_CLOSED';
        }
        const amount = Number(value);
        if (!Number.isSafeInteger(amount) || amount < 0) {
            throw new Error('a bid must not be negative');
        }
        const bid = JSON.stringify({ bidder, value: amount });
        await ctx.stub.putState(ctx.stub.createCompositeKey(BID, [auction, bidder]), Buffer.from(bid));
        return 'OK';
    }

    async close(ctx, auction) {
        const status = await this._status(ctx, auction);
        if (!status) {
            return 'AUCTION_NOT_EXISTING';
        }
        if (status === CLOSED) {
            return 'AUCTION_ALREADY_CLOSED';
        }
        await this._setStatus(ctx, auction, CLOSED);
        return 'OK';
    }

    async eval(ctx, auction) {
        const status = await this._status(ctx, auction);
        if (!status) {
            return 'AUCTION_NOT_EXISTING';
        }
        if (status === OPEN) {
            return 'AUCTION_STILL_OPEN';
        }
        const bids = [];
        for await (const row of ctx.stub.getStateByPartialCompositeKey(BID, [auction])) {
            bids.push(JSON.parse(row.value.toString()));
        }
        if (!bids.length) {
            return 'NO_BIDS';
        }
        const highest = bids.reduce((most, bid) => Math.max(most, bid.value), 0);
        const winners = bids.filter((bid) => bid.value === highest);
        return winners.length === 1 ? JSON.stringify(winners[0]) : 'DRAW';
    }

    async _status(ctx, auction) {
        if (!(await ctx.stub.getState(HOUSE)).length) {
            throw new Error('the auction house is not initialised: call init first');
        }
        return (await ctx.stub.getState(ctx.stub.createCompositeKey(AUCTION, [auction]))).toString();
    }

    async _setStatus(ctx, auction, status) {
        await ctx.stub.putState(ctx.stub.createCompositeKey(AUCTION, [auction]), Buffer.from(status));
    }
}

exports.contracts = [Auction];
