// What an ordinary client of Hyperledger's own does, against the network that a test gives it. Prints one JSON object.
// Input (first argument, JSON): endpoint, host, tlsCa, mspId, certificate, key (files), channel, chaincode.

import * as crypto from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as grpc from '@grpc/grpc-js';
import { connect, hash, signers } from '@hyperledger/fabric-gateway';

const given = JSON.parse(process.argv[2]);
const text = (bytes) => Buffer.from(bytes).toString('utf8');
const deadline = () => ({ deadline: Date.now() + 20_000 });

const client = new grpc.Client(given.endpoint, grpc.credentials.createSsl(readFileSync(given.tlsCa)), {
    'grpc.ssl_target_name_override': given.host,
});
const gateway = connect({
    client,
    identity: { mspId: given.mspId, credentials: readFileSync(given.certificate) },
    signer: signers.newPrivateKeySigner(crypto.createPrivateKey(readFileSync(given.key))),
    hash: hash.sha256,
    evaluateOptions: deadline,
    endorseOptions: deadline,
    submitOptions: deadline,
    commitStatusOptions: deadline,
});
const network = gateway.getNetwork(given.channel);
const contract = network.getContract(given.chaincode);
const result = {};

result.submitted = text(await contract.submitTransaction('put', 'colour', 'green'));
result.evaluated = text(await contract.evaluateTransaction('get', 'colour'));
result.whoami = text(await contract.evaluateTransaction('whoami'));
result.transient = text(await contract.evaluate('transient', { transientData: { a: 'one', b: 'two' } }));

// Offline signing: what a wallet apart from the client does.
const unsigned = contract.newProposal('increment', { arguments: ['count'] });
const proposal = gateway.newProposal(unsigned.getBytes());
result.sameId = proposal.getTransactionId() === unsigned.getTransactionId();
const transaction = await proposal.endorse();
const commit = await transaction.submit();
const status = await commit.getStatus();
result.increment = text(transaction.getResult());
result.status = { successful: status.successful, code: status.code, block: status.blockNumber.toString() };

// Events from the block of that transaction on.
const emitted = await contract.submitAsync('emit', { arguments: ['sold', 'for 7'] });
const emittedStatus = await emitted.getStatus();
const events = await network.getChaincodeEvents(given.chaincode, { startBlock: emittedStatus.blockNumber });
try {
    for await (const event of events) {
        result.event = {
            name: event.eventName,
            payload: text(event.payload),
            sameTransaction: event.transactionId === emittedStatus.transactionId,
        };
        break;
    }
} finally {
    events.close();
}

// Blocks by Deliver, whole and filtered.
const firstBlocks = await network.getBlockEvents({ startBlock: 0n });
try {
    for await (const block of firstBlocks) {
        result.genesisNumber = block.getHeader().getNumber();
        break;
    }
} finally {
    firstBlocks.close();
}
const filtered = await network.getFilteredBlockEvents({ startBlock: emittedStatus.blockNumber });
try {
    for await (const block of filtered) {
        result.filtered = block.getFilteredTransactionsList().some((item) => item.getTxid() === emittedStatus.transactionId);
        break;
    }
} finally {
    filtered.close();
}

// Errors with the peer's own words.
try {
    await contract.submitTransaction('fail', 'no such colour');
    result.error = 'none';
} catch (error) {
    result.error = { name: error.name, details: (error.details ?? []).map((item) => item.message).join('; ') };
}
try {
    await contract.evaluateTransaction('fail', 'no such size');
} catch (error) {
    result.evaluateError = { name: error.name, code: error.code, details: (error.details ?? []).map((item) => item.message).join('; ') };
}

gateway.close();
client.close();
console.log(JSON.stringify(result));
