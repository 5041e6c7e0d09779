"""A real peer that asks for the client's TLS certificate, and binds block requests to it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from cloister.errors import MalformedInput, UsageError
from cloister.gateway import (
    Endpoint,
    EvaluateError,
    EventsError,
    Gateway,
    Identity,
    Signer,
    connect,
    endpoint_from_profile,
    load_identity,
    load_signer,
    open_channel,
)
from cloister.network import Network, NetworkOptions

BOUND_S = 20.0
pytestmark = pytest.mark.fabric


@pytest.fixture(scope="module")
def strict_network(fabric_binaries: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """One organisation, whose peer is started again with mutual TLS."""
    network = Network.up(tmp_path_factory.mktemp("mutual") / "net", NetworkOptions(organisations=1))
    try:
        organisation = network.organisations[0]
        network.stop_peer(organisation.name)
        path = organisation.folder / "peer" / "core.yaml"
        core = yaml.safe_load(path.read_text())
        core["peer"]["tls"]["clientAuthRequired"] = True
        core["peer"]["tls"]["clientRootCAs"] = {"files": [str(organisation.tls_ca_path)]}
        path.write_text(yaml.safe_dump(core))
        network.start_peer(organisation.name)
        yield network
    finally:
        network.down()


@pytest.fixture(scope="module")
def user(strict_network: Network) -> tuple[Identity, Signer]:
    files = strict_network.organisations[0].user("User1")
    return load_identity(files.msp_id, files.cert_path), load_signer(files.key_path)


@pytest.fixture(scope="module")
def endpoint(strict_network: Network) -> Endpoint:
    organisation = strict_network.organisations[0]
    tls = organisation.user("User1").msp_folder.parent / "tls"
    return replace(
        endpoint_from_profile(organisation.folder / "connection.json"),
        client_certificate=(tls / "client.crt").read_bytes(),
        client_key=(tls / "client.key").read_bytes(),
    )


async def first_blocks(gateway: Gateway, channel: str) -> list[int]:
    """The number of the first block on each of the three streams."""
    network = gateway.network(channel)
    numbers = []
    async with asyncio.timeout(BOUND_S):
        async with aclosing(network.block_events(start_block=0)) as blocks:
            numbers.append((await anext(blocks)).block_number)
        async with aclosing(network.filtered_block_events(start_block=0)) as filtered:
            numbers.append((await anext(filtered)).block_number)
        async with aclosing(network.block_and_private_data_events(start_block=0)) as both:
            numbers.append((await anext(both)).block_number)
    return numbers


async def test_block_events_are_bound_to_the_endpoints_certificate(
    strict_network: Network, endpoint: Endpoint, user: tuple[Identity, Signer]
) -> None:
    async with connect(endpoint, *user) as gateway:
        contract = gateway.network(strict_network.channel).contract("qscc")
        assert await contract.evaluate_transaction("GetChainInfo", strict_network.channel)
        assert await first_blocks(gateway, strict_network.channel) == [0, 0, 0]


async def test_with_a_channel_of_ones_own_the_hash_is_given(
    strict_network: Network, endpoint: Endpoint, user: tuple[Identity, Signer]
) -> None:
    assert endpoint.client_certificate is not None
    certificate = x509.load_pem_x509_certificate(endpoint.client_certificate)
    digest = hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
    channel = open_channel(endpoint)
    try:
        bound = connect(channel, *user, tls_client_certificate_hash=digest)
        assert await first_blocks(bound, strict_network.channel) == [0, 0, 0]
        with pytest.raises(EventsError, match="BAD_REQUEST") as caught:
            await first_blocks(connect(channel, *user), strict_network.channel)
        assert "tls_client_certificate_hash" in (caught.value.hint or "")
    finally:
        await channel.close()


async def test_without_a_certificate_the_hint_names_it(
    strict_network: Network, endpoint: Endpoint, user: tuple[Identity, Signer]
) -> None:
    bare = replace(endpoint, client_certificate=None, client_key=None)
    async with connect(bare, *user) as gateway:
        with pytest.raises(EvaluateError, match="is not reachable") as caught:
            await gateway.network(strict_network.channel).contract("qscc").evaluate_transaction("GetChainInfo", "x")
        assert "client's TLS certificate" in (caught.value.hint or "")


async def test_half_and_garbled_client_files_are_refused_before_connecting() -> None:
    identity = Identity("Org1MSP", b"certificate")
    with pytest.raises(UsageError, match="only one of them"):
        open_channel(Endpoint("127.0.0.1:9", b"ca", client_key=b"key"))
    with pytest.raises(MalformedInput, match="client's TLS certificate"):
        connect(Endpoint("127.0.0.1:9", b"ca", client_certificate=b"garbled", client_key=b"key"), identity)
