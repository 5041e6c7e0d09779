"""Reveal on commit: the outcome of a committed transaction, out of its block and of nothing else (protocol.md 8).

Trust level: trusted. A stateless function of the chain: anyone may ask, only the holder of the response key that stands
in the committed request can read the answer. Never from anything the asker brings along: else one would commit a
harmless request and open another run under the same transaction id.
Steps: 1 the ledger enclave has the transaction as valid and covered · 2 the envelope, or the block, is the one that it
judged · 3 request and outcome are those in it · 4 reseal, sign. Works after upgrades: older keys are kept for it.
"""

from __future__ import annotations

import hashlib

from fabric_protos.peer import chaincode_pb2, proposal_pb2

from cloister.errors import MalformedInput, Refused
from cloister.fabric.block import Block, parse_block
from cloister.fabric.decoding import decode_message
from cloister.fabric.transaction import EndorsedTransaction, is_well_formed, parse_endorsed_transaction
from cloister.trusted.protocol.committed import CommitStatement, CommittedOutcome, outcome_hash
from cloister.trusted.protocol.outcome import decode_sealed_outcome
from cloister.trusted.protocol.questions import AskTransaction, TransactionAnswer
from cloister.trusted.protocol.request import Request, RequestScope, open_request, split_request
from cloister.trusted.protocol.sealing import open_response, response_selector, seal_response
from cloister.trusted.protocol.statement import REVEAL_ON_COMMIT, Checkpoint, decode_statement
from cloister.wire.messages import Opened

from .execution import Enclosure
from .keys import KeySet

_VALID = 0


async def open_committed(transaction_id: str, committed: bytes, enclosure: Enclosure) -> Opened:
    """The outcome of one committed transaction, for its caller alone; a coroutine to be driven by `Task`.

    `committed`: the transaction's envelope, if the ledger enclave still knows its hash, or the whole block.

    Raises: Refused (reason: ledger-behind, not-committed, block, key-set, sealed, integrity); MalformedInput; aborts.
    """
    await enclosure.session.go_on_from_floor()
    head, found = await enclosure.session.ask(
        AskTransaction(transaction_id), TransactionAnswer, any_definition=True
    )  # 1
    if not found.known:
        raise Refused("open refused: the ledger enclave does not know this transaction yet", reason="ledger-behind")
    if found.code != _VALID or not found.covered:
        raise Refused("open refused: the transaction is not valid, or no statement covers it", reason="not-committed")
    transaction = _transaction(committed, found, transaction_id)  # 2
    sealed = decode_sealed_outcome(transaction.action.payload)  # 3
    statement = decode_statement(sealed.statement)
    key_set = enclosure.ring.find(statement.key_set_id)
    is_ours = key_set is not None and statement.sequence == key_set.sequence  # whoever signed may claim any id
    if statement.chaincode != enclosure.place.chaincode or key_set is None or not is_ours:
        raise Refused("open refused: sealed under keys that are not here", reason="key-set")
    request = _committed_request(transaction, key_set, enclosure)
    on_commit = statement.reveal == REVEAL_ON_COMMIT
    content = open_response(
        response_key=key_set.outcome_key if on_commit else request.response_key,
        place=enclosure.place,
        transaction_id=transaction_id,
        sealed=sealed.ciphertext,
    )
    ciphertext = seal_response(  # 4; of what was revealed at endorsement it is the same again
        response_key=request.response_key,
        place=enclosure.place,
        transaction_id=transaction_id,
        selector=response_selector(sealed.ciphertext),
        content=content,
    )
    current = enclosure.ring.current
    commit = CommitStatement(
        genesis_hash=enclosure.place.genesis_hash,
        channel=enclosure.place.channel,
        chaincode=enclosure.place.chaincode,
        key_set_id=enclosure.ring.key_set_id(current),
        transaction_id=transaction_id,
        response_hash=statement.response_hash,
        outcome_hash=outcome_hash(request.response_key, content),
        block=found.block,
        block_hash=found.block_hash,
        checkpoint=Checkpoint(head.height, head.block_hash),
    )
    return Opened(CommittedOutcome(commit.encode(), commit.sign(current.result_key), ciphertext).encode())


def _transaction(committed: bytes, found: TransactionAnswer, transaction_id: str) -> EndorsedTransaction:
    envelope = committed
    if not found.envelope_hash or hashlib.sha256(committed).digest() != found.envelope_hash:
        envelope = _from_block(parse_block(committed), found)
    if not is_well_formed(envelope):
        raise Refused("open refused: this is not the block", reason="block")
    transaction = parse_endorsed_transaction(envelope)
    if transaction.transaction_id != transaction_id:
        raise Refused("open refused: this is not the block", reason="block")
    return transaction


def _from_block(block: Block, found: TransactionAnswer) -> bytes:
    if block.number != found.block or block.header_hash != found.block_hash or not block.data_hash_matches:
        raise Refused("open refused: this is not the block", reason="block")
    if not all(is_well_formed(item) for item in block.transactions):  # else its parts could be cut differently
        raise Refused("open refused: this is not the block", reason="block")
    if found.index >= len(block.transactions):
        raise Refused("open refused: this is not the block", reason="block")
    return block.transactions[found.index]


def _committed_request(transaction: EndorsedTransaction, key_set: KeySet, enclosure: Enclosure) -> Request:
    encoded = transaction.chaincode_proposal_payload
    payload = decode_message(proposal_pb2.ChaincodeProposalPayload(), encoded, "proposal payload")
    spec = decode_message(chaincode_pb2.ChaincodeInvocationSpec(), payload.input, "invocation").chaincode_spec
    if len(spec.input.args) != 1:
        raise MalformedInput("invocation: not of one sealed request", field="invocation")
    key_set_id, ciphertext = split_request(spec.input.args[0])
    if key_set_id != enclosure.ring.key_set_id(key_set):
        raise Refused("open refused: request and outcome are of different keys", reason="key-set")
    scope = RequestScope(
        channel=enclosure.place.channel,
        genesis_hash=enclosure.place.genesis_hash,
        chaincode=enclosure.place.chaincode,
        sequence=key_set.sequence,
        measurement=key_set.measurement,
    )
    return open_request(ciphertext, scope.info(transaction.transaction_id, transaction.creator), key_set.request_key)
