"""What an administrator of a peer can see of one transaction: its block entry, and the state database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fabric_protos.peer import chaincode_pb2, proposal_pb2

from cloister.fabric.transaction import EndorsedTransaction
from cloister.network import Network

_SHOWN_BYTES = 96


@dataclass(frozen=True, slots=True)
class PeerView:
    """Bytes as the peer has them: arguments and response out of the block, writes, and a piece of the database file."""

    transaction_id: str
    arguments: tuple[bytes, ...]
    response: bytes
    writes: tuple[tuple[bytes, bytes], ...]
    database_file: str
    database_bytes: bytes


def view_transaction(network: Network, transaction: EndorsedTransaction, chaincode: str) -> PeerView:
    """Look at one committed transaction as the first organisation's peer stores it."""
    payload = proposal_pb2.ChaincodeProposalPayload.FromString(transaction.chaincode_proposal_payload)
    invocation = chaincode_pb2.ChaincodeInvocationSpec.FromString(payload.input)
    namespace = transaction.action.namespace(chaincode)
    writes = tuple((write.key.encode(), write.value) for write in namespace.writes) if namespace else ()
    file, piece = _database_piece(network, writes[0][0] if writes else b"")
    return PeerView(
        transaction_id=transaction.transaction_id,
        arguments=tuple(invocation.chaincode_spec.input.args),
        response=transaction.action.payload,
        writes=writes,
        database_file=file,
        database_bytes=piece,
    )


def _database_piece(network: Network, key: bytes) -> tuple[str, bytes]:
    """The bytes of the peer's state database around a key, and the file's name; embedded, of its block file."""
    folder = network.organisations[0].folder / "peer" / "data" / "ledgersData" / "stateLeveldb"
    if network.is_embedded:
        folder = network.folder / "ledger" / network.channel
    for path in sorted(folder.glob("*")):
        content = _read(path)
        offset = content.find(key) if key else -1
        if offset >= 0:
            return path.name, content[offset : offset + len(key) + _SHOWN_BYTES]
    return "", b""


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
