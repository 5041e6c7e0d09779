"""Nobody lies and much happens at once: no error but Fabric's own conflicts, and no total that cannot be."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from cloister.bench.honest import CHAINCODE, CONTRACT, HonestReport, honest_on_fabric, run_honest
from cloister.client.confidential import open_confidential
from cloister.client.results import PendingOutcome
from cloister.deploy.deploy import Plan, connected, deploy
from cloister.deploy.workspace import Workspace
from cloister.network import Network
from cloister.testing import ConfidentialChannel

TRANSACTIONS = int(os.environ.get("CLOISTER_HONEST_TRANSACTIONS", "2000"))
"""In one process; 10,000 take two minutes."""
IDLE_S = 3.0


@pytest.mark.parametrize(("late", "transactions"), [(0, TRANSACTIONS // 2), (12, TRANSACTIONS // 2)])
async def test_concurrent_clients_against_changing_snapshots_see_no_spurious_error(
    late: int, transactions: int
) -> None:
    """`late`: peers are ahead of the ledger enclave, which goes on in the middle of executions."""
    channel = ConfidentialChannel(Path(CONTRACT))
    for host in channel.hosts:
        host.interleave, host.keep_executions = True, False
    members = [channel.client(f"user{number}", f"Org{number % 2 + 1}MSP") for number in range(32)]
    callers = [await member.contract() for member in members]
    channel.ledger.late = late
    report = await run_honest(callers, transactions=transactions)
    assert report.clean, report.document()
    assert report.transactions >= transactions
    assert report.conflicts, "transactions that meet"
    assert report.queries


async def test_a_wrong_total_would_be_seen() -> None:
    """The comparison's twin."""
    channel = ConfidentialChannel(Path(CONTRACT))
    members = [channel.client(f"user{number}") for number in range(2)]
    callers = [await member.contract() for member in members]
    await callers[0].submit("open", '["stray"]')
    report = await run_honest(callers, transactions=20)
    assert report.impossible
    assert not report.clean


@pytest.fixture(scope="module")
async def accounts_network(fabric_network: Network) -> Network:
    await deploy(fabric_network, Plan(CHAINCODE, CONTRACT))
    return fabric_network


@pytest.mark.fabric
async def test_concurrent_clients_on_fabric_see_no_spurious_error(accounts_network: Network) -> None:
    report = await honest_on_fabric(accounts_network, transactions=200, clients=16, progress=lambda told: None)
    assert isinstance(report, HonestReport)
    assert report.clean, report.document()
    assert report.queries


@pytest.mark.fabric
async def test_a_channel_on_which_nothing_happens_answers_and_opens(accounts_network: Network) -> None:
    network = accounts_network
    async with connected(network.organisations[0], "User1") as gateway:
        trust = Workspace(network).trust(CHAINCODE)
        contract = await open_confidential(gateway.network(network.channel), CHAINCODE, trust)
        kept: list[PendingOutcome] = []
        await contract.submit("open", '["idle/a","idle/b"]')
        await asyncio.sleep(IDLE_S)  # what is tested is that this much time without a block does no harm
        began = time.monotonic()
        assert (await contract.evaluate("balance", "idle/a")).payload == b"1000"
        await asyncio.sleep(IDLE_S / 2)
        moved = await contract.submit("move", "idle/a", "idle/b", "1", on_pending=kept.append)
        assert moved.payload == b"999"
        await asyncio.sleep(IDLE_S / 2)
        assert (await contract.open(kept[0])).outcome.payload == b"999"
        assert time.monotonic() - began < IDLE_S + 5
        await contract.submit("move", "idle/b", "idle/a", "1")
