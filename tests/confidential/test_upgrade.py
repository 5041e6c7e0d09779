"""Other code, the same state: upgrades on real Fabric, by the commands that administrators type.

Three organisations, so that two of them are a majority of LifecycleEndorsement: they can commit any measurement.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloister.client.confidential import ConfidentialContract, open_confidential
from cloister.client.results import PendingOutcome
from cloister.deploy.deploy import Plan, connected, deploy, measure
from cloister.deploy.servers import NAME, ServerPlan, start_again, start_host, start_ledger
from cloister.deploy.upgrade import upgrade
from cloister.deploy.workspace import Workspace
from cloister.fabric.proposal import compute_transaction_id
from cloister.gateway import EndorseError, Transaction
from cloister.gateway import Network as Channel
from cloister.lifecycle import ChaincodeDefinition, Lifecycle, package_chaincode, wait_until_usable
from cloister.network import Network, NetworkOptions
from cloister.network.processes import free_ports, running_pid
from cloister.trusted.protocol.request import Request, seal_request
from confidential.conftest import Callers
from support import command

pytestmark = pytest.mark.fabric
cloister = functools.partial(command.cloister, timeout_s=120)
README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
LENGTH = """
    @query
    async def length(self, ctx: TransactionContext) -> int:
        return len(await ctx.get_stub().get_state(self._key(ctx)))
"""
"""What the honest next version adds."""
PEEK = """
    @query
    async def peek(self, ctx: TransactionContext, msp_id: str, distinguished_id: str) -> str:
        key = ctx.get_stub().create_composite_key("vault", [msp_id, distinguished_id])
        return (await ctx.get_stub().get_state(key)).decode()
"""
"""What a rogue version adds: it reads anybody's secret."""


class Interrupted(Exception):
    """Somebody pressed Ctrl-C."""


