"""Networks on this machine: they start, stop, come back with their ledgers, and harm nobody else's processes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fabric_protos.common import ledger_pb2

from cloister.deploy.deploy import connected
from cloister.errors import EnvironmentFailed, UsageError
from cloister.network import Network, NetworkNotThere, NetworkOptions
from cloister.network.client_files import peer_environment
from cloister.network.network import BUILDER
from cloister.network.processes import running_pid, stop_process

pytestmark = pytest.mark.fabric


@pytest.fixture(scope="module")
def network(fabric_binaries: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    network = Network.up(tmp_path_factory.mktemp("one") / "net", NetworkOptions(organisations=1))
    yield network
    network.down()


async def height(network: Network) -> int:
    async with connected(network.organisations[0]) as gateway:
        contract = gateway.network(network.channel).contract("qscc")
        answer = await contract.evaluate_transaction("GetChainInfo", network.channel)
    return int(ledger_pb2.BlockchainInfo.FromString(answer).height)


async def test_stopped_and_started_again_it_has_its_ledger(network: Network) -> None:
    before = await height(network)
    endpoint = network.organisations[0].peer_endpoint
    assert network.down() == 2
    assert [process.pid for process in network.status()] == [None, None]
    again = Network.up(network.folder)
    assert all(process.pid for process in again.status())
    assert again.organisations[0].peer_endpoint == endpoint
    assert await height(again) == before


def test_up_on_a_running_network_changes_nothing(network: Network) -> None:
    pids = [process.pid for process in network.status()]
    said: list[str] = []
    assert [process.pid for process in Network.up(network.folder, progress=said.append).status()] == pids
    assert said == ["the network is running already"]


def test_a_second_network_runs_beside_it(network: Network, tmp_path: Path) -> None:
    second = Network.up(tmp_path / "second", NetworkOptions(organisations=1, channel="other"))
    try:
        assert all(process.pid for process in (*network.status(), *second.status()))
        assert not set(network.layout.ports().values()) & set(second.layout.ports().values())
    finally:
        assert second.down(remove=True) == 2
    assert not (tmp_path / "second").exists()
    assert all(process.pid for process in network.status())


def test_down_twice_is_harmless(tmp_path: Path) -> None:
    network = Network.up(tmp_path / "net", NetworkOptions(organisations=1))
    assert network.down() == 2
    assert network.down() == 0


def test_a_port_taken_meanwhile_is_one_clear_error(tmp_path: Path) -> None:
    network = Network.up(tmp_path / "net", NetworkOptions(organisations=1))
    network.down()
    with (
        socket.create_server(("127.0.0.1", network.organisations[0].peer_port)),
        pytest.raises(EnvironmentFailed, match=r"port in use: org1 peer needs 127\.0\.0\.1:\d+"),
    ):
        Network.up(tmp_path / "net")
    assert not any(process.pid for process in network.status())


def test_a_pid_that_belongs_to_somebody_else_by_now_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        (tmp_path / "peer.pid").write_text(f"{stranger.pid}\n/somewhere/peer\n")
        assert running_pid(tmp_path, "peer") is None
        assert stop_process(tmp_path, "peer") is False
        assert stranger.poll() is None
    finally:
        stranger.communicate()


@pytest.mark.parametrize("content", ["", "x\ny\n", "99999999\n/bin/peer\n", "1\n"])
def test_a_damaged_pid_file_means_not_running(tmp_path: Path, content: str) -> None:
    (tmp_path / "peer.pid").write_text(content)
    assert running_pid(tmp_path, "peer") is None


def test_folders_that_hold_something_else_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(EnvironmentFailed, match="not empty"):
        Network.up(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]
    with pytest.raises(NetworkNotThere, match="no network in"):
        Network.load(tmp_path)
    (tmp_path / "network.json").write_text("{")
    with pytest.raises(NetworkNotThere, match="damaged"):
        Network.load(tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {"organisations": 0},
        {"organisations": 9},
        {"channel": "My Channel"},
        {"batch_timeout": "soon"},
        {"max_messages": 0},
    ],
)
def test_impossible_options_are_refused_by_name(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        NetworkOptions(**options)  # type: ignore[arg-type]


def test_ctrl_c_leaves_nothing_running(fabric_binaries: None, tmp_path: Path) -> None:
    """Interrupted at several moments; each time whatever was started is stopped again."""
    for moment_s in (0.2, 0.45, 0.7):
        folder = tmp_path / f"net-{moment_s}"
        command = [sys.executable, "-m", "cloister", "network", "up", "--dir", str(folder)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        deadline = time.monotonic() + moment_s
        while time.monotonic() < deadline and process.poll() is None:
            pass
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        if process.returncode == 0:  # it was up already
            Network.load(folder).down()
        else:
            assert process.returncode == 130
        left = [path for path in folder.rglob("*.pid") if running_pid(path.parent, path.stem)]
        assert left == []


def test_the_peer_cli_works_with_the_environment_file(network: Network) -> None:
    organisation = network.organisations[0]
    script = f". {organisation.folder}/peer.env; peer channel getinfo -c $CHANNEL"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert "Blockchain info" in done.stdout + done.stderr
    assert peer_environment(network.layout, organisation, organisation.admin)["CORE_PEER_LOCALMSPID"] == "Org1MSP"


def test_a_stopped_peer_comes_back(network: Network) -> None:
    network.stop_peer("org1")
    assert network.status()[1].pid is None
    network.start_peer("Org1MSP")
    assert network.status()[1].pid is not None


def test_the_external_builder_takes_ccaas_and_nothing_else(tmp_path: Path) -> None:
    source, metadata, output, release = (tmp_path / name for name in ("source", "metadata", "output", "release"))
    for folder in (source, metadata, output, release):
        folder.mkdir()
    run = [str(BUILDER / "bin" / "detect"), str(source), str(metadata)]
    (metadata / "metadata.json").write_text('{"path":"","type":"golang","label":"ccaas"}')
    assert subprocess.run(run, check=False).returncode != 0
    (metadata / "metadata.json").write_text('{"path":"", "type" : "ccaas", "label":"x"}')
    assert subprocess.run(run, check=False).returncode == 0
    build = [str(BUILDER / "bin" / "build"), str(source), str(metadata), str(output)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert (done.returncode, "connection.json" in done.stderr) == (1, True)
    (source / "connection.json").write_text('{"address":"127.0.0.1:9"}')
    indexes = source / "META-INF" / "statedb" / "couchdb" / "indexes"
    indexes.mkdir(parents=True)
    (indexes / "index.json").write_text("{}")
    assert subprocess.run(build, check=False).returncode == 0
    assert subprocess.run([str(BUILDER / "bin" / "release"), str(output), str(release)], check=False).returncode == 0
    assert (release / "chaincode" / "server" / "connection.json").read_text() == '{"address":"127.0.0.1:9"}'
    assert (release / "statedb" / "couchdb" / "indexes" / "index.json").exists()


def test_three_organisations_start_too(tmp_path: Path) -> None:
    network = Network.up(tmp_path / "net", NetworkOptions(organisations=3))
    try:
        assert len([process for process in network.status() if process.pid]) == 4
        assert os.access(network.folder / "org3" / "connection.json", os.R_OK)
    finally:
        network.down()
        shutil.rmtree(network.folder)
