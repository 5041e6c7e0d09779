"""The confidential path on an embedded network that is killed under it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cloister.deploy.deploy import Plan, deploy
from cloister.network import Network, embedded_options
from confidential.conftest import Callers
from support.embedded import kill_and_start

CONTRACT = Path(__file__).with_name("vault_contract.py")


async def test_hosts_and_ledger_services_go_on_after_their_network_was_killed(tmp_path: Path) -> None:
    network = Network.up(tmp_path / "net", embedded_options())
    try:
        await deploy(network, Plan("vault", str(CONTRACT)))
        callers = Callers(network)
        await callers.submit("org1/User1", "vault", "store", "before")
        await asyncio.to_thread(kill_and_start, network)
        assert await callers.evaluate("org1/User1", "vault", "read") == "before"
        await callers.submit("org1/User1", "vault", "store", "after")
        assert await callers.evaluate("org1/User1", "vault", "read") == "after"
    finally:
        network.down()
