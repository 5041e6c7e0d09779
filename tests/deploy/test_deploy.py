"""Deploying again: what was not said anew stays as it was."""

from __future__ import annotations

from pathlib import Path

from cloister.deploy.deploy import Plan, connected, deploy
from cloister.network import Network

CONTRACT = str(Path(__file__).parents[1] / "support" / "gateway_contract.py")
EITHER = "OR('Org1MSP.peer','Org2MSP.peer')"
BOTH = "AND('Org1MSP.peer','Org2MSP.peer')"


async def endorsers(network: Network) -> int:
    """How many organisations endorsed a transaction that the gateway planned."""
    async with connected(network.organisations[0], "User1") as gateway:
        contract = gateway.network(network.channel).contract("again")
        transaction = await contract.new_proposal("put", arguments=("k", "v")).endorse()
        return len(transaction.endorsed.endorsements)


async def test_the_endorsement_policy_stays_until_another_one_is_given(embedded_network: Network) -> None:
    first = await deploy(embedded_network, Plan("again", CONTRACT, confidential=False, signature_policy=EITHER))
    again = await deploy(embedded_network, Plan("again", CONTRACT, confidential=False))
    assert (first.sequence, again.sequence) == (1, 2)
    assert again.signature_policy == EITHER
    assert await endorsers(embedded_network) == 1
    await deploy(embedded_network, Plan("again", CONTRACT, confidential=False, signature_policy=BOTH))
    assert await endorsers(embedded_network) == 2