@pytest.fixture(scope="module")
def network(fabric_binaries: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    options = NetworkOptions(organisations=3, batch_timeout="100ms")
    network = Network.up(tmp_path_factory.mktemp("upgrade") / "net", options)
    yield network
    network.down()


def contract(folder: Path, more: str = "") -> str:
    """The vault of the README, with more functions."""
    (block,) = re.findall(r"```python\n(from cloister.contract.*?)```", README, re.DOTALL)
    folder.mkdir(exist_ok=True)
    (folder / "vault.py").write_text(block + more)
    return str(folder / "vault.py")


async def endorsed(contract: ConfidentialContract, channel: Channel, function: str, *arguments: str) -> Transaction:
    """A call that the enclaves have answered and nobody has submitted yet."""
    gateway = channel.gateway
    nonce, creator = gateway.new_nonce(), gateway.identity.creator
    request = Request(function, tuple(item.encode() for item in arguments), os.urandom(32))
    transaction_id = compute_transaction_id(nonce, creator)
    sealed = seal_request(request, contract.credentials.descriptor, transaction_id=transaction_id, creator=creator)
    return await channel.new_proposal("vault", [sealed], nonce=nonce).endorse()


async def interrupted_at(network: Network, code: str, step: str) -> None:
    """An upgrade that ends where it tells this step."""

    def stop(message: str) -> None:
        if step in message:
            raise Interrupted

    with pytest.raises(Interrupted):
        await upgrade(network, "vault", code, progress=stop)


async def test_an_upgrade_interrupted_anywhere_goes_on_and_keeps_state_and_outcomes(
    network: Network, tmp_path: Path
) -> None:
    code = contract(tmp_path)
    await deploy(network, Plan("vault", code))
    callers = Callers(network)
    assert await callers.submit("org2/User1", "vault", "store", "of another") == "OK"
    async with connected(network.organisations[0], "User1") as gateway:
        channel = gateway.network(network.channel)
        before = await open_confidential(channel, "vault", Workspace(network).trust("vault"))
        kept: list[PendingOutcome] = []
        await before.submit("store", "the combination is 4711", on_pending=kept.append)
        late = await endorsed(before, channel, "store", "too late")
        contract(tmp_path, LENGTH)  # in place, as one edits: the old enclave is started from a copy
        assert "chaincode upgrade" in cloister(network, *("chaincode", "deploy", *named(code)), fails=2)
        for step in ("install", "hands its keys", "it has made", "asking", "stopping"):
            await interrupted_at(network, code, step)
        done = json.loads(cloister(network, *("chaincode", "upgrade", *named(code), "--json")))
        assert (done["sequence"], done["version"]) == (2, measure(code))
        assert json.loads(cloister(network, *("chaincode", "upgrade", *named(code), "--json"))) == done
        with pytest.raises(EndorseError, match="key-set"):
            await before.submit("store", "under the old code")
        assert (await (await late.submit()).status()).code_name == "MVCC_READ_CONFLICT"
        after = await open_confidential(channel, "vault", Workspace(network).trust("vault"))
        assert (await after.open(kept[0])).outcome.payload == b"OK"
        assert (await after.evaluate("read")).payload == b"the combination is 4711"
        assert (await after.evaluate("length")).payload == b"23"
    assert await callers.evaluate("org2/User1", "vault", "read") == "of another"
    assert await callers.submit("org3/User1", "vault", "store", "new") == "OK"
    for organisation in network.organisations:
        assert running_pid(organisation.folder / "chaincode" / "vault", NAME) is None
    assert start_again(network) == []


def named(code: str) -> list[str]:
    return ["--name", "vault", "--contract", code]


async def commit_as_majority(network: Network, code: str, sequence: int) -> ServerPlan:
    """Two of three organisations commit a measurement; the first one runs it. The third is not asked."""
    definition, label = ChaincodeDefinition("vault", measure(code), sequence), f"rogue_{sequence}"
    colluders = network.organisations[:2]
    (port,) = free_ports(1)
    package = package_chaincode(label, f"127.0.0.1:{port}")
    async with connected(colluders[0]) as first, connected(colluders[1]) as second:
        admins = [Lifecycle(gateway, network.channel) for gateway in (first, second)]
        package_id = await admins[0].install(package, label)
        workspace = Workspace(network)
        server = ServerPlan(workspace.chaincode_folder(colluders[0], f"vault.{sequence}"), port, package_id)
        start_host(
            server,
            workspace,
            msp_id=colluders[0].msp_id,
            chaincode="vault",
            contract=workspace.keep_contract(colluders[0], f"vault.{sequence}", code),
            ledger=start_ledger(network, colluders[0], workspace),
            hash_seed="0",
        )
        await admins[0].approve(definition, package_id)
        await admins[1].approve(definition)
        await wait_until_usable(lambda: admins[0].commit(definition, [item.msp_id for item in colluders]))
    return server


async def test_p7_a_rogue_measurement_of_a_colluding_majority_gets_no_keys(network: Network, tmp_path: Path) -> None:
    """Nor with approvals of the majority, nor with one of the third organisation's users; with its administrator's
    it does: then it is an upgrade like any other."""
    code = contract(tmp_path, PEEK)
    await commit_as_majority(network, code, 3)
    told = cloister(network, "init", "--as", "org1/Admin", "vault", fails=5)
    assert "had keys before sequence 3" in told
    assert "cloister host export" in told
    files = {}
    for user in ("org1/Admin", "org2/Admin", "org3/User1", "org3/Admin"):
        file = str(tmp_path / user.replace("/", "-"))
        facts = cloister(
            network, "upgrade", "approve", "--as", user, "--contract", code, "--out", file, "--json", "vault"
        )
        assert json.loads(facts)["sequence"] == 3
        files[user] = ["--approval", file]
    old = str(network.organisation("org1").folder / "chaincode" / "vault.2" / "host.toml")
    colluding = [*files["org1/Admin"], *files["org2/Admin"]]
    for given in ([], colluding, [*colluding, *files["org3/User1"]]):
        told = cloister(network, "host", "export", "--config", old, *given, fails=4)
        assert "not approved by an administrator of" in told
        assert "Org3MSP" in told
    twisted = tmp_path / "twisted"
    twisted.write_text(Path(files["org3/Admin"][1]).read_text().replace(measure(code), "00" * 32))
    assert "signature" in cloister(network, "host", "export", "--config", old, "--approval", str(twisted), fails=4)

    done = json.loads(cloister(network, "host", "export", "--config", old, *colluding, *files["org3/Admin"], "--json"))
    assert [(item["msp_id"], item["exporter_sequence"]) for item in done] == [("Org1MSP", 2)]
    assert json.loads(cloister(network, "init", "--as", "org1/Admin", "--json", "vault"))["made_keys"]
