"""Networks with several orderers: they come up, commit, and go on without one of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloister.errors import EnvironmentFailed
from cloister.network import Network, NetworkNotThere, NetworkOptions
from cloister.network.layout import load_layout, make_layout, ports_needed
from support.ordering import commit_one, height
from support.programs import fake_programs

BFT = NetworkOptions(orderers=4, consensus="bft")


@pytest.fixture(scope="module")
def network(fabric_binaries: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    folder = tmp_path_factory.mktemp("raft") / "net"
    network = Network.up(folder, NetworkOptions(organisations=1, orderers=3, batch_timeout="50ms"))
    yield network
    network.down()


@pytest.mark.fabric
async def test_three_raft_orderers_go_on_without_one_of_them(network: Network) -> None:
    assert [process.name for process in network.status()] == ["orderer", "orderer2", "orderer3", "org1 peer"]
    with_all = await commit_one(network, "with-all")
    assert with_all == 2
    network.stop_orderer("orderer")
    assert [process.name for process in network.status() if process.pid is None] == ["orderer"]
    with_two = await commit_one(network, "with-two")
    assert with_two > with_all
    network.start_orderer("orderer")
    assert all(process.pid for process in network.status())
    assert await commit_one(network, "with-all-again") > with_two


@pytest.mark.fabric
async def test_restarted_they_have_their_ledger_and_commit(network: Network) -> None:
    before = await height(network)
    assert network.down() == 4
    again = Network.up(network.folder)
    assert all(process.pid for process in again.status())
    assert await commit_one(again, "again") > before


@pytest.mark.fabric
def test_up_starts_the_orderers_that_do_not_run(network: Network) -> None:
    before = network.status()
    network.stop_orderer("orderer2")
    after = Network.up(network.folder).status()
    assert after[1].pid not in (None, before[1].pid)
    assert [*after[:1], *after[2:]] == [*before[:1], *before[2:]]


@pytest.mark.fabric
def test_clients_are_told_of_every_orderer(network: Network) -> None:
    endpoints = [orderer.endpoint for orderer in network.orderers]
    written = json.loads((network.folder / "network.json").read_text())
    assert [orderer["endpoint"] for orderer in written["orderers"]] == endpoints
    assert written["orderer"] == written["orderers"][0]
    profile = json.loads((network.folder / "org1" / "connection.json").read_text())
    assert [item["url"] for item in profile["orderers"].values()] == [f"grpcs://{item}" for item in endpoints]


@pytest.mark.fabric
def test_an_orderer_that_is_not_there_is_refused_by_name(network: Network) -> None:
    for call in (network.stop_orderer, network.start_orderer):
        with pytest.raises(NetworkNotThere, match="no orderer orderer4 in this network"):
            call("orderer4")


def test_bft_orderers_with_programs_of_2_5_are_one_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FABRIC_BIN", str(fake_programs(tmp_path / "bin", "v2.5.9")))
    with pytest.raises(EnvironmentFailed, match=r"BFT orderers need Fabric 3\.1, .* of version 2\.5\.9") as caught:
        Network.up(tmp_path / "net", BFT)
    assert caught.value.hint == "set FABRIC_BIN to a folder with Fabric 3.1 programs"
    assert not list((tmp_path / "net").iterdir())


def test_networks_from_before_there_were_options_for_orderers_load(tmp_path: Path) -> None:
    old = {"organisations": 1, "channel": "mychannel", "batch_timeout": "200ms", "max_messages": 100}
    document = {"options": old, "ports": [1, 2, 3, 4], "fabric_version": "2.5.9"}
    (tmp_path / "network.json").write_text(json.dumps(document))
    layout = load_layout(tmp_path)
    assert layout.ports() == {"orderer": 1, "orderer admin": 2, "org1 peer": 3, "org1 chaincode": 4}


def test_every_program_has_ports_of_its_own(tmp_path: Path) -> None:
    ports = list(range(ports_needed(BFT)))
    layout = make_layout(tmp_path, BFT, "3.1.5", ports)
    assert list(layout.ports().values()) == ports
    assert [layout.ports_of(orderer.name) for orderer in layout.orderers] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert layout.ports_of("org2 peer") == [10, 11]
    assert len({orderer.folder for orderer in layout.orderers}) == 4
