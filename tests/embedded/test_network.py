"""An embedded network from outside: started, used, killed, started again."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cloister.deploy.deploy import Plan, connected, deploy
from cloister.deploy.servers import start_again
from cloister.errors import UsageError
from cloister.gateway import Contract, GatewayError
from cloister.ledger.sources import open_source
from cloister.ledger.verify import verify_ledger
from cloister.network import Network, NetworkOptions, embedded_options
from cloister.network.processes import listens, process_began, running_pid, wait_until

CONTRACT = Path(__file__).parents[1] / "support" / "gateway_contract.py"


async def get(network: Network, key: str) -> bytes:
    async with connected(network.organisations[1], "User1") as gateway:
        return await gateway.network(network.channel).contract("kept").evaluate_transaction("get", key)


async def write_until_it_ends(contract: Contract, prefix: str, told: list[str]) -> None:
    """Keys of whose commit the client was told."""
    for number in itertools.count():
        try:
            await contract.submit_transaction("put", f"{prefix}{number}", "v")
        except GatewayError:
            return
        told.append(f"{prefix}{number}")


async def test_a_network_killed_under_load_comes_back_with_every_block_that_it_told_of(tmp_path: Path) -> None:
    network = Network.up(tmp_path / "net", embedded_options())
    try:
        await deploy(network, Plan("kept", str(CONTRACT), confidential=False))
        told: list[str] = []
        async with connected(network.organisations[0], "User1") as gateway:
            contract = gateway.network(network.channel).contract("kept")
            writers = [asyncio.create_task(write_until_it_ends(contract, name, told)) for name in "abcdefgh"]
            while len(told) < 50:
                await asyncio.sleep(0.01)
            pid = network.status()[0].pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await asyncio.gather(*writers)
        ports = network.layout.ports().values()

        def gone() -> bool:  # the last of its threads closes its sockets
            return not process_began(pid) and not any(listens(port) for port in ports)

        wait_until(gone, what="killed", timeout_s=10, log=tmp_path / "none")
        assert {item.pid for item in network.status()} == {None}
        again = Network.up(tmp_path / "net")
        start_again(again)
        assert [await get(again, key) for key in (told[0], told[-1])] == [b"v", b"v"]
        await put(again, "submitted", "afterwards")
    finally:
        network.down()
    report = verify_ledger(
        open_source(tmp_path / "net" / "ledger").blocks(), genesis_hash=None, progress=lambda _: None
    )
    assert (report.differences, report.halted) == ([], "")
    assert report.codes["VALID"] >= len(told)


async def put(network: Network, key: str, value: str) -> None:
    """One more transaction."""
    async with connected(network.organisations[0], "User1") as gateway:
        await gateway.network(network.channel).contract("kept").submit_transaction("put", key, value)


@pytest.mark.parametrize("step", ["certificates", "EMBEDDED"])
@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["ctrl-c", "terminated", "killed"]
)
def test_a_start_broken_off_leaves_nothing_that_the_next_one_does_not_clear(
    tmp_path: Path, step: str, number: signal.Signals
) -> None:
    folder = tmp_path / "net"
    command = [sys.executable, "-m", "cloister", "network", "up", "--embedded", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while step not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(number)
    process.communicate(timeout=60)
    left = running_pid(folder, "embedded")
    if number != signal.SIGKILL:
        assert (process.returncode, left) == (130, None)
    network = Network.up(folder, embedded_options())
    try:
        pids = {item.pid for item in network.status()}
        assert None not in pids
        assert len(pids) == 1
    finally:
        network.down()
    assert running_pid(folder, "embedded") is None


def test_nodes_of_one_process_are_not_stopped_one_by_one(embedded_network: Network) -> None:
    assert embedded_network.is_embedded
    for refused in (embedded_network.stop_peer, embedded_network.start_peer, embedded_network.stop_orderer):
        with pytest.raises(UsageError, match="one process"):
            refused("org1")


@pytest.mark.parametrize("options", [{"orderers": 3}, {"consensus": "bft", "orderers": 4}])
def test_an_embedded_network_has_one_orderer(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="one orderer"):
        embedded_options(**options)
    NetworkOptions(**options)  # type: ignore[arg-type]


def test_it_is_loud_about_what_it_is(embedded_network: Network) -> None:
    log = (embedded_network.folder / "embedded.log").read_text("utf-8")
    assert "NOT FOR PRODUCTION" in log.splitlines()[0]
