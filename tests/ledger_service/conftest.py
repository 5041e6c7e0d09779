"""A small network of its own, whose orderer may be stopped, and ledger services in the test's own process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fabric_protos.common import ledger_pb2
from fabric_protos.peer.lifecycle import lifecycle_pb2

from cloister.deploy.deploy import connected
from cloister.deploy.workspace import REGISTRY, Workspace
from cloister.gateway import Contract, EndorseError, SubmitError, SubmittedTransaction
from cloister.ledger_service.client import LedgerServiceClient, open_ledger_service
from cloister.ledger_service.config import LedgerConfig, OrdererFiles
from cloister.ledger_service.errors import LedgerLost
from cloister.ledger_service.service import LedgerService
from cloister.lifecycle import ChaincodeDefinition
from cloister.lifecycle.client import LIFECYCLE
from cloister.network import Network, NetworkOptions, embedded_options
from cloister.network.options import EMBEDDED, FABRIC

BOUND_S = 60.0
on_both = pytest.mark.parametrize("followed_network", [FABRIC, EMBEDDED], indirect=True)
"""For tests that stop no node by itself."""


@pytest.fixture(scope="package")
async def followed_network(
    request: pytest.FixtureRequest, fabric_binaries: None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Network]:
    """One organisation, some blocks. Real Fabric with orderers that can be stopped, or `on_both`: embedded, too."""
    options = NetworkOptions(organisations=1, orderers=3, batch_timeout="100ms")
    if getattr(request, "param", FABRIC) == EMBEDDED:
        options = embedded_options(organisations=1)
    network = Network.up(tmp_path_factory.mktemp("followed") / "net", options)
    await add_transactions(network, 3)
    yield network
    network.down()


@pytest.fixture
def config(followed_network: Network, tmp_path: Path) -> LedgerConfig:
    """Of the network's one organisation, on a free port."""
    return make_config(followed_network, tmp_path / "state")


def make_config(network: Network, state: Path) -> LedgerConfig:
    """Follows the network's first orderer."""
    organisation, workspace = network.organisations[0], Workspace(network)
    reader, orderer = organisation.user("User1"), network.orderer
    files = OrdererFiles(
        (orderer.endpoint,), reader.cert_path, reader.key_path, orderer.tls_ca_path, orderer.host, None, None
    )
    return LedgerConfig(
        msp_id=organisation.msp_id,
        channel=network.channel,
        genesis=network.genesis_block_path,
        orderers=files,
        policy=workspace.policy_path,
        state=state,
        authority=workspace.authority,
        registry=REGISTRY,
        listen=("127.0.0.1", 0),
    )


async def add_transactions(network: Network, count: int) -> list[str]:
    """Commit valid transactions, each in a block of its own; their ids."""
    found = []
    async with connected(network.organisations[0]) as gateway:
        contract = gateway.network(network.channel).contract(LIFECYCLE)
        for _ in range(count):
            definition = ChaincodeDefinition(f"cc{os.urandom(6).hex()}", "1.0")
            approval = lifecycle_pb2.ApproveChaincodeDefinitionForMyOrgArgs(**definition.fields())
            approval.source.unavailable.SetInParent()
            submitted = await _submit(contract, approval.SerializeToString())
            (await submitted.status()).require_successful()
            found.append(submitted.transaction_id)
    return found


async def _submit(contract: Contract, approval: bytes) -> SubmittedTransaction:
    """Again and again: peer and orderers may have been started a moment ago and not found each other yet."""
    async with asyncio.timeout(BOUND_S):
        while True:
            try:
                return await contract.submit_async("ApproveChaincodeDefinitionForMyOrg", arguments=[approval])
            except (EndorseError, SubmitError):
                await asyncio.sleep(0.1)


async def chain_info(network: Network) -> dict[str, Any]:
    """Height and last block hash, as the peer tells them."""
    async with connected(network.organisations[0]) as gateway:
        qscc = gateway.network(network.channel).contract("qscc")
        info = ledger_pb2.BlockchainInfo.FromString(await qscc.evaluate_transaction("GetChainInfo", network.channel))
    return {"height": info.height, "block_hash": info.currentBlockHash.hex()}


async def peer_blocks(network: Network) -> list[bytes]:
    """All blocks of the peer."""
    async with connected(network.organisations[0]) as gateway:
        qscc = gateway.network(network.channel).contract("qscc")
        height = ledger_pb2.BlockchainInfo.FromString(
            await qscc.evaluate_transaction("GetChainInfo", network.channel)
        ).height
        return [
            await qscc.evaluate_transaction("GetBlockByNumber", network.channel, str(number))
            for number in range(height)
        ]


def from_orderers(config: LedgerConfig, *addresses: str) -> LedgerConfig:
    """The same, with other orderers."""
    return replace(config, orderers=replace(config.orderers, addresses=addresses))


@dataclass
class Running:
    """A service and a connection to it."""

    service: LedgerService
    client: LedgerServiceClient
    serving: asyncio.Task[None]

    async def until(self, **expected: Any) -> dict[str, Any]:
        """The first status with these values; gaps in between, while an enclave starts, are waited out."""
        found: dict[str, Any] = {}
        async with asyncio.timeout(BOUND_S):
            while True:
                with suppress(LedgerLost):
                    found = await self.client.status()
                    if all(found[name] == value for name, value in expected.items()):
                        return found
                if self.serving.done():
                    await self.serving
                await asyncio.sleep(0.02)


@asynccontextmanager
async def running(config: LedgerConfig) -> AsyncIterator[Running]:
    """Start a service, and stop it in order."""
    service = LedgerService(config)
    serving = asyncio.create_task(service.serve())
    try:
        async with asyncio.timeout(BOUND_S):
            while not service.port:
                if serving.done():
                    await serving
                await asyncio.sleep(0.01)
        client = await open_ledger_service(f"127.0.0.1:{service.port}")
        yield Running(service, client, serving)
        await client.close()
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
