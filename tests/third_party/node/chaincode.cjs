// A chaincode on Hyperledger's own Node shim, served as ccaas: every kind of request that a peer answers.
// Arguments: package id, address.

'use strict';
const shim = require('fabric-shim');

const reply = (value) => shim.success(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)));

async function rows(iterator) {
    const found = [];
    for (let step = await iterator.next(); !step.done; step = await iterator.next()) {
        found.push([step.value.key, step.value.value.toString()]);
    }
    await iterator.close();
    return found;
}

const functions = {
    put: async (stub, key, value) => { await stub.putState(key, Buffer.from(value)); return `stored ${key}`; },
    get: async (stub, key) => (await stub.getState(key)).toString(),
    delete: async (stub, key) => { await stub.deleteState(key); return 'deleted'; },
    range: async (stub, start, end) => rows(await stub.getStateByRange(start, end)),
    page: async (stub, start, end, size, bookmark) => {
        const { iterator, metadata } = await stub.getStateByRangeWithPagination(start, end, Number(size), bookmark);
        return { rows: await rows(iterator), count: metadata.fetchedRecordsCount, bookmark: metadata.bookmark };
    },
    putComposite: async (stub, value, type, ...parts) => {
        await stub.putState(stub.createCompositeKey(type, parts), Buffer.from(value));
        return 'stored';
    },
    partial: async (stub, type, ...parts) => {
        const found = await rows(await stub.getStateByPartialCompositeKey(type, parts));
        return found.map(([key, value]) => [stub.splitCompositeKey(key).attributes, value]);
    },
    history: async (stub, key) => {
        const iterator = await stub.getHistoryForKey(key);
        const found = [];
        for (let step = await iterator.next(); !step.done; step = await iterator.next()) {
            found.push([step.value.isDelete, step.value.value.toString()]);
        }
        await iterator.close();
        return found;
    },
    emit: async (stub, name, payload) => { stub.setEvent(name, Buffer.from(payload)); return 'emitted'; },
    call: async (stub, chaincode, ...args) => {
        const answer = await stub.invokeChaincode(chaincode, args, '');
        return `${answer.status}:${answer.payload.toString()}`;
    },
    whoami: async (stub) => stub.getCreator().mspid,
    readOwnWrite: async (stub, key, value) => {
        await stub.putState(key, Buffer.from(value));
        return (await stub.getState(key)).toString();
    },
};

class Everything {
    async Init() {
        return shim.success();
    }

    async Invoke(stub) {
        const { fcn, params } = stub.getFunctionAndParameters();
        if (!functions[fcn]) {
            return shim.error(Buffer.from(`no function ${fcn}`));
        }
        return reply(await functions[fcn](stub, ...params));
    }
}

const [, , ccid, address] = process.argv;
const server = shim.server(new Everything(), { ccid, address, tlsProps: null });
server.start().then(() => console.log('listening'));
