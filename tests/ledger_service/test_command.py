"""`cloister ledger run`, `status` and `suspects`, and the services that a development network starts by itself."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cloister.deploy.servers import NAME, start_again, start_ledger, stop_server
from cloister.deploy.workspace import Workspace
from cloister.fabric.block import parse_block
from cloister.ledger_service.config import load_ledger_config
from cloister.network import Network
from cloister.network.processes import free_ports, listens, process_began, running_pid
from cloister.testing.blocks import bend_block
from cloister.testing.orderer import DishonestOrderer
from ledger_service.conftest import BOUND_S, add_transactions, chain_info, peer_blocks
from support.hosts import kill

pytestmark = pytest.mark.fabric


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cloister", "ledger", *arguments]


def cloister(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def deployed(followed_network: Network) -> Network:
    """A network with a ledger service of its organisation."""
    start_ledger(followed_network, followed_network.organisations[0], Workspace(followed_network))
    return followed_network


@pytest.fixture
def toml(deployed: Network, tmp_path: Path) -> Path:
    """A configuration like the deployed one's, with another port and folder for state."""
    text = (deployed.organisations[0].folder / "ledger" / "ledger.toml").read_text()
    path = tmp_path / "ledger.toml"
    path.write_text(re.sub("listen = .*", f'listen = "127.0.0.1:{free_ports(1)[0]}"', text))
    return path


@contextmanager
def started(toml: Path) -> Iterator[subprocess.Popen[str]]:
    """`cloister ledger run`, listening."""
    process = subprocess.Popen(
        command("run", "--config", str(toml)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + BOUND_S
        while not listens(load_ledger_config(toml).listen[1]):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.communicate()


async def caught_up(network: Network, *options: str) -> dict[str, Any]:
    """The service's status, once it is as high as the peer."""
    info = await chain_info(network)
    async with asyncio.timeout(BOUND_S):
        while True:
            done = await asyncio.to_thread(cloister, "status", *options, "--json")
            found: dict[str, Any] = json.loads(done.stdout)
            if found["height"] == info["height"]:
                assert found["block_hash"] == info["block_hash"]
                return found


def children(pid: int) -> list[int]:
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in table.splitlines() if line.split()[1] == str(pid)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminate"])
async def test_it_ends_in_order_with_its_enclave_and_a_sealed_checkpoint(
    deployed: Network, toml: Path, number: signal.Signals
) -> None:
    with started(toml) as process:
        (enclave,) = children(process.pid)
        await caught_up(deployed, "--address", ":".join(map(str, load_ledger_config(toml).listen)))
        process.send_signal(number)
        out, said = process.communicate(timeout=BOUND_S)
    assert process.returncode == 0
    assert out == ""
    assert "SIMULATION: no hardware protects this enclave" in said
    assert "Traceback" not in said
    assert list((toml.parent / "state" / "checkpoint").iterdir())
    assert process_began(enclave) == ""


async def test_status_and_suspects_of_a_network_by_folder(deployed: Network) -> None:
    options = ["--dir", str(deployed.folder), "--org", "org1"]
    found = await caught_up(deployed, *options)
    assert (found["state"], found["msp_id"]) == ("following", "Org1MSP")
    assert found["source"] in [orderer.endpoint for orderer in deployed.orderers]
    told = cloister("status", *options)
    assert told.returncode == 0
    assert f"following: channel {deployed.channel}, height {found['height']}, block hash" in told.stdout
    assert "warning: blocks may also be signed by: " in told.stdout
    assert json.loads(cloister("suspects", *options, "--json").stdout) == []
    assert cloister("suspects", *options).stdout == "none\n"


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        (r"genesis = .*", 'genesis = "absent.block"', 7, "absent.block: No such file"),
        (r"certificate = .*", 'certificate = "absent.pem"', 7, "absent.pem: No such file"),
        (r"policy = .*", 'policy = "ledger.toml"', 4, "ledger enclave refused: malformed"),
        (r"simulation_authority = .*", 'simulation_authority = "ledger.toml"', 7, "expected 32 bytes"),
        (r"name = \"mychannel\"", 'name = "other"', 7, "genesis block of channel mychannel, expected other"),
    ],
)
def test_what_is_wrong_with_a_configuration_is_one_line(
    toml: Path, old: str, new: str, code: int, message: str
) -> None:
    toml.write_text(re.sub(old, new, toml.read_text(), count=1))
    done = cloister("run", "--config", str(toml))
    errors = [line for line in done.stderr.splitlines() if line.startswith("cloister: error: ")]
    assert done.returncode == code
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in done.stderr


def test_a_second_service_on_the_port_is_told(toml: Path) -> None:
    with started(toml):
        done = cloister("run", "--config", str(toml))
    assert done.returncode == 7
    assert "is another ledger service running?" in done.stderr


async def test_a9_a_channel_that_no_orderer_serves_soundly_ends_it_with_the_reason(
    deployed: Network, toml: Path
) -> None:
    blocks = await peer_blocks(deployed)
    other = bend_block(blocks[2], lambda block: block.data.data.extend(parse_block(blocks[1]).transactions))
    endpoint = f"127.0.0.1:{free_ports(1)[0]}"
    toml.write_text(re.sub("addresses = .*", f'addresses = ["{endpoint}"]', toml.read_text()))
    async with DishonestOrderer(deployed, [*blocks[:2], other], endpoint=endpoint):
        done = await asyncio.to_thread(cloister, "run", "--config", str(toml))
    assert done.returncode == 4
    assert f"no orderer serves a chain that can be accepted ({endpoint}: block 2: " in done.stderr
    assert "(data-hash)" in done.stderr
    assert parse_block((toml.parent / "state" / "refused-2.block").read_bytes()).number == 2


def test_no_service_is_told() -> None:
    done = cloister("status", "--address", f"127.0.0.1:{free_ports(1)[0]}")
    assert done.returncode == 5
    assert done.stderr.startswith("cloister: error: ledger service not reachable at 127.0.0.1:")


async def test_a_network_starts_one_service_for_an_organisation_and_starts_it_again(deployed: Network) -> None:
    organisation = deployed.organisations[0]
    folder = organisation.folder / "ledger"
    pid = running_pid(folder, NAME)
    assert pid is not None
    address = start_ledger(deployed, organisation, Workspace(deployed))
    assert running_pid(folder, NAME) == pid
    assert address == ":".join(map(str, load_ledger_config(folder / "ledger.toml").listen))
    kill(pid)
    assert start_again(deployed) == ["org1 ledger"]
    assert start_again(deployed) == []
    stop_server(folder)
    assert start_ledger(deployed, organisation, Workspace(deployed)) == address


async def test_it_stops_with_its_network_and_comes_back_with_it(deployed: Network) -> None:
    folder, options = deployed.organisations[0].folder / "ledger", ("--dir", str(deployed.folder))
    before = await caught_up(deployed, *options)
    assert deployed.down() == 1 + len(deployed.orderers) + 1
    assert running_pid(folder, NAME) is None
    Network.up(deployed.folder)
    start_again(deployed)
    await add_transactions(deployed, 1)
    after = await caught_up(deployed, *options)
    assert after["sealed_height"] == before["height"]
