"""Chaincode on Hyperledger's own Node.js shim, called with our Gateway client: the network is one for any chaincode."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloister.deploy.deploy import connected
from cloister.gateway import Contract
from cloister.lifecycle import wait_until_usable
from cloister.network import Network
from support.fabric import deploy, package_id
from support.node import node_folder
from support.official_calls import free_port

pytestmark = pytest.mark.fabric

CHAINCODE = "node-shim"


@pytest.fixture
def node_chaincode(any_network: Network, tmp_path: Path) -> Iterator[None]:
    node, folder = node_folder()
    address = f"127.0.0.1:{free_port()}"
    packaged = package_id(any_network, tmp_path, CHAINCODE, {"address": address, "dial_timeout": "10s"})
    command = [node, str(folder / "chaincode.cjs"), packaged[1], address]
    with (tmp_path / "chaincode.log").open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "listening" in line:
                break
        deploy(any_network, CHAINCODE, packaged)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=20)


async def test_the_official_node_shim_is_served_by_every_peer(
    any_network: Network, node_chaincode: None, plain_chaincode: str
) -> None:
    async with connected(any_network.organisations[0], "User1") as gateway:
        contract = gateway.network(any_network.channel).contract(CHAINCODE)
        await wait_until_usable(lambda: _submit(contract, "get", "nothing"))

        for key, value in (("a", "1"), ("b", "2"), ("c", "3")):
            assert await _submit(contract, "put", key, value) == f"stored {key}"
        assert await _evaluate(contract, "get", "b") == "2"
        assert await _evaluate(contract, "whoami") == "Org1MSP"
        assert json.loads(await _evaluate(contract, "range", "a", "c")) == [["a", "1"], ["b", "2"]]
        page = json.loads(await _evaluate(contract, "page", "a", "d", "2", ""))
        assert page == {"rows": [["a", "1"], ["b", "2"]], "count": 2, "bookmark": "c"}

        for colour in ("red", "blue"):
            await _submit(contract, "putComposite", "x", "paint", colour, "matt")
        found = json.loads(await _evaluate(contract, "partial", "paint"))
        assert found == [[["blue", "matt"], "x"], [["red", "matt"], "x"]]

        assert await _submit(contract, "readOwnWrite", "a", "new") == "1"
        await _submit(contract, "delete", "a")
        assert json.loads(await _evaluate(contract, "history", "a")) == [[True, ""], [False, "new"], [False, "1"]]
        assert await _submit(contract, "call", plain_chaincode, "put", "called", "yes") == "200:stored called"
        other = gateway.network(any_network.channel).contract(plain_chaincode)
        assert await _evaluate(other, "get", "called") == "yes"


async def _submit(contract: Contract, function: str, *arguments: str) -> str:
    return (await contract.submit_transaction(function, *arguments)).decode()


async def _evaluate(contract: Contract, function: str, *arguments: str) -> str:
    return (await contract.evaluate_transaction(function, *arguments)).decode()
