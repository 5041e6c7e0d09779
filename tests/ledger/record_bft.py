"""Records a small chain of four BFT orderers for test_bft.py: tests/vectors/ledger/bft-VERSION, see its README.md.

    FABRIC_BIN=FOLDER PYTHONPATH=tests .venv/bin/python -m ledger.record_bft

FOLDER holds programs of Fabric 3.1. It takes some seconds and writes over what is there.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path

from fabric_protos.common import common_pb2

from cloister.fabric.block import Block, encode_header, parse_block
from cloister.network import Network, NetworkOptions
from cloister.testing.blocks import BlockSigner, Consenter, sign_block
from cloister.testing.cases import MAIN, Cast
from cloister.testing.configs import Change, batch_timeout, config_of, consenters, update_envelope
from cloister.testing.forge import broadcast, rwset
from cloister.testing.signers import Signer, orderer_admin, signer_of
from ledger.conftest import await_transactions, define, fetch_blocks
from support.ordering import deliver

VECTORS = Path(__file__).parents[1] / "vectors" / "ledger"
OPTIONS = NetworkOptions(orderers=4, consensus="bft", batch_timeout="100ms", max_messages=10)
UNKNOWN = 9
"""An identifier of no consenter."""


def main() -> None:
    """Start a network, record, stop it."""
    with tempfile.TemporaryDirectory() as folder:
        network = Network.up(Path(folder) / "net", OPTIONS, progress=print)
        try:
            asyncio.run(record(network, VECTORS / f"bft-{network.layout.fabric_version}"))
        finally:
            network.down()


async def record(network: Network, folder: Path) -> None:
    """Blocks and signatures into the folder."""
    orderers = [signer_of("OrdererMSP", orderer.node_crypto / "msp") for orderer in network.orderers]
    cast = Cast(network)
    await define(network, MAIN)
    await commit(network, mixture(cast, "first"))
    await commit(network, [await config_update(network, batch_timeout("150ms"))])
    before = await commit(network, mixture(cast, "second"))
    await commit(network, [await config_update(network, consenters(lambda mapping: mapping.pop()))])
    network.stop_orderer("orderer4")
    after = await commit(network, mixture(cast, "third"))
    await commit(network, [cast.put("last").build()])
    blocks = await fetch_blocks(network)
    delivered = {
        orderer.name: signatures_of(await deliver(network, orderer, len(blocks)), blocks)
        for orderer in network.orderers[:2]
    }
    made = {str(number): make_signatures(parse_block(blocks[number]), orderers) for number in (before, after)}
    folder.mkdir(parents=True, exist_ok=True)
    for number, block in enumerate(blocks):
        (folder / f"{number:03}.block").write_bytes(block)
    text = json.dumps({"delivered": delivered, "made": made}, indent=1)
    (folder / "signatures.json").write_text(text + "\n", "utf-8")
    print(f"{len(blocks)} blocks in {folder}")


async def commit(network: Network, transactions: list[bytes]) -> int:
    """Have them ordered and committed; the number of the last block."""
    before = sum(len(parse_block(block).transactions) for block in await fetch_blocks(network))
    if await broadcast(network, transactions) != [200] * len(transactions):
        raise RuntimeError("not accepted by the orderer")
    return len(await await_transactions(network, before + len(transactions))) - 1


def mixture(cast: Cast, key: str) -> list[bytes]:
    """Two that are valid, then too few endorsers, a stale read, and a chaincode that is not defined."""
    drafts = [
        cast.put(key),
        cast.draft((MAIN, rwset(reads=[("absent", None)], writes=[("counter", key.encode())]))),
        cast.put(key).but(endorsers=cast.peers[:1]),
        cast.draft((MAIN, rwset(reads=[("counter", None)], writes=[("stale", b"v")]))),
        cast.draft(("nowhere", rwset(writes=[(key, b"v")])), chaincode="nowhere"),
    ]
    return [draft.build() for draft in drafts]


async def config_update(network: Network, change: Change) -> bytes:
    """An update of the Orderer group by its administrator."""
    blocks = [parse_block(block) for block in await fetch_blocks(network)]
    config = next(found for block in reversed(blocks) if (found := config_of(block.transactions[0])) is not None)
    return update_envelope(network.channel, config, ["Orderer"], change, [orderer_admin(network)])


def signatures_of(delivered: list[bytes], blocks: list[bytes]) -> list[str]:
    """SIGNATURES metadata (hex of `common.Metadata`) of one orderer's blocks, which else are those of the peer."""
    theirs, ours = [parse_block(block) for block in delivered], [parse_block(block) for block in blocks]
    if [item.header_hash for item in theirs] != [item.header_hash for item in ours]:
        raise RuntimeError("an orderer has other blocks than the peer")
    return [item.metadata[common_pb2.SIGNATURES].hex() for item in theirs]


def make_signatures(block: Block, orderers: list[Signer]) -> dict[str, str]:
    """Signatures (hex of `common.MetadataSignature`) that no orderer made, by the orderers' keys.

    Under "1" to "4" one by each consenter's key, under UNKNOWN one of consenter 3 with that identifier, under "3 named"
    and "4 named" such as orderers of Fabric 2.5 make: with their certificate instead of an identifier.
    """
    value = common_pb2.Metadata.FromString(block.metadata[common_pb2.SIGNATURES]).value
    message = encode_header(block.number, block.previous_hash, block.data_hash)
    signers: dict[str, BlockSigner] = {str(number): Consenter(number, item) for number, item in enumerate(orderers, 1)}
    signers[str(UNKNOWN)] = Consenter(UNKNOWN, orderers[2])
    signers |= {f"{number} named": orderers[number - 1] for number in (3, 4)}
    return {name: sign_block(signer, value, message).SerializeToString().hex() for name, signer in signers.items()}


if __name__ == "__main__":
    main()
