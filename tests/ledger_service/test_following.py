"""A ledger service on a real channel: it keeps up, comes back, and believes no orderer more than its enclave does."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from cloister.errors import EnvironmentFailed, Refused
from cloister.fabric.block import parse_block
from cloister.ledger_service import service as service_module
from cloister.ledger_service.config import LedgerConfig
from cloister.ledger_service.errors import ChannelHalted
from cloister.ledger_service.service import LedgerService
from cloister.network import Network
from cloister.network.processes import free_ports
from cloister.testing.blocks import bend_block, make_block
from cloister.testing.orderer import DishonestOrderer
from cloister.testing.signers import client_signer
from ledger_service.conftest import BOUND_S, add_transactions, chain_info, from_orderers, on_both, peer_blocks, running

pytestmark = pytest.mark.fabric
NOBODY = "127.0.0.1:1"
"""Where no orderer listens."""


@on_both
async def test_it_follows_from_the_genesis_block_and_stays_equal_to_the_peer(
    followed_network: Network, config: LedgerConfig
) -> None:
    async with running(config) as ledger:
        await ledger.until(**await chain_info(followed_network), state="following", sealed_height=1)
        await add_transactions(followed_network, 2)
        status = await ledger.until(**await chain_info(followed_network))
        assert status["channel"] == followed_network.channel
        assert status["source"] == followed_network.orderer.endpoint
        assert status["refused_sources"] == {}
        assert await ledger.client.suspects() == []


async def test_it_survives_a_restart_of_the_orderer(followed_network: Network, config: LedgerConfig) -> None:
    async with running(config) as ledger:
        before = await ledger.until(**await chain_info(followed_network))
        for orderer in followed_network.orderers:
            followed_network.stop_orderer(orderer.name)
        Network.up(followed_network.folder)
        await add_transactions(followed_network, 1)
        after = await ledger.until(**await chain_info(followed_network))
        assert after["height"] > before["height"]


async def test_an_enclave_that_is_killed_is_started_again(followed_network: Network, config: LedgerConfig) -> None:
    async with running(config) as ledger:
        info = await chain_info(followed_network)
        await ledger.until(**info)
        first = ledger.service.enclave_pid
        port = await ledger.client.enclave_port()
        assert first is not None
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(BOUND_S):
            while ledger.service.enclave_pid in (first, None):
                await asyncio.sleep(0.01)
        await ledger.until(**info)
        assert await ledger.client.enclave_port() != port


@on_both
async def test_a_restart_goes_on_from_the_sealed_checkpoint(followed_network: Network, config: LedgerConfig) -> None:
    async with running(config) as ledger:
        before = await ledger.until(**await chain_info(followed_network))
    async with running(from_orderers(config, NOBODY)) as ledger:  # no block can reach it
        restored = await ledger.client.status()
        assert (restored["height"], restored["block_hash"]) == (before["height"], before["block_hash"])
        assert restored["transactions"] == before["transactions"]
    await add_transactions(followed_network, 1)
    async with running(config) as ledger:
        await ledger.until(**await chain_info(followed_network), sealed_height=before["height"])


async def test_an_older_checkpoint_costs_time_only(
    followed_network: Network, config: LedgerConfig, tmp_path: Path
) -> None:
    async with running(config) as ledger:
        older = await ledger.until(**await chain_info(followed_network))
    shutil.copytree(config.state, tmp_path / "older")
    await add_transactions(followed_network, 1)
    async with running(config) as ledger:
        await ledger.until(**await chain_info(followed_network))
    shutil.rmtree(config.state)
    shutil.copytree(tmp_path / "older", config.state)
    async with running(config) as ledger:
        await ledger.until(**await chain_info(followed_network), sealed_height=older["height"])


def flip(part: Path) -> None:
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)


def cut(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:100])


def empty(part: Path) -> None:
    part.write_bytes(b"")


def repeat(part: Path) -> None:
    shutil.copy(part, part.with_name("000001.part"))


async def test_a_damaged_checkpoint_costs_time_only(
    followed_network: Network, config: LedgerConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    info = await chain_info(followed_network)
    async with running(config) as ledger:
        await ledger.until(**info)
    for damage in (flip, cut, empty, repeat):
        damaged = replace(config, state=tmp_path / damage.__name__)
        shutil.copytree(config.state, damaged.state)
        (part,) = (damaged.state / "checkpoint").iterdir()
        damage(part)
        caplog.clear()
        async with running(damaged) as ledger:
            await ledger.until(**info, sealed_height=1)
        assert "sealed checkpoint not taken (sealed-state): following from the genesis block" in caplog.text


async def test_a9_a_forged_block_of_the_only_orderer_ends_the_service(
    followed_network: Network, config: LedgerConfig
) -> None:
    blocks = await peer_blocks(followed_network)
    client, transactions = client_signer(followed_network.organisations[0]), list(parse_block(blocks[1]).transactions)
    forged = make_block(3, parse_block(blocks[2]).header_hash, transactions, [client])
    endpoint = f"127.0.0.1:{free_ports(1)[0]}"
    async with DishonestOrderer(followed_network, [*blocks[:3], forged], endpoint=endpoint):
        with pytest.raises(ChannelHalted) as caught:
            await asyncio.wait_for(LedgerService(from_orderers(config, endpoint)).serve(), BOUND_S)
    assert f"{endpoint}: block 3: " in caught.value.message
    assert "(block-signatures)" in caught.value.message
    assert (config.state / "refused-3.block").read_bytes() == forged


async def test_a9_a_forged_block_is_refused_and_the_next_orderer_asked(
    followed_network: Network, config: LedgerConfig
) -> None:
    blocks = await peer_blocks(followed_network)
    dropped = [*blocks[:3], *blocks[4:]]
    endpoint = f"127.0.0.1:{free_ports(1)[0]}"
    async with (
        DishonestOrderer(followed_network, dropped, endpoint=endpoint),
        running(from_orderers(config, endpoint, followed_network.orderer.endpoint)) as ledger,
    ):
        status = await ledger.until(**await chain_info(followed_network))
        assert list(status["refused_sources"]) == [endpoint]
        assert status["source"] == followed_network.orderer.endpoint


async def test_its_honest_twin_is_followed(followed_network: Network, config: LedgerConfig) -> None:
    blocks = await peer_blocks(followed_network)
    endpoint = f"127.0.0.1:{free_ports(1)[0]}"
    async with (
        DishonestOrderer(followed_network, blocks, endpoint=endpoint),
        running(from_orderers(config, endpoint)) as ledger,
    ):
        await ledger.until(height=len(blocks), block_hash=parse_block(blocks[-1]).header_hash.hex())


async def test_an_orderer_that_keeps_blocks_back_is_left_for_the_next_one(
    followed_network: Network, config: LedgerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "SILENCE_S", 0.3)
    blocks = await peer_blocks(followed_network)
    endpoint = f"127.0.0.1:{free_ports(1)[0]}"
    async with (
        DishonestOrderer(followed_network, blocks[:2], endpoint=endpoint),
        running(from_orderers(config, endpoint, followed_network.orderer.endpoint)) as ledger,
    ):
        await ledger.until(**await chain_info(followed_network), refused_sources={})


async def test_a_checkpoint_is_sealed_while_it_runs(
    followed_network: Network, config: LedgerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "SEAL_EVERY_S", 0.2)
    async with running(config) as ledger:
        info = await chain_info(followed_network)
        await ledger.until(**info, sealed_height=info["height"])
        assert list((config.state / "checkpoint").iterdir())


async def test_a_genesis_block_that_is_none_is_told(config: LedgerConfig, tmp_path: Path) -> None:
    for content, message in (
        (b"", "malformed"),
        (bend_block(config.genesis.read_bytes(), lambda block: block.data.data.append(b"")), "genesis block refused"),
    ):
        path = tmp_path / "other.block"
        path.write_bytes(content)
        with pytest.raises(Refused, match=message):
            await LedgerService(replace(config, genesis=path)).serve()
    with pytest.raises(EnvironmentFailed, match="genesis block of channel mychannel, expected yourchannel"):
        await LedgerService(replace(config, channel="yourchannel")).serve()
    assert not config.state.exists()
