"""The same calls on real Fabric and on the embedded network, and a real peer that reads the embedded one's blocks.

Both networks are new and serve the same chaincode server, so that blocks have the same numbers: what the endorsers sign
has to be equal byte by byte, versions and hashes included.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fabric_protos.common import ledger_pb2
from fabric_protos.peer import proposal_pb2, proposal_response_pb2

from cloister.contract import load_contract
from cloister.contract.server import ChaincodeServer, contract_handler
from cloister.deploy.deploy import connected
from cloister.fabric.block import Block, parse_block
from cloister.gateway import connect, load_identity, load_signer
from cloister.gateway.connection import Endpoint
from cloister.ledger.verify import verify_ledger
from cloister.network import Network, NetworkOptions, Organisation, embedded_options
from cloister.network.client_files import peer_environment
from cloister.network.configuration import peer_config, write_yaml
from cloister.network.network import BUILDER
from cloister.network.processes import free_ports, listens, run_program, start_detached, stop_process, wait_until
from cloister.trusted.ledger.transaction import parse_transaction
from support.fabric import FabricCaller, deploy, package_id, peer_cli

pytestmark = pytest.mark.fabric

ODD = Path(__file__).parent / "odd_contract.py"
FEATURES = Path(__file__).parents[1] / "contract" / "server" / "features_contract.py"
EITHER = "OR('Org1MSP.peer','Org2MSP.peer')"
BOTH = "AND('Org1MSP.peer','Org2MSP.peer')"
COLLECTIONS = [
    {"name": "shared", "policy": "OR('Org1MSP.member', 'Org2MSP.member')", "blockToLive": 0, "memberOnlyRead": True},
    {"name": "first", "policy": "OR('Org1MSP.member')", "blockToLive": 3, "memberOnlyRead": True},
]
TIMEOUT_S = 60.0
Call = Callable[..., Awaitable[None]]
_FILTER, _COMMIT_HASH = 2, 4


@dataclass(frozen=True)
class Said:
    """What came of one call: status, message, validation code, and what the endorsers signed of it."""

    call: str
    status: int
    message: str
    code: str
    action: bytes


@dataclass
class Pair:
    """Both networks after the same calls."""

    fabric: Network
    embedded: Network
    said: dict[str, list[Said]]


@pytest.fixture(scope="module")
async def pair(fabric_binaries: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    async with contextlib.AsyncExitStack() as stack:
        networks = []
        for options in (
            NetworkOptions(organisations=3, batch_timeout="10ms"),
            embedded_options(organisations=3),
        ):
            networks.append(await asyncio.to_thread(Network.up, folder / options.kind, options))
            stack.push_async_callback(asyncio.to_thread, networks[-1].down)
        collections = folder / "collections.json"
        collections.write_text(
            json.dumps([{"requiredPeerCount": 0, "maxPeerCount": 1, **collection} for collection in COLLECTIONS])
        )
        for name, file, policy in (("features", FEATURES, EITHER), ("other", FEATURES, BOTH), ("odd", ODD, EITHER)):
            address = f"127.0.0.1:{free_ports(1)[0]}"
            connection = {"address": address, "dial_timeout": "10s", "tls_required": False}
            packaged = await asyncio.to_thread(package_id, networks[0], folder, name, connection)
            server = ChaincodeServer(contract_handler(load_contract(str(file))), packaged[1], address, None)
            await server.start()
            stack.push_async_callback(server.stop, 1)
            jobs = [
                asyncio.to_thread(
                    deploy,
                    network,
                    name,
                    packaged,
                    policy=policy,
                    collections=collections,
                    organisations=network.organisations[:2],
                )
                for network in networks
            ]
            await asyncio.gather(*jobs)
        fabric, embedded = networks
        yield Pair(fabric, embedded, {network.layout.options.kind: await play(network) for network in networks})


async def play(network: Network) -> list[Said]:
    """Every kind of access once, one block each, and transactions that must not become valid."""
    said: list[Said] = []
    async with FabricCaller(network) as caller:

        async def call(
            *arguments: str, at: Sequence[str] = ("org1",), chaincode: str = "features", **more: Any
        ) -> None:
            endorsed, code = await caller.submit(chaincode, *arguments, at=at, **more)
            said.append(_said(" ".join(arguments), endorsed, code))

        async def ask(*arguments: str, at: str = "org1") -> None:
            endorsed = await caller.endorse(caller.propose("features", arguments), at)
            said.append(_said(" ".join(arguments), endorsed, "ASKED"))

        for number in range(3):
            await call("put", f"k{number}", "value")
        for item in range(60):  # fewer than 50, then more: then a range is summarised as Merkle tree
            await call("put", f"m{item:03}", "v")
        await call("put_and_get", "k0", "own writes are not seen")
        await call("keys_in_range", "k0", "k9")
        await call("keys_in_range", "m000", "m9")
        await call("keys_in_range", "", "")
        await ask("page", "m", "n", "7", "")
        await call("put_composite", "type", '["a", "b"]')
        await call("composite", "type", '["a"]')
        await call("emit", "event", "payload")
        await call("call", "other", "", '["put", "called", "v"]', at=("org1", "org2"))
        await call("call", "other", "", '["put", "called", "one endorser is too few"]')
        await call("put", "k", "v", chaincode="other")
        await call("require", "k1", '["Org2MSP"]')
        await call("put", "k1", "by the wrong organisation")
        await call("put", "k1", "by the right one", at=("org2",))
        for collection in ("shared", "first"):
            await call("put_private", collection, "secret", transient={"value": b"hidden"})
            await call("get_private", collection, "secret")
            await call("private_hash", collection, "secret", at=("org2",))
        await ask("private_range", "shared")
        await ask("get_private", "first", "secret", at="org2")
        await ask("get_private", "none", "secret")
        await call("require_private", "shared", "secret", "Org2MSP")
        await call("delete_private", "shared", "secret")
        await call("purge_private", "shared", "secret", at=("org2",))
        await ask("get_private", "first", "secret")  # its time is over by now
        await ask("fail", "for a reason")
        await ask("status", "404")
        await ask("rich")
        await ask("nonsense")
        await _conflict(caller, said)
        await _play_odd(call)
    return said


async def _play_odd(call: Call) -> None:
    """Orders, mixtures and numbers that a well-behaved contract does not need."""

    async def odd(function: str, *arguments: object) -> None:
        texts = [item if isinstance(item, str) else json.dumps(item, ensure_ascii=False) for item in arguments]
        await call(function, *texts, chaincode="odd")

    await odd("write", ["b", "a", "b", "c", "-c", "-never", "=empty", "d"])
    await odd("write", ["\U0001f600", "\uffee", "z", "é", "e\u0301"])  # bytes are sorted, not characters
    await odd("read", ["d", "nothing", "d", "\uffee", "b"])
    await odd("fill", "n", 230)
    for count in (1, 2, 99, 100, 101, 230, 500):  # the peer is one result ahead of its batches of a hundred
        await odd("take", "n", "o", count)
    await odd("ranges", [["n", "o"], ["n", "o"], ["n0100", "n0200"], ["o", "p"], ["", ""]])
    for order in ("v", "p", "vp", "pv", "dp", "pd", "vd", "dv"):
        await odd("parameter", f"k{order}", "v")
        await odd("parameter", f"k{order}", order)
        await odd("parameter", f"new{order}", order)
    await odd("private", ["b", "a", "-a", "!b", "c"])
    await odd("private", ["a", "c", "nothing"])


async def _conflict(caller: FabricCaller, said: list[Said]) -> None:
    """Two transactions that read and write the same key, endorsed on the same state."""
    proposals = [caller.propose("features", ["put_and_get", "k2", f"writer {number}"]) for number in range(2)]
    endorsed = [await caller.endorse(proposal, "org1") for proposal in proposals]
    for proposal, item in zip(proposals, endorsed, strict=True):
        code = await caller.commit(proposal, [item], "org1")
        said.append(_said("conflict", item, code))


def _said(call: str, endorsed: Any, code: str) -> Said:
    payload = proposal_response_pb2.ProposalResponsePayload.FromString(endorsed.payload)
    action = proposal_pb2.ChaincodeAction.FromString(payload.extension)
    event = action.events and b"an event"  # it holds the transaction's id
    message = endorsed.response.message.split("transaction ID")[0]
    return Said(call, endorsed.response.status, message, code, action.results + event + action.response.payload)


def test_endorsers_sign_the_same_on_both(pair: Pair) -> None:
    fabric, embedded = pair.said["fabric"], pair.said["embedded"]
    odd = [item for item in fabric if item.call.startswith(("write", "read", "fill", "take", "ranges", "parameter"))]
    assert len(odd) > 35
    assert {(item.status, item.code) for item in odd} == {(200, "VALID")}
    assert {item.code for item in fabric} == {
        "VALID", "ASKED", "ENDORSEMENT_POLICY_FAILURE", "MVCC_READ_CONFLICT",
    }  # fmt: skip
    for ours, real in zip(embedded, fabric, strict=True):
        assert ours == real


async def blocks_of(network: Network) -> list[bytes]:
    async with connected(network.organisations[0]) as gateway:
        query = gateway.network(network.channel).contract("qscc")
        info = ledger_pb2.BlockchainInfo.FromString(await query.evaluate_transaction("GetChainInfo", network.channel))
        return [
            await query.evaluate_transaction("GetBlockByNumber", network.channel, str(number))
            for number in range(info.height)
        ]


async def test_every_block_holds_the_same_reads_writes_and_verdicts(pair: Pair) -> None:
    """Those of the lifecycle too: approvals with their hashes, and definitions."""
    fabric, embedded = await blocks_of(pair.fabric), await blocks_of(pair.embedded)
    assert len(fabric) == len(embedded)
    for real, ours in zip(map(parse_block, fabric[1:]), map(parse_block, embedded[1:]), strict=True):
        assert ours.metadata[_FILTER] == real.metadata[_FILTER]
        assert results_of(ours) == results_of(real)
    assert b"namespaces/fields/features/Sequence" in b"".join(results_of(parse_block(embedded[3])))


def results_of(block: Block) -> list[bytes]:
    """Every transaction's read/write set and response."""
    found = []
    for index, data in enumerate(block.transactions):
        action = parse_transaction(data, index).action
        found.append(action.results + action.response.SerializeToString())
    return found


