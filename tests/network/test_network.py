"""Networks on this machine: they start, stop, come back with their ledgers, and harm nobody else's processes."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloister.errors import EnvironmentFailed, UsageError
from cloister.network import PROGRAMS, Network, NetworkFailed, NetworkNotThere, NetworkOptions, find_binaries
from cloister.network.claim import claimed
from cloister.network.client_files import peer_environment
from cloister.network.network import BUILDER
from cloister.network.processes import process_began, running_pid
from support.ordering import height
from support.programs import fake_program

pytestmark = pytest.mark.fabric


@pytest.fixture(scope="module")
def network(fabric_binaries: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    network = Network.up(tmp_path_factory.mktemp("one") / "net", NetworkOptions(organisations=1))
    yield network
    network.down()


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
        {"orderers": 0},
        {"orderers": 8},
        {"consensus": "solo"},
        {"consensus": "bft"},
        {"consensus": "bft", "orderers": 3},
        {"consensus": "bft", "orderers": 8},
    ],
)
def test_impossible_options_are_refused_by_name(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        NetworkOptions(**options)  # type: ignore[arg-type]


def test_other_options_than_the_network_has_are_refused_not_ignored(network: Network) -> None:
    with pytest.raises(UsageError, match="has other options: 1 organisations, channel mychannel"):
        Network.up(network.folder, NetworkOptions(organisations=2))
    assert Network.up(network.folder, NetworkOptions(organisations=1)).layout == network.layout


def test_a_broken_off_start_is_started_anew(fabric_binaries: None, tmp_path: Path) -> None:
    """Killed, not interrupted: nobody could clean up."""
    folder = tmp_path / "net"
    command = [sys.executable, "-m", "cloister", "network", "up", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while running_pid(folder / "orderer", "orderer") is None:
        assert process.poll() is None
    process.kill()
    process.communicate(timeout=60)
    if not (folder / "network.json").exists():
        with pytest.raises(NetworkNotThere, match="its start was broken off"):
            Network.load(folder)
    left = list(folder.rglob("*.pid"))
    pids = [running_pid(path.parent, path.stem) for path in left]
    network = Network.up(folder)
    try:
        assert all(process.pid for process in network.status())
        assert not any(pid and process_began(pid) for pid in pids)
    finally:
        network.down(remove=True)


def test_two_starts_at_once_do_not_mix(fabric_binaries: None, tmp_path: Path) -> None:
    with claimed(tmp_path / "net"), pytest.raises(EnvironmentFailed, match="another start of this network is under"):
        Network.up(tmp_path / "net")
    assert list((tmp_path / "net").iterdir()) == []


def test_a_folder_that_cannot_be_is_one_clear_error(fabric_binaries: None, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "net"):
        with pytest.raises(EnvironmentFailed, match=r"File exists|Not a directory"):
            Network.up(folder)


def test_a_program_that_ends_at_once_is_reported_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch, fabric_binaries: None, tmp_path: Path
) -> None:
    real = find_binaries()
    programs = tmp_path / "bin"
    programs.mkdir()
    for program in PROGRAMS:
        (programs / program).symlink_to(real.folder / program)
    (programs / "orderer").unlink()
    fake_program(programs / "orderer", "echo the disk is full; exit 1")
    monkeypatch.setenv("FABRIC_BIN", str(programs))
    with pytest.raises(NetworkFailed, match="orderer starts: the program ended; last log line: the disk is full"):
        Network.up(tmp_path / "net", NetworkOptions(organisations=1))
    assert not list((tmp_path / "net").rglob("*.pid"))
    monkeypatch.delenv("FABRIC_BIN")
    Network.up(tmp_path / "net", NetworkOptions(organisations=1)).down(remove=True)


def test_stopping_needs_no_programs(monkeypatch: pytest.MonkeyPatch, fabric_binaries: None, tmp_path: Path) -> None:
    Network.up(tmp_path / "net", NetworkOptions(organisations=1))
    monkeypatch.setenv("FABRIC_BIN", str(tmp_path))
    assert Network.load(tmp_path / "net").down() == 2


def test_a_killed_peer_comes_back_with_the_next_up(network: Network) -> None:
    orderer, peer = network.status()
    assert peer.pid is not None
    os.kill(peer.pid, signal.SIGKILL)
    while network.status()[1].pid is not None:
        pass
    again = Network.up(network.folder).status()
    assert again[0] == orderer
    assert again[1].pid not in (None, peer.pid)


def test_a_folder_with_blanks_and_quotes_works(fabric_binaries: None, tmp_path: Path) -> None:
    network = Network.up(tmp_path / "it's a net", NetworkOptions(organisations=1))
    try:
        script = f". {shlex.quote(str(network.folder / 'org1' / 'user1.env'))}; peer channel getinfo -c $CHANNEL"
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
        assert '"height":1' in done.stdout + done.stderr
    finally:
        network.down()


def test_only_loopback_is_listened_on(network: Network) -> None:
    pids = {process.pid for process in network.status()}
    listening = [address for pid in pids if pid for address in listening_addresses(pid)]
    # orderer, its admin port, peer, its chaincode port, and two operations ports of no further use
    assert len(listening) == 6
    assert {host for host, _ in listening} == {"127.0.0.1"}
    assert set(network.layout.ports().values()) <= {port for _, port in listening}


def listening_addresses(pid: int) -> list[tuple[str, int]]:
    """From Linux' /proc: IPv4 and IPv6 sockets in state LISTEN (0A) that the process has open."""
    sockets = {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir() if path.exists() or path.is_symlink()}
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                host, _, port = fields[1].partition(":")
                octets = bytes.fromhex(host)[::-1]
                found.append((socket.inet_ntoa(octets) if table == "tcp" else f"[{host}]", int(port, 16)))
    return found


@pytest.mark.parametrize(
    ("step", "number"),
    [
        ("certificates", signal.SIGINT),
        ("orderers and peers", signal.SIGINT),
        ("orderers and peers", signal.SIGTERM),
        ("joining channel", signal.SIGINT),
    ],
)
def test_broken_off_it_leaves_nothing_running(
    fabric_binaries: None, tmp_path: Path, step: str, number: signal.Signals
) -> None:
    """Interrupted in each step, or terminated; what was started is stopped again, and the next `up` works."""
    folder = tmp_path / "net"
    command = [sys.executable, "-m", "cloister", "network", "up", "--orgs", "1", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while step not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(number)
    stdout, talk = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "")
    assert talk.splitlines()[-1] == "cloister: interrupted"
    assert not list(folder.rglob("*.pid"))
    network = Network.up(folder, NetworkOptions(organisations=1))
    assert network.down(remove=True) == 2


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
