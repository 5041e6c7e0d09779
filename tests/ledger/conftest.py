"""A network of its own for adversarial ledgers: one plain definition that nobody needs to run."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator

import pytest
from fabric_protos.common import ledger_pb2

from cloister.deploy.deploy import connected
from cloister.fabric.block import parse_block
from cloister.lifecycle import ChaincodeDefinition, Lifecycle, wait_until_usable
from cloister.network import Network, NetworkOptions

CHAINCODE = "cc"
OTHER = "other"


@pytest.fixture(scope="session")
async def ledger_network(fabric_binaries: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Network]:
    options = NetworkOptions(batch_timeout="100ms", max_messages=20)
    network = Network.up(tmp_path_factory.mktemp("ledger") / "net", options)
    await define(network, CHAINCODE)
    await define(network, OTHER, "OR('Org1MSP.peer','Org2MSP.peer')")
    yield network
    network.down()


async def define(network: Network, name: str, policy: str = "") -> None:
    """Approve and commit a definition; nobody needs to run it."""
    first, second = network.organisations
    definition = ChaincodeDefinition(name, "1.0", signature_policy=policy)
    async with connected(first) as gateway1, connected(second) as gateway2:
        admins = [Lifecycle(gateway, network.channel) for gateway in (gateway1, gateway2)]
        for admin in admins:
            await admin.approve(definition)
        await wait_until_usable(functools.partial(admins[1].commit, definition, ["Org1MSP", "Org2MSP"]))


async def fetch_blocks(network: Network, organisation: int = 0) -> list[bytes]:
    """All blocks of a peer, with its verdicts and commit hashes in their metadata."""
    async with connected(network.organisations[organisation]) as gateway:
        qscc = gateway.network(network.channel).contract("qscc")
        info = ledger_pb2.BlockchainInfo.FromString(await qscc.evaluate_transaction("GetChainInfo", network.channel))
        return [
            await qscc.evaluate_transaction("GetBlockByNumber", network.channel, str(number))
            for number in range(info.height)
        ]


async def await_transactions(network: Network, count: int, organisation: int = 0) -> list[bytes]:
    """Blocks of a peer, as soon as they hold at least so many transactions."""
    async with asyncio.timeout(8):
        while True:
            blocks = await fetch_blocks(network, organisation)
            if sum(len(parse_block(block).transactions) for block in blocks) >= count:
                return blocks
            await asyncio.sleep(0.05)
