"""Every feature of stub and server on real peers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from cloister.contract import load_contract
from cloister.contract.server import ChaincodeServer, ServerTls, contract_handler
from cloister.fabric.proposal import Proposal
from cloister.network import Network
from cloister.network.nodes import embedded_node
from support.fabric import Endorsed, FabricCaller, deploy, package_id
from support.official_calls import CALLS, free_port, official_command, served, with_changed_import
from support.tls import make_certificate

pytestmark = pytest.mark.fabric

FEATURES = Path(__file__).parent / "features_contract.py"
EITHER = "OR('Org1MSP.peer','Org2MSP.peer')"
COLLECTIONS = [
    {
        "name": "shared",
        "policy": "OR('Org1MSP.member', 'Org2MSP.member')",
        "requiredPeerCount": 0,
        "maxPeerCount": 1,
        "blockToLive": 0,
        "memberOnlyRead": True,
    },
    {
        "name": "first",
        "policy": "OR('Org1MSP.member')",
        "requiredPeerCount": 0,
        "maxPeerCount": 1,
        "blockToLive": 0,
        "memberOnlyRead": True,
    },
]


@dataclass(frozen=True, slots=True)
class Deployed:
    """The features contract twice: `features` without TLS, `secured` with mutual TLS."""

    network: Network
    servers: dict[str, ChaincodeServer]


@pytest.fixture(scope="module")
async def deployed(any_network: Network, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployed]:
    folder = tmp_path_factory.mktemp("chaincode")
    collections = folder / "collections.json"
    collections.write_text(json.dumps(COLLECTIONS))
    key, certificate = make_certificate("server")
    peer_key, peer_certificate = make_certificate("peer")
    secured = {
        "tls_required": True,
        "root_cert": certificate.decode(),
        "client_auth_required": True,
        "client_key": peer_key.decode(),
        "client_cert": peer_certificate.decode(),
    }
    servers = {}
    for name, tls, options in (
        ("features", None, {"tls_required": False}),
        ("secured", ServerTls(key, certificate, peer_certificate), secured),
    ):
        address = f"127.0.0.1:{free_port()}"
        connection = {"address": address, "dial_timeout": "10s", **options}
        packaged = await asyncio.to_thread(package_id, any_network, folder, name, connection)
        server = ChaincodeServer(contract_handler(load_contract(str(FEATURES))), packaged[1], address, tls)
        await server.start()
        servers[name] = server
        await asyncio.to_thread(
            deploy,
            any_network,
            name,
            packaged,
            policy=EITHER,
            collections=collections,
            init_required=name == "secured",
        )
    await _initialise(any_network, "secured")
    yield Deployed(any_network, servers)
    for server in servers.values():
        await server.stop(1)


async def _initialise(network: Network, chaincode: str) -> None:
    """The definition demands it: before, every other call is refused."""
    async with FabricCaller(network) as caller:
        early = await caller.evaluate(chaincode, "get", "k")
        assert "has not been initialized" in early.message
        proposal = caller.propose(chaincode, [], is_init=True)
        endorsed = [await caller.endorse(proposal, name) for name in ("org1", "org2")]
        assert endorsed[0].response.payload == b"Default initiator successful."
        assert await caller.commit(proposal, endorsed, "org1") == "VALID"


@pytest.fixture
async def caller(deployed: Deployed) -> AsyncIterator[FabricCaller]:
    async with FabricCaller(deployed.network) as caller:
        yield caller


async def submit(caller: FabricCaller, *arguments: bytes | str, **options: Any) -> Any:
    endorsed, code = await caller.submit("features", *arguments, **options)
    assert (endorsed.response.message, code) == ("", "VALID")
    return endorsed


async def ask(caller: FabricCaller, *arguments: bytes | str, **options: Any) -> Any:
    response = await caller.evaluate("features", *arguments, **options)
    assert (response.message, response.status) == ("", 200)
    return json.loads(response.payload)


async def test_state_is_read_as_committed(caller: FabricCaller) -> None:
    endorsed = await submit(caller, "put_and_get", "state", b"\xff1")
    assert endorsed.response.payload == b""
    assert (await caller.evaluate("features", "get", "state", at="org2")).payload == b"\xff1"
    await submit(caller, "delete", "state")
    assert (await caller.evaluate("features", "get", "state")).payload == b""


@pytest.mark.parametrize("chaincode", ["features", "secured"])
async def test_values_of_five_megabytes_pass(caller: FabricCaller, chaincode: str) -> None:
    value = bytes(range(256)) * (5 << 12)
    endorsed, code = await caller.submit(chaincode, "put", "large", value, at=["org1"])
    assert (endorsed.response.status, code) == (200, "VALID")
    assert (await caller.evaluate(chaincode, "get", "large")).payload == value


async def test_ranges_of_more_than_a_hundred_results_are_complete(caller: FabricCaller) -> None:
    await submit(caller, "put_many", "range", "250")
    keys = [f"range{number:04}" for number in range(250)]
    assert await ask(caller, "keys_in_range", "range", "rangf") == keys
    assert await ask(caller, "keys_in_range", "range0010", "range0012") == keys[10:12]
    found: list[str] = []
    bookmark = ""
    while len(found) < 250:
        page = await ask(caller, "page", "range", "rangf", "120", bookmark)
        assert page["count"] == len(page["keys"]) <= 120
        found += page["keys"]
        bookmark = page["bookmark"]
    assert (found, bookmark) == (keys, "")


async def test_partial_composite_queries_are_complete_and_apart_from_plain_keys(caller: FabricCaller) -> None:
    for parts in (["a", "1"], ["a", "2"], ["ab", "1"]):
        await submit(caller, "put_composite", "kind", json.dumps(parts))
    assert await ask(caller, "composite", "kind", '["a"]') == [["a", "1"], ["a", "2"]]
    assert await ask(caller, "composite", "kin", "[]") == []
    page = await ask(caller, "composite_page", "kind", "[]", "2", "")
    assert page["keys"] == [["a", "1"], ["a", "2"]]
    page = await ask(caller, "composite_page", "kind", "[]", "2", page["bookmark"])
    assert page == {"keys": [["ab", "1"]], "bookmark": ""}
    assert not [key for key in await ask(caller, "keys_in_range", "", "") if "kind" in key]


async def test_history_tells_every_change_newest_first(caller: FabricCaller) -> None:
    for value in ("1", "2"):
        await submit(caller, "put", "past", value)
    await submit(caller, "delete", "past")
    history = await ask(caller, "history", "past")
    assert [(item["value"], item["deleted"]) for item in history] == [("", True), ("2", False), ("1", False)]
    assert all(item["at"] > 1_700_000_000 and len(item["tx"]) == 64 for item in history)


async def test_a_refusal_of_the_peer_becomes_the_call_s_error(caller: FabricCaller) -> None:
    response = await caller.evaluate("features", "rich")
    assert response.status == 500
    assert "not supported for leveldb" in response.message


async def test_private_data_stays_with_its_members(deployed: Deployed, caller: FabricCaller) -> None:
    for collection, organisations in (("shared", ["org1", "org2"]), ("first", ["org1"])):
        await submit(caller, "put_private", collection, "p", at=organisations, transient={"value": b"private"})
        assert (await caller.evaluate("features", "get_private", collection, "p")).payload == b"private"
        assert await ask(caller, "private_range", collection) == ["p"]
        hashed = (await caller.evaluate("features", "private_hash", collection, "p", at="org2")).payload.decode()
        assert hashed == hashlib.sha256(b"private").hexdigest()
    async with FabricCaller(deployed.network, "org2") as stranger:
        refused = await stranger.evaluate("features", "get_private", "first", "p", at="org2")
        assert (refused.status, refused.payload) == (500, b"")
    await submit(caller, "delete_private", "shared", "p")
    await submit(caller, "purge_private", "first", "p", at=["org1"])
    for collection in ("shared", "first"):
        assert (await caller.evaluate("features", "get_private", collection, "p")).payload == b""
    unknown = await caller.evaluate("features", "get_private", "unknown", "p")
    assert unknown.status == 500


async def test_the_last_event_goes_with_the_transaction(caller: FabricCaller) -> None:
    endorsed = await submit(caller, "emit", "happened", b"\x00payload")
    assert endorsed.event == ("happened", b"\x00payload")
    assert (await submit(caller, "put", "eventless", "v")).event is None


async def test_one_chaincode_calls_another_in_the_same_transaction(caller: FabricCaller) -> None:
    await submit(caller, "call", "secured", "", '["put", "called", "by features"]')
    assert (await caller.evaluate("secured", "get", "called")).payload == b"by features"
    read = await caller.evaluate("features", "call", "secured", "mychannel", '["get", "called"]')
    assert read.payload == b"by features"
    missing = await caller.evaluate("features", "call", "missing", "", '["get"]')
    assert missing.status == 500
    assert "missing" in missing.message


async def test_a_key_s_own_policy_overrides_the_chaincode_s(caller: FabricCaller) -> None:
    await submit(caller, "put", "guarded", "1")
    await submit(caller, "require", "guarded", '["Org1MSP", "Org2MSP"]')
    assert await ask(caller, "required", "guarded") == ["Org1MSP", "Org2MSP"]
    _, code = await caller.submit("features", "put", "guarded", "2", at=["org1"])
    assert code == "ENDORSEMENT_POLICY_FAILURE"
    await submit(caller, "put", "guarded", "2", at=["org1", "org2"])
    await submit(caller, "put", "unguarded", "2", at=["org1"])


async def test_a_private_key_s_own_policy_can_be_set(caller: FabricCaller) -> None:
    await submit(caller, "put_private", "shared", "guarded", transient={"value": b"v"})
    await submit(caller, "require_private", "shared", "guarded", "Org2MSP")
    assert await ask(caller, "required_private", "shared", "guarded") == ["Org2MSP"]


async def test_the_caller_is_known_by_its_certificate(deployed: Deployed) -> None:
    async with FabricCaller(deployed.network, "org2", "User2") as caller:
        who = await ask(caller, "who")
    assert (who["msp"], who["units"]) == ("Org2MSP", ["client"])
    assert "CN=User2@org2.example.com" in who["name"]


async def test_the_transaction_is_as_the_client_proposed_it(caller: FabricCaller) -> None:
    proposal = caller.propose("features", ["transaction"], {"key": b"v"})
    endorsed = await caller.endorse(proposal, "org1")
    seen = json.loads(endorsed.response.payload)
    assert seen["id"] == proposal.transaction_id
    assert (seen["channel"], seen["transient"], seen["arguments"]) == ("mychannel", ["key"], ["transaction"])
    assert len(seen["binding"]) == 64


@pytest.mark.parametrize("name", ["org.hyperledger.fabric:GetMetadata", "org.hyperledger.fabric:get_metadata"])
async def test_metadata_can_be_asked_for(caller: FabricCaller, name: str) -> None:
    metadata = await ask(caller, name)
    assert "put" in {item["name"] for item in metadata["contracts"]["Features"]["transactions"]}


async def test_errors_and_status_codes_reach_the_client(caller: FabricCaller) -> None:
    failed = await caller.evaluate("features", "fail", "the reason")
    assert (failed.status, failed.message) == (500, "the reason")
    unendorsed = await caller.evaluate("features", "status", "404")
    assert (unendorsed.status, unendorsed.message, unendorsed.payload) == (404, "message", b"payload")
    missing = await caller.evaluate("features", "put", "k")
    assert missing.message == "Features.put: expected 2 arguments (key, value), got 1"


async def test_many_calls_run_at_once_without_mixing(caller: FabricCaller) -> None:
    await submit(caller, "put_many", "parallel", "40")
    numbers = [number % 40 for number in range(400)]
    answers = await asyncio.gather(*(caller.evaluate("features", "get", f"parallel{item:04}") for item in numbers))
    assert [int(answer.payload) for answer in answers] == numbers


async def test_a_restarted_peer_dials_again(deployed: Deployed, caller: FabricCaller) -> None:
    await submit(caller, "put", "before", "restart")
    await asyncio.to_thread(_restart_peer, deployed.network)
    async with FabricCaller(deployed.network, "org2") as again:
        assert (await again.evaluate("features", "get", "before", at="org2")).payload == b"restart"


def _restart_peer(network: Network) -> None:
    """The second organisation's; in an embedded network that is everybody."""
    if network.is_embedded:
        embedded_node(network.layout).stop()
        Network.up(network.folder)
    else:
        network.stop_peer("org2")
        network.start_peer("org2")


