"""The confidential path on an embedded network that is killed under it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from cloister.deploy.deploy import Plan, deploy
from cloister.network import Network, embedded_options
from cloister.network.processes import listens, process_began, wait_until
from confidential.conftest import Callers

CONTRACT = Path(__file__).with_name("vault_contract.py")


async def test_hosts_and_ledger_services_go_on_after_their_network_was_killed(tmp_path: Path) -> None:
    network = Network.up(tmp_path / "net", embedded_options())
    try:
        await deploy(network, Plan("vault", str(CONTRACT)))
        callers = Callers(network)
        await callers.submit("org1/User1", "vault", "store", "before")
        await asyncio.to_thread(_kill_and_start, network)
        assert await callers.evaluate("org1/User1", "vault", "read") == "before"
        await callers.submit("org1/User1", "vault", "store", "after")
        assert await callers.evaluate("org1/User1", "vault", "read") == "after"
    finally:
        network.down()


def _kill_and_start(network: Network) -> None:
    pid, ports = network.status()[0].pid, network.layout.ports().values()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: not process_began(pid) and not any(listens(port) for port in ports),
        what="killed",
        timeout_s=10,
        log=network.folder / "embedded.log",
    )
    Network.up(network.folder)