async def test_ledger_verify_accepts_everything_it_writes(pair: Pair) -> None:
    blocks = await blocks_of(pair.embedded)
    report = verify_ledger(iter(blocks), genesis_hash=None, progress=lambda _: None)
    assert (report.differences, report.halted) == ([], "")
    assert len(blocks) > 80


async def test_the_peer_cli_fetches_the_orderers_blocks(pair: Pair, tmp_path: Path) -> None:
    network = pair.embedded
    orderer = ["-o", network.orderer.endpoint, "--tls", "--cafile", str(network.orderer.tls_ca_path)]
    orderer += ["--ordererTLSHostnameOverride", network.orderer.host]
    fetch = ["channel", "fetch", "5", str(tmp_path / "five.block"), "-c", network.channel, *orderer]
    await asyncio.to_thread(peer_cli, network, network.organisations[0], *fetch)
    fetched = parse_block((tmp_path / "five.block").read_bytes())
    kept = parse_block((await blocks_of(network))[5])
    assert (fetched.number, fetched.header_hash) == (5, kept.header_hash)
    assert fetched.metadata[_FILTER] == b""
    assert kept.metadata[_FILTER] == b"\0"


async def test_a_real_peer_joins_from_the_genesis_block_and_finds_the_same(pair: Pair, tmp_path: Path) -> None:
    network = pair.embedded
    ours = [parse_block(block) for block in await blocks_of(network)]
    organisation, stop = await asyncio.to_thread(start_peer, network, tmp_path)
    try:
        files = organisation.admin
        endpoint = Endpoint(organisation.peer_endpoint, organisation.tls_ca_path.read_bytes(), organisation.peer_host)
        identity, signer = load_identity(files.msp_id, files.cert_path), load_signer(files.key_path)
        async with connect(endpoint, identity, signer) as gateway:
            query = gateway.network(network.channel).contract("qscc")
            async with asyncio.timeout(TIMEOUT_S):
                while await _height(query, network.channel) < len(ours):
                    await asyncio.sleep(0.05)
            for block in ours[1:]:
                theirs = parse_block(
                    await query.evaluate_transaction("GetBlockByNumber", network.channel, str(block.number))
                )
                assert theirs.header_hash == block.header_hash
                assert theirs.metadata[_FILTER] == block.metadata[_FILTER]
                assert theirs.metadata[_COMMIT_HASH] == block.metadata[_COMMIT_HASH]
    finally:
        stop()


