"""Hyperledger's own Gateway client for Node.js, with plain chaincode of ours."""

from __future__ import annotations

import asyncio
import json
import subprocess

import pytest

from cloister.network import Network
from support.node import node_folder

pytestmark = pytest.mark.fabric


async def test_the_official_node_client_does_all_it_can(any_network: Network, plain_chaincode: str) -> None:
    node, folder = await asyncio.to_thread(node_folder)
    organisation = any_network.organisation("org1")
    user = organisation.user("User1")
    given = {
        "endpoint": organisation.peer_endpoint,
        "host": organisation.peer_host,
        "tlsCa": str(organisation.tls_ca_path),
        "mspId": organisation.msp_id,
        "certificate": str(user.cert_path),
        "key": str(user.key_path),
        "channel": any_network.channel,
        "chaincode": plain_chaincode,
    }
    command = [node, str(folder / "gateway_client.mjs"), json.dumps(given)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)

    assert int(seen["status"].pop("block")) > 0
    failed = "chaincode response 500, no such "
    assert failed + "colour" in seen["error"].pop("details")
    assert failed + "size" in seen["evaluateError"].pop("details")
    assert seen == {
        "submitted": "stored colour",
        "evaluated": "green",
        "whoami": "Org1MSP",
        "transient": "a=one,b=two",
        "sameId": True,
        "increment": "1",
        "status": {"successful": True, "code": 0},
        "event": {"name": "sold", "payload": "for 7", "sameTransaction": True},
        "genesisNumber": 0,
        "filtered": True,
        "error": {"name": "EndorseError"},
        "evaluateError": {"name": "GatewayError", "code": 2},
    }
