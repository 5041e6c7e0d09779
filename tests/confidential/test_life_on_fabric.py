"""What users meet besides the good day: missing keys, wrong code, killed processes, races, upgrades. On real Fabric."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloister.client.confidential import ConfidentialContract, open_confidential
from cloister.client.credentials import Trust
from cloister.client.initialise import Initialiser
from cloister.deploy.deploy import Plan, connected, deploy, initialise
from cloister.deploy.servers import start_again, stop_server
from cloister.deploy.workspace import Workspace
from cloister.errors import CloisterError, CommitRefused, Refused
from cloister.gateway import EndorseError, EvaluateError
from cloister.network import Network, NetworkOptions
from confidential.conftest import Callers
from support.chain import ledger_measurement
from support.command import cloister
from support.hosts import enclave_pid, host_pid, kill, restart_host
from support.replace import replaced

pytestmark = pytest.mark.fabric
COUNTER = str(Path(__file__).parents[1] / "support" / "counter.py")


@pytest.fixture(scope="module")
async def network(fabric_binaries: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Network]:
    """A network of this file's own: its processes are killed."""
    network = Network.up(tmp_path_factory.mktemp("life") / "net", NetworkOptions(batch_timeout="100ms"))
    await deploy(network, Plan("counter", COUNTER))
    yield network
    network.down()


@contextlib.asynccontextmanager
async def opened(
    network: Network, chaincode: str = "counter", trust: Trust | None = None
) -> AsyncIterator[ConfidentialContract]:
    async with connected(network.organisations[0], "User1") as gateway:
        channel = gateway.network(network.channel)
        yield await open_confidential(channel, chaincode, trust or Workspace(network).trust(chaincode))


async def increment(contract: ConfidentialContract, name: str) -> int:
    """Until it is committed; the client's part of "a retry works"."""
    async with asyncio.timeout(30):
        while True:
            try:
                return int((await contract.submit("increment", name)).payload)
            except (EndorseError, CommitRefused):
                await asyncio.sleep(0)


async def test_e3_a_killed_enclave_costs_an_error_at_most_and_nothing_is_doubled(network: Network) -> None:
    name = os.urandom(4).hex()
    async with opened(network) as contract:
        for count in range(1, 13):
            submission = asyncio.create_task(increment(contract, name))
            if count % 4 == 0:
                await asyncio.sleep(0.002 * count)  # somewhere in the middle of it; any moment is a fair one
                await asyncio.to_thread(kill, enclave_pid(network, f"org{1 + count // 4 % 2}", "counter"))
            assert await submission == count
        assert int((await contract.evaluate("value", name)).payload) == 12


async def test_a_killed_host_comes_back_with_its_keys_and_without_init(network: Network) -> None:
    callers = Callers(network)
    name = os.urandom(4).hex()
    assert await callers.submit("org1/User1", "counter", "increment", name) == "1"
    enclave = enclave_pid(network, "org2", "counter")
    kill(host_pid(network, "org2", "counter"))
    with pytest.raises(EndorseError):
        await callers.submit("org1/User1", "counter", "increment", name)
    async with asyncio.timeout(20):
        while Path(f"/proc/{enclave}").exists():  # the enclave ends with its host
            await asyncio.sleep(0.01)
    assert start_again(network) == ["org2 counter"]
    assert await callers.submit("org1/User1", "counter", "increment", name) == "2"
    assert await callers.evaluate("org2/User1", "counter", "value", name) == "2"


async def test_a_restarted_peer_finds_its_host_again(network: Network) -> None:
    callers = Callers(network)
    name = os.urandom(4).hex()
    assert await callers.submit("org1/User1", "counter", "increment", name) == "1"
    network.stop_peer("org2")
    network.start_peer("org2")
    async with opened(network) as contract:
        assert await increment(contract, name) == 2


async def test_an_enclave_without_keys_is_told_with_what_to_do(network: Network) -> None:
    await deploy(network, Plan("unborn", COUNTER, initialise=False))
    with pytest.raises(Refused, match="unborn is not initialised") as caught:
        async with opened(network, "unborn"):
            pass
    assert caught.value.hint is not None
    assert "cloister init" in caught.value.hint


async def test_c9_two_organisations_racing_for_the_first_keys_settle(network: Network) -> None:
    await deploy(network, Plan("racing", COUNTER, initialise=False))
    workspace = Workspace(network)

    async def run(number: int) -> str:
        organisation = network.organisations[number]
        async with connected(organisation) as gateway:
            done = await Initialiser(
                gateway.network(network.channel),
                chaincode="racing",
                registry="registry",
                msp_id=organisation.msp_id,
                policy=workspace.policy_path.read_bytes(),
                ledger_measurement=ledger_measurement(),
                progress=lambda message: None,
            ).run()
        return done.key_set_id

    first, second = await asyncio.gather(run(0), run(1))
    assert first == second
    assert {item.key_set_id for item in await initialise(network, "racing")} == {first}
    assert await Callers(network).submit("org2/User1", "racing", "increment", "x") == "1"


async def test_init_again_changes_nothing(network: Network) -> None:
    before = await initialise(network, "counter")
    assert await initialise(network, "counter") == before
    assert not any(item.made_keys for item in before)


