// The key-value store of src/cloister/samples/kv.py for Hyperledger's Node contract API.

'use strict';
const { Contract } = require('fabric-contract-api');

class KeyValueStore extends Contract {
    async put_state(ctx, key, value) {
        await ctx.stub.putState(key, Buffer.from(value));
        return 'OK';
    }

    async get_state(ctx, key) {
        return (await ctx.stub.getState(key)).toString();
    }

    async del_state(ctx, key) {
        await ctx.stub.deleteState(key);
        return 'OK';
    }
}

exports.contracts = [KeyValueStore];
