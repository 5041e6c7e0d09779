"""Fixtures for all tests: one real Fabric network for the whole session, started when the first test asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from cloister.errors import EnvironmentFailed
from cloister.network import Network, NetworkOptions, find_binaries
from cloister.network.install import install_binaries

pytest_plugins = ["cloister.embedded.plugin"]

# A deadline for each example measures how busy the machine is: real Fabric networks run beside it.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def fabric_binaries() -> None:
    """Fabric's programs, built if there are none: no test is skipped for want of them."""
    install_binaries()


@pytest.fixture(scope="session")
def fabric31() -> None:
    """Ends the run without Fabric 3.1's programs, which nothing here builds: no test is skipped for want of them."""
    try:
        found = find_binaries()
    except EnvironmentFailed as error:
        pytest.exit(f"tests marked fabric31 need Fabric 3.1 programs in FABRIC_BIN: {error}", returncode=1)
    if not found.version.startswith("3.1."):
        pytest.exit(
            f"tests marked fabric31 need Fabric 3.1 programs in FABRIC_BIN, found {found.version}", returncode=1
        )


@pytest.fixture(scope="session")
def fabric_network(fabric_binaries: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Two organisations with one peer each, one orderer, channel `mychannel`, blocks cut after 100 ms at the latest."""
    folder = tmp_path_factory.mktemp("network")
    network = Network.up(folder / "net", NetworkOptions(batch_timeout="100ms"))
    yield network
    network.down()


@pytest.fixture(scope="session", params=["fabric", "embedded"])
def any_network(request: pytest.FixtureRequest) -> Network:
    """Both, one after the other: what holds on real Fabric has to hold on the embedded network, by the same test."""
    found: Network = request.getfixturevalue(f"{request.param}_network")
    return found