async def _height(query: Any, channel: str) -> int:
    encoded = await query.evaluate_transaction("GetChainInfo", channel)
    return int(ledger_pb2.BlockchainInfo.FromString(encoded).height)


def start_peer(network: Network, folder: Path) -> tuple[Organisation, Callable[[], object]]:
    """A real peer with the third organisation's identity on ports of its own, joined to the channel.

    That organisation is a member of no collection: nobody would hand this peer private data, it would wait for them.
    """
    port, chaincode_port = free_ports(2)
    embedded = network.organisations[2]
    organisation = dataclasses.replace(embedded, folder=folder, peer_port=port, chaincode_port=chaincode_port)
    config = peer_config(network.layout, organisation)
    config["chaincode"]["externalBuilders"][0]["path"] = str(BUILDER)  # it wants one, and needs none
    write_yaml(folder / "core.yaml", config)
    peer = network.binaries.path("peer")
    environment = {"FABRIC_CFG_PATH": str(folder), "FABRIC_LOGGING_SPEC": "info"}
    start_detached([peer, "node", "start"], folder=folder, name="peer", environment=environment)
    log = folder / "peer.log"
    wait_until(lambda: listens(port), what="the peer starts", timeout_s=30, log=log)
    run_program(
        [peer, "channel", "join", "-b", str(network.genesis_block_path)],
        environment={
            **peer_environment(network.layout, organisation, organisation.admin),
            "FABRIC_CFG_PATH": str(folder),
        },
    )
    return organisation, lambda: stop_process(folder, "peer")