async def test_a_new_sequence_of_the_same_code_gets_new_keys_and_keeps_the_state(network: Network) -> None:
    await deploy(network, Plan("lasting", COUNTER))
    callers = Callers(network)
    assert await callers.submit("org1/User1", "lasting", "increment", "x") == "1"
    async with opened(network, "lasting") as before:
        old = before.credentials.descriptor
        deployment = await deploy(network, Plan("lasting", COUNTER))
        assert deployment.sequence == 2
        with pytest.raises(EndorseError, match="key-set"):
            await before.submit("increment", "x")
    async with opened(network, "lasting") as after:
        assert after.credentials.descriptor.sequence == 2
        assert after.credentials.descriptor.request_key != old.request_key
        assert await increment(after, "x") == 2


async def test_changed_code_on_a_host_is_refused_by_its_measurement(network: Network) -> None:
    """The definition approves one contract, a host runs another: it gets no keys and endorses nothing."""
    await deploy(network, Plan("changed", COUNTER, initialise=False))
    served = network.organisation("org1").folder / "chaincode" / "changed" / "contract" / "counter.py"
    served.write_text(served.read_text() + "\n# one line more\n")
    restart_host(network, "org1", "changed")
    with pytest.raises(CloisterError, match="wrong measurement: the committed definition has version"):
        await initialise(network, "changed")


async def test_a_sealed_state_of_another_platform_stops_the_host_with_one_line(network: Network) -> None:
    await deploy(network, Plan("moved", COUNTER))
    folder = network.organisation("org1").folder / "chaincode" / "moved"
    stop_server(folder)
    (folder / "enclave.sealed").write_bytes(b"of another machine")
    with pytest.raises(CloisterError, match="server ended") as caught:
        start_again(network)
    assert "Traceback" not in caught.value.message
    said = (folder / "server.log").read_text()
    assert "refused by the enclave (sealed-state)" in said
    assert "Traceback" not in said
    (folder / "enclave.sealed").unlink()
    assert start_again(network) == ["org1 moved"]
    await initialise(network, "moved")
    assert await Callers(network).submit("org2/User1", "moved", "increment", "x") == "1"


async def test_c6_a_revoked_enclave_serves_no_more_and_a_fresh_one_takes_its_place(
    network: Network, tmp_path: Path
) -> None:
    await deploy(network, Plan("retiring", COUNTER))
    callers = Callers(network)
    done = json.loads(cloister(network, "submit", "--json", "retiring", "increment", "x"))
    receipt = tmp_path / "receipt"
    cloister(network, "receipt", "export", "--out", str(receipt), "retiring", done["transaction_id"])
    listed = {item["msp_id"]: item for item in json.loads(cloister(network, "registry", "list", "--json", "retiring"))}
    second = listed["Org2MSP"]["evidence_id"]
    told = cloister(network, "registry", "revoke", "--as", "org2/User1", "retiring", second, fails=5)
    assert "only administrators may revoke" in told
    assert "noted" in cloister(network, "registry", "revoke", "--as", "org1/Admin", "retiring", second)
    assert await callers.evaluate("org2/User1", "retiring", "value", "x") == "1"
    assert f"revoked {second}" in cloister(network, "registry", "revoke", "--as", "org2/Admin", "retiring", second)
    with pytest.raises(EvaluateError, match="ledger enclave refused: revoked"):
        await callers.evaluate("org2/User1", "retiring", "value", "x")
    assert await callers.evaluate("org1/User1", "retiring", "value", "x") == "1"

    told = cloister(network, "init", "--as", "org2/Admin", "retiring", fails=4)
    assert f"enclave {second} of Org2MSP was revoked" in told
    folder = network.organisation("org2").folder / "chaincode" / "retiring"
    stop_server(folder)
    (folder / "enclave.sealed").unlink()
    start_again(network)
    await initialise(network, "retiring")
    assert await callers.submit("org2/User1", "retiring", "increment", "x") == "2"

    first = listed["Org1MSP"]["evidence_id"]
    cloister(network, "registry", "revoke", "--as", "org1/Admin", "retiring", first)  # it had made the keys
    with pytest.raises(Refused, match="the enclave that made its keys was revoked"):
        await callers.evaluate("org2/User1", "retiring", "value", "x")
    pins = ["--policy", str(Workspace(network).policy_path), "--genesis", str(network.genesis_block_path)]
    assert "receipt holds" in cloister(network, "receipt", "verify", *pins, "--contract", COUNTER, str(receipt))


async def test_pins_that_do_not_match_stop_the_client_before_anything_is_sent(network: Network) -> None:
    trust = Workspace(network).trust("counter")
    for wrong, text in (
        (replaced(trust, measurements=frozenset({bytes(32)})), "wrong measurement"),
        (replaced(trust, genesis_hash=bytes(32)), "another genesis hash"),
        (replaced(trust, policy=replaced(trust.policy, simulation_authorities=())), "authority is not in the policy"),
        (replaced(trust, policy=replaced(trust.policy, kinds=("sgx-dcap",))), "kind simulation is not accepted"),
    ):
        with pytest.raises(Refused, match=text):
            async with opened(network, trust=wrong):
                pass


async def test_an_uncommitted_or_plain_chaincode_is_told_as_such(network: Network) -> None:
    trust = Workspace(network).trust("counter")
    with pytest.raises(EvaluateError, match="nowhere is not committed on this channel"):
        async with opened(network, "nowhere", trust):
            pass
    with pytest.raises(EvaluateError, match="registry is not confidential"):
        async with opened(network, "registry", trust):
            pass
