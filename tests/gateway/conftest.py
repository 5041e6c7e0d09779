"""The conformance contract, as plain chaincode on the session's network, and connections to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloister.deploy.deploy import Plan, connected, deploy
from cloister.gateway import Contract, Gateway
from cloister.gateway import Network as Channel
from cloister.network import Network

CHAINCODE = "conformance"


@pytest.fixture(scope="session")
async def conformance_network(any_network: Network) -> Network:
    contract = Path(__file__).parents[1] / "support" / "gateway_contract.py"
    await deploy(any_network, Plan(CHAINCODE, str(contract), confidential=False))
    return any_network


@pytest.fixture
async def gateway(conformance_network: Network) -> AsyncIterator[Gateway]:
    async with connected(conformance_network.organisations[0], "User1") as gateway:
        yield gateway


@pytest.fixture
def channel(conformance_network: Network, gateway: Gateway) -> Channel:
    return gateway.network(conformance_network.channel)


@pytest.fixture
def contract(channel: Channel) -> Contract:
    return channel.contract(CHAINCODE)
