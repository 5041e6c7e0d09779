"""The system chaincodes that clients ask: qscc for blocks and transactions, cscc for configurations.

Source: Fabric 2.5.9 core/scc/{qscc/query,cscc/configure}.go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fabric_protos.common import common_pb2, configtx_pb2, ledger_pb2
from fabric_protos.peer import query_pb2, transaction_pb2

from cloister.fabric.block import parse_block

from .access import READERS, AccessDenied, check_administrator, check_member, check_policy
from .errors import ExecutionFailed
from .invocation import Invocation
from .ledger import Ledger
from .peer import Peer

Answer = tuple[int, str, bytes]
"""Status, message, payload."""


def invoke_query(peer: Peer, invocation: Invocation) -> Answer:
    """qscc."""
    arguments = invocation.arguments
    if invocation.chaincode != "qscc":
        why = f"because of potential for deadlocks, original invocation for '{invocation.chaincode}'"
        return 500, f"Rejecting invoke of QSCC from another chaincode {why}", b""
    if len(arguments) < 2:
        return 500, f"Incorrect number of arguments, {len(arguments)}", b""
    function, channel = (item.decode(errors="replace") for item in arguments[:2])
    if function != "GetChainInfo" and len(arguments) < 3:
        return 500, f"missing 3rd argument for {function}", b""
    if channel != peer.ledger.channel:
        return 500, f"Invalid chain ID, {channel}", b""
    try:
        check_policy(peer.ledger, READERS, [invocation.signed_item], resource=f"qscc/{function}")
    except AccessDenied as denied:
        return 500, f"access denied for [{function}][{channel}]: [{denied}]", b""
    run = _QUERIES.get(function)
    if run is None:
        return 500, f"Requested function {function} not found.", b""
    try:
        return 200, "", run(peer.ledger, arguments[2] if len(arguments) > 2 else b"")
    except ExecutionFailed as error:
        return 500, str(error), b""


def invoke_configuration(peer: Peer, invocation: Invocation) -> Answer:
    """cscc."""
    arguments = invocation.arguments
    function = arguments[0].decode(errors="replace") if arguments else ""
    if not arguments or (function != "GetChannels" and len(arguments) < 2):
        return 500, f"Incorrect number of arguments, {len(arguments)}", b""
    if invocation.chaincode != "cscc":
        return (
            500,
            f"Rejecting invoke of CSCC from another chaincode, original invocation for '{invocation.chaincode}'",
            b"",
        )
    ledger, channel = peer.ledger, arguments[1].decode(errors="replace") if len(arguments) > 1 else ""
    items = [invocation.signed_item]
    try:
        if function == "GetChannels":
            check_member(ledger, peer.msp_id, items)
            return (
                200,
                "",
                _encode(query_pb2.ChannelQueryResponse(channels=[query_pb2.ChannelInfo(channel_id=ledger.channel)])),
            )
        if function == "JoinChain":
            check_administrator(ledger, peer.msp_id, items)
            return 500, "an embedded network's peers have joined its one channel already", b""
        if function not in ("GetConfigBlock", "GetChannelConfig"):
            return 500, f"Requested function {function} not found.", b""
        if channel != ledger.channel:
            return 500, f"Unknown channel ID, {channel}", b""
        check_policy(ledger, READERS, items, resource=f"cscc/{function}")
    except AccessDenied as denied:
        return 500, f"access denied for [{function}][{channel}]: {denied}", b""
    block = ledger.block(ledger.config_block)
    return 200, "", block if function == "GetConfigBlock" else _encode(_config(block))


def _chain_info(ledger: Ledger, argument: bytes) -> bytes:
    del argument
    last = parse_block(ledger.block(ledger.height - 1))
    return _encode(
        ledger_pb2.BlockchainInfo(
            height=ledger.height, currentBlockHash=last.header_hash, previousBlockHash=last.previous_hash
        )
    )


def _by_number(ledger: Ledger, argument: bytes) -> bytes:
    text = argument.decode(errors="replace")
    if not text.isdecimal():
        raise ExecutionFailed(
            f'Failed to parse block number with error strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    number = min(int(text), ledger.height - 1) if int(text) == 2**64 - 1 else int(text)
    try:
        return ledger.block(number)
    except KeyError as error:
        raise ExecutionFailed(
            f"Failed to get block number {text}, error no such block number [{text}] in index"
        ) from error


def _by_hash(ledger: Ledger, argument: bytes) -> bytes:
    for number in range(ledger.height):
        block = ledger.block(number)
        if parse_block(block).header_hash == argument:
            return block
    raise ExecutionFailed("Failed to get block hash, error no such block hash in index")


def _by_transaction(ledger: Ledger, argument: bytes) -> bytes:
    return ledger.block(_find(ledger, argument, "Failed to get block for txID")[0])


def _transaction(ledger: Ledger, argument: bytes) -> bytes:
    number, position, code = _find(ledger, argument, "Failed to get transaction with id")
    envelope = common_pb2.Envelope.FromString(parse_block(ledger.block(number)).transactions[position])
    return _encode(transaction_pb2.ProcessedTransaction(transactionEnvelope=envelope, validationCode=int(code)))


def _find(ledger: Ledger, argument: bytes, what: str) -> tuple[int, int, int]:
    name = argument.decode(errors="replace")
    found = ledger.find(name)
    if found is None:
        raise ExecutionFailed(f"{what} {name}, error no such transaction ID [{name}] in index")
    return found


def _config(block: bytes) -> Any:
    payload = common_pb2.Payload.FromString(common_pb2.Envelope.FromString(parse_block(block).transactions[0]).payload)
    return configtx_pb2.ConfigEnvelope.FromString(payload.data).config


def _encode(message: Any) -> bytes:
    encoded: bytes = message.SerializeToString()
    return encoded


_QUERIES: dict[str, Callable[[Ledger, bytes], bytes]] = {
    "GetChainInfo": _chain_info,
    "GetBlockByNumber": _by_number,
    "GetBlockByHash": _by_hash,
    "GetBlockByTxID": _by_transaction,
    "GetTransactionByID": _transaction,
}
