"""Fixtures for all tests: one real Fabric network for the whole session, started when the first test asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cloister.network import Network, NetworkOptions


@pytest.fixture(scope="session")
def fabric_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Two organisations with one peer each, one orderer, channel `mychannel`, blocks cut after 100 ms at the latest."""
    folder = tmp_path_factory.mktemp("network")
    network = Network.up(folder / "net", NetworkOptions(batch_timeout="100ms"))
    yield network
    network.down()
