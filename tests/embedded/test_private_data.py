"""Private data: with the members' peers only, there again after a restart, gone when purged or over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloister.contract import Contract, TransactionContext, query
from cloister.embedded.authoring import Deployed, EmbeddedChannel
from cloister.errors import CloisterError
from cloister.network import Network, embedded_options
from cloister.testing.definitions import collection
from support.embedded import kill_and_start

FIRST_ONLY = "OR('Org1MSP.member')"
SECRET = b"a number nobody else may know"


class Keeper(Contract):
    """Private data of one organisation."""

    async def keep(self, ctx: TransactionContext, place: str, key: str) -> None:
        await ctx.get_stub().put_private_data(place, key, ctx.get_stub().get_transient()["value"])

    async def purge(self, ctx: TransactionContext, place: str, key: str) -> None:
        await ctx.get_stub().purge_private_data(place, key)

    async def other(self, ctx: TransactionContext, key: str) -> None:
        await ctx.get_stub().put_state(key, b"public")

    @query
    async def show(self, ctx: TransactionContext, place: str, key: str) -> bytes:
        return await ctx.get_stub().get_private_data(place, key)


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    network = Network.up(tmp_path / "net", embedded_options())
    yield network
    network.down()


async def keep(deployed: Deployed, place: str) -> None:
    caller = await deployed.as_user("org1/User1")
    await caller.remote.submit(
        "keep", arguments=[place, "k"], transient={"value": SECRET}, endorsing_organizations=["Org1MSP"]
    )


async def show(deployed: Deployed, place: str, user: str = "org1/User1") -> bytes:
    caller = await deployed.as_user(user)
    return await caller.remote.evaluate(
        "show", arguments=[place, "k"], endorsing_organizations=[caller.gateway.identity.msp_id]
    )


async def test_members_have_it_others_do_not_and_a_restart_changes_neither(network: Network) -> None:
    package = _package(collection("ours", FIRST_ONLY))
    async with EmbeddedChannel(network).deploy(
        Keeper, signature_policy="OR('Org1MSP.peer','Org2MSP.peer')", collections=package
    ) as deployed:
        await keep(deployed, "ours")
        for _ in range(2):
            assert await show(deployed, "ours") == SECRET
            with pytest.raises(CloisterError, match="private data matching public hash version is not available"):
                await show(deployed, "ours", "org2/User1")
            kill_and_start(network)


async def test_what_was_endorsed_before_a_restart_can_be_committed_after_it(network: Network) -> None:
    package = _package(collection("ours", FIRST_ONLY))
    async with EmbeddedChannel(network).deploy(
        Keeper, signature_policy="OR('Org1MSP.peer','Org2MSP.peer')", collections=package
    ) as deployed:
        caller = await deployed.as_user("org1/User1")
        proposal = caller.remote.new_proposal(
            "keep", arguments=["ours", "k"], transient={"value": SECRET}, endorsing_organizations=["Org1MSP"]
        )
        endorsed = await proposal.endorse()
        kill_and_start(network)
        (await (await endorsed.submit()).status()).require_successful()
        assert await show(deployed, "ours") == SECRET


async def test_what_is_purged_or_over_is_gone_from_disk_too(network: Network) -> None:
    package = _package(collection("ours", FIRST_ONLY), collection("brief", FIRST_ONLY, block_to_live=2))
    database = network.folder / "ledger" / "private.sqlite"
    async with EmbeddedChannel(network).deploy(
        Keeper, signature_policy="OR('Org1MSP.peer','Org2MSP.peer')", collections=package
    ) as deployed:
        caller = await deployed.as_user("org1/User1")
        await keep(deployed, "ours")
        await keep(deployed, "brief")
        await caller.remote.submit("purge", arguments=["ours", "k"], endorsing_organizations=["Org1MSP"])
        assert await show(deployed, "ours") == b""
        assert await show(deployed, "brief") == SECRET
        for number in range(3):
            await caller.submit("other", str(number))
        assert await show(deployed, "brief") == b""
        kill_and_start(network)
        assert await show(deployed, "ours") == await show(deployed, "brief") == b""
    network.down()
    assert SECRET not in database.read_bytes()


def _package(*collections: object) -> bytes:
    from fabric_protos.peer import collection_pb2

    encoded: bytes = collection_pb2.CollectionConfigPackage(config=list(collections)).SerializeToString()
    return encoded
