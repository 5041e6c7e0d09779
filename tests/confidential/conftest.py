"""The samples, deployed confidentially on the session's real Fabric network."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from cloister.client.confidential import ConfidentialContract, open_confidential
from cloister.deploy.deploy import Plan, connected, deploy
from cloister.deploy.workspace import Workspace
from cloister.network import Network
from support.enclaves import SAMPLES

Open = Callable[..., Awaitable[ConfidentialContract]]


@pytest.fixture(scope="session")
async def auction_network(any_network: Network) -> Network:
    """The auction, with another hash seed at each organisation: their results must agree all the same."""
    await deploy(any_network, Plan("auction", str(SAMPLES / "auction.py"), hash_seeds=("1", "4242")))
    return any_network


@pytest.fixture(scope="session")
async def samples_network(auction_network: Network) -> Network:
    """All samples."""
    for name in ("kv", "secret_keeper", "echo"):
        await deploy(auction_network, Plan(name.replace("_", "-"), str(SAMPLES / f"{name}.py")))
    return auction_network


class Callers:
    """Opens a chaincode as an organisation's user."""

    def __init__(self, network: Network) -> None:
        self.network = network

    async def call(self, user: str, chaincode: str, action: str, function: str, *arguments: str) -> bytes:
        """`user` is ORG/USER; `action` submit or evaluate."""
        organisation, _, name = user.partition("/")
        async with connected(self.network.organisation(organisation), name) as gateway:
            channel = gateway.network(self.network.channel)
            trust = Workspace(self.network).trust(chaincode)
            contract = await open_confidential(
                channel, chaincode, trust, endorsing_organizations=[gateway.identity.msp_id]
            )
            if action == "submit":
                return (await contract.submit(function, *arguments)).payload
            own = [gateway.identity.msp_id]
            return (await contract.evaluate(function, *arguments, endorsing_organizations=own)).payload

    async def submit(self, user: str, chaincode: str, function: str, *arguments: str) -> str:
        """The committed answer, as text."""
        return (await self.call(user, chaincode, "submit", function, *arguments)).decode()

    async def evaluate(self, user: str, chaincode: str, function: str, *arguments: str) -> str:
        """The answer, as text."""
        return (await self.call(user, chaincode, "evaluate", function, *arguments)).decode()