async def test_a_restarted_server_is_found_again(deployed: Deployed, caller: FabricCaller) -> None:
    server = deployed.servers["secured"]
    await server.stop(1)
    down = await caller.evaluate("secured", "get", "k")
    assert down.status >= 500
    await server.start()
    assert (await caller.evaluate("secured", "get", "k")).status == 200


@pytest.fixture(scope="module")
def twins(any_network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The official package's contract on its own server and, with the import line changed, on ours."""
    folder = tmp_path_factory.mktemp("twins")
    official, ours = _twin(any_network, folder, "official"), _twin(any_network, folder, "ours")
    with (
        served(official_command(), official[1], folder / "official.log", official[2]),
        served([str(with_changed_import(folder))], ours[1], folder / "ours.log", ours[2]),
    ):
        for name, (path, identifier, _) in (("official", official), ("ours", ours)):
            deploy(any_network, name, (path, identifier))
        yield "official", "ours"


def _twin(network: Network, folder: Path, name: str) -> tuple[Path, str, str]:
    address = f"127.0.0.1:{free_port()}"
    connection = {"address": address, "dial_timeout": "10s", "tls_required": False}
    return (*package_id(network, folder, name, connection), address)


async def test_a_contract_for_the_official_package_behaves_alike_here(
    any_network: Network, twins: tuple[str, str]
) -> None:
    async with FabricCaller(any_network) as caller:
        for arguments in CALLS:
            outcomes = [await _outcome(caller, chaincode, arguments) for chaincode in twins]
            assert (arguments, outcomes[0]) == (arguments, outcomes[1])


async def _outcome(caller: FabricCaller, chaincode: str, arguments: tuple[str, ...]) -> tuple[int, bytes, str]:
    """Status, payload, and for what writes the validation code."""
    proposal, endorsed = await _endorse_patiently(caller, chaincode, arguments)
    response = endorsed[0].response
    code = ""
    if response.status < 400 and arguments[0].startswith(("create", "assets:create", "delete")):
        code = await caller.commit(proposal, endorsed, "org1")
    return response.status, response.payload, code


async def _endorse_patiently(
    caller: FabricCaller, chaincode: str, arguments: tuple[str, ...]
) -> tuple[Proposal, list[Endorsed]]:
    """The official server now and then loses a message (it lets writes on its stream overlap): then once more."""
    for timeout_s in (3, 3, 3, 60):
        proposal = caller.propose(chaincode, arguments)
        with contextlib.suppress(grpc.RpcError):
            return proposal, [await caller.endorse(proposal, name, timeout_s) for name in ("org1", "org2")]
    raise TimeoutError("no answer from the chaincode")
