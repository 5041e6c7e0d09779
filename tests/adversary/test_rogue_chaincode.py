"""Rows A6, A7, A8, P6 on real Fabric: a rogue ordinary chaincode, installed under the confidential chaincode's name at
every organisation, copies, swaps, deletes and rolls back sealed values in transactions that are valid by all rules."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from cloister.client.confidential import ConfidentialContract, open_confidential
from cloister.deploy.deploy import Plan, connected, deploy
from cloister.deploy.workspace import Workspace
from cloister.fabric.block import parse_block
from cloister.fabric.transaction import parse_endorsed_transaction
from cloister.gateway import EndorseError, EvaluateError
from cloister.network import Network
from cloister.testing.rogue_chaincode import RogueChaincode
from support.enclaves import SAMPLES

pytestmark = pytest.mark.fabric
NAME = "usurped"


@pytest.fixture(scope="module")
async def contract(fabric_network: Network) -> AsyncIterator[ConfidentialContract]:
    await deploy(fabric_network, Plan(NAME, str(SAMPLES / "kv.py")))
    async with connected(fabric_network.organisations[0], "User1") as gateway:
        trust = Workspace(fabric_network).trust(NAME)
        yield await open_confidential(gateway.network(fabric_network.channel), NAME, trust)


async def stored(network: Network, contract: ConfidentialContract, key: str, value: str) -> tuple[str, bytes]:
    """Write honestly; the stored key and value, as every peer has them."""
    result = await contract.submit("put_state", key, value)
    async with connected(network.organisations[0]) as gateway:
        qscc = gateway.network(network.channel).contract("qscc")
        block = parse_block(
            await qscc.evaluate_transaction("GetBlockByNumber", network.channel, str(result.block_number))
        )
    transactions = [parse_endorsed_transaction(item) for item in block.transactions]
    (mine,) = [item for item in transactions if item.transaction_id == result.transaction_id]
    part = mine.action.namespace(NAME)
    assert part is not None
    return part.writes[0].key, part.writes[0].value


async def refusal(contract: ConfidentialContract, key: str) -> str:
    with pytest.raises((EndorseError, EvaluateError)) as caught:
        await contract.evaluate("get_state", key)
    return str(caught.value)


async def test_a6_a7_a8_p6_a_rogue_chaincode_under_the_name_is_noticed_whatever_it_does(
    fabric_network: Network, contract: ConfidentialContract
) -> None:
    """All of it in one take-over: peers have to change packages twice, which takes seconds."""
    keys: dict[str, tuple[str, bytes]] = {}
    for name in ("copied", "swapped", "with", "deleted", "untouched"):
        keys[name] = await stored(fabric_network, contract, name, f"secret of {name}")
    rolled_back = await stored(fabric_network, contract, "rolled back", "an old secret")
    await contract.submit("put_state", "rolled back", "the new secret")
    assert (await contract.evaluate("get_state", "rolled back")).payload == b"the new secret"

    rogue = RogueChaincode(fabric_network, NAME)
    await rogue.take_over()
    done = {
        "copied": await rogue.submit("copy", keys["untouched"][0], keys["copied"][0]),
        "swapped": (swap := await rogue.submit("swap", keys["swapped"][0], keys["with"][0])),
        "with": swap,
        "deleted": await rogue.submit("delete", keys["deleted"][0]),
        "rolled back": await rogue.submit("put", rolled_back[0], rolled_back[1].hex()),
    }
    await rogue.withdraw()

    for name, transaction_id in done.items():
        told = await refusal(contract, name)
        assert "uncovered" in told, name
        assert transaction_id in told, name
        assert "secret" not in told, name
    assert (await contract.evaluate("get_state", "untouched")).payload == b"secret of untouched"
    await contract.submit("put_state", "rolled back", "the newest secret")
    assert (await contract.evaluate("get_state", "rolled back")).payload == b"the newest secret"
