"""A pytest plugin for authors of contracts: a whole small Fabric channel, started once for all tests of a run.

    pytest_plugins = ["cloister.embedded.plugin"]        # in conftest.py

    async def test_only_its_owner_reads_it(embedded_channel):
        async with embedded_channel.deploy(Vault) as vault:
            ...

Coroutine tests need a plugin that runs them, such as pytest-asyncio. See docs/embedded.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cloister.network import Network, embedded_options

from .authoring import EmbeddedChannel


@pytest.fixture(scope="session")
def embedded_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Two organisations with one peer each, one orderer, channel `mychannel`, in one process beside the tests."""
    network = Network.up(tmp_path_factory.mktemp("embedded") / "net", embedded_options())
    yield network
    network.down()


@pytest.fixture
def embedded_channel(embedded_network: Network) -> EmbeddedChannel:
    """Deploys contracts on it: see `cloister.embedded.authoring`."""
    return EmbeddedChannel(embedded_network)
