"""Fabric's services: what clients that are not ours ask, on both networks, and what no client should send."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from fabric_protos.common import configtx_pb2
from fabric_protos.discovery import protocol_pb2
from fabric_protos.gossip import message_pb2
from fabric_protos.peer import proposal_response_pb2, transaction_pb2

from cloister.deploy.deploy import Plan, connected, deploy
from cloister.fabric.block import parse_block
from cloister.gateway import EvaluateError
from cloister.network import Network, Organisation
from cloister.testing.configs import config_of
from cloister.testing.signers import Signer, client_signer
from support.fabric import peer_cli

CONTRACT = Path(__file__).parents[1] / "support" / "gateway_contract.py"
BOUND_S = 30.0


@pytest.fixture(scope="module")
async def served(any_network: Network) -> Network:
    await deploy(any_network, Plan("served", str(CONTRACT), confidential=False))
    return any_network


@asynccontextmanager
async def dialled(organisation: Organisation) -> AsyncIterator[Any]:
    credentials = grpc.ssl_channel_credentials(organisation.tls_ca_path.read_bytes())
    options = [("grpc.ssl_target_name_override", organisation.peer_host)]
    async with grpc.aio.secure_channel(organisation.peer_endpoint, credentials, options) as channel:
        yield channel


# --- discovery --------------------------------------------------------------------------------------------------------


async def discover(network: Network, query: Any, signer: Signer | None = None) -> Any:
    """One query's result."""
    organisation = network.organisations[0]
    signer = signer or client_signer(organisation)
    request = protocol_pb2.Request(
        authentication=protocol_pb2.AuthInfo(client_identity=signer.creator, client_tls_cert_hash=b""), queries=[query]
    ).SerializeToString()
    signed = protocol_pb2.SignedRequest(payload=request, signature=signer.sign(request)).SerializeToString()
    async with dialled(organisation) as channel:
        answer = await channel.unary_unary("/discovery.Discovery/Discover")(signed, timeout=10)
    (result,) = protocol_pb2.Response.FromString(answer).results
    return result


async def test_discovery_tells_the_channels_peers_and_what_they_run(served: Network) -> None:
    query = protocol_pb2.Query(channel=served.channel, peer_query=protocol_pb2.PeerMembershipQuery())
    found = (await discover(served, query)).members.peers_by_org
    assert set(found) == {"Org1MSP", "Org2MSP"}
    for organisation in served.organisations:
        (peer,) = found[organisation.msp_id].peers
        alive = message_pb2.GossipMessage.FromString(peer.membership_info.payload).alive_msg
        assert alive.membership.endpoint == organisation.peer_endpoint
        state = message_pb2.GossipMessage.FromString(peer.state_info.payload).state_info.properties
        assert state.ledger_height > 1
        chaincodes = {item.name: item.version for item in state.chaincodes}
        assert chaincodes["_lifecycle"] == "1"
        assert chaincodes["served"].isdecimal()  # the sequence


async def test_discovery_tells_the_configuration(served: Network) -> None:
    query = protocol_pb2.Query(channel=served.channel, config_query=protocol_pb2.ConfigQuery())
    found = (await discover(served, query)).config_result
    assert set(found.msps) == {"Org1MSP", "Org2MSP", "OrdererMSP"}
    (endpoint,) = found.orderers["OrdererMSP"].endpoint
    assert f"{endpoint.host}:{endpoint.port}" == served.orderer.endpoint


async def test_discovery_tells_who_can_endorse(served: Network) -> None:
    call = proposal_response_pb2.ChaincodeCall(name="served")
    interest = proposal_response_pb2.ChaincodeInterest(chaincodes=[call])
    query = protocol_pb2.Query(channel=served.channel, cc_query=protocol_pb2.ChaincodeQuery(interests=[interest]))
    (found,) = (await discover(served, query)).cc_query_res.content
    assert found.chaincode == "served"
    assert len(found.endorsers_by_groups) == 2
    (layout,) = found.layouts
    assert sorted(layout.quantities_by_group.values()) == [1, 1]


@pytest.mark.parametrize("channel", ["mychannel", "another"])
async def test_discovery_answers_members_only_and_of_its_channel(served: Network, channel: str) -> None:
    signer = client_signer(served.organisations[0])
    stranger = signer.under("NoMSP") if channel == served.channel else signer
    query = protocol_pb2.Query(channel=channel, peer_query=protocol_pb2.PeerMembershipQuery())
    assert "access denied" in (await discover(served, query, stranger)).error.content


# --- system chaincodes ------------------------------------------------------------------------------------------------


async def test_blocks_transactions_and_configurations_are_told(served: Network) -> None:
    channel = served.channel
    async with connected(served.organisations[0], "User1") as gateway:
        blocks, configurations = (gateway.network(channel).contract(name) for name in ("qscc", "cscc"))
        submitted = await gateway.network(channel).contract("served").submit_async("put", arguments=["k", "v"])
        number = (await submitted.status()).block_number
        block = await blocks.evaluate_transaction("GetBlockByNumber", channel, str(number))
        parsed = parse_block(block)
        assert block == await blocks.evaluate_transaction("GetBlockByTxID", channel, submitted.transaction_id)
        by_hash = await blocks.evaluate("GetBlockByHash", arguments=[channel.encode(), parsed.header_hash])
        assert parse_block(by_hash) == parsed
        found = transaction_pb2.ProcessedTransaction.FromString(
            await blocks.evaluate_transaction("GetTransactionByID", channel, submitted.transaction_id)
        )
        assert found.validationCode == transaction_pb2.VALID
        assert found.transactionEnvelope.SerializeToString() in parsed.transactions
        config_block = parse_block(await configurations.evaluate_transaction("GetConfigBlock", channel))
        config = configtx_pb2.Config.FromString(await configurations.evaluate_transaction("GetChannelConfig", channel))
        assert config == config_of(config_block.transactions[0])
        for contract, arguments in (
            (blocks, ["GetBlockByNumber", channel, "999999"]),
            (blocks, ["GetBlockByNumber", channel, "x"]),
            (blocks, ["GetChainInfo", "another"]),
            (blocks, ["GetTransactionByID", channel, "00"]),
            (blocks, ["Nothing", channel, "x"]),
            (configurations, ["GetConfigBlock", "another"]),
            (configurations, ["Nothing", channel]),
        ):
            with pytest.raises(EvaluateError):
                await contract.evaluate_transaction(*arguments)


# --- the peer CLI -----------------------------------------------------------------------------------------------------


async def test_the_peer_cli_asks_invokes_and_waits(served: Network) -> None:
    organisation, channel = served.organisations[0], served.channel

    async def cli(*arguments: str) -> str:
        return await asyncio.to_thread(peer_cli, served, organisation, *arguments)

    async def chaincodes(*arguments: str) -> str:
        return await cli("lifecycle", "chaincode", *arguments)

    orderer = ["-o", served.orderer.endpoint, "--tls", "--cafile", str(served.orderer.tls_ca_path)]
    orderer += ["--ordererTLSHostnameOverride", served.orderer.host]
    both = []
    for item in served.organisations:
        both += ["--peerAddresses", item.peer_endpoint, "--tlsRootCertFiles", str(item.tls_ca_path)]
    key = os.urandom(4).hex()
    place = ["-C", channel, "-n", "served", "-c"]
    await cli("chaincode", "invoke", *orderer, *place, f'{{"Args":["put","{key}","v"]}}', *both, "--waitForEvent")
    assert (await cli("chaincode", "query", *place, f'{{"Args":["get","{key}"]}}')).strip() == "v"
    assert channel in await cli("channel", "list")
    info = (await cli("channel", "getinfo", "-c", channel)).partition(":")[2]
    assert json.loads(info)["height"] > 1
    committed = json.loads(await chaincodes("querycommitted", "-C", channel, "-n", "served", "--output", "json"))
    sequence = committed["sequence"]
    assert committed["approvals"] == {"Org1MSP": True, "Org2MSP": True}
    approved = json.loads(await chaincodes("queryapproved", "-C", channel, "-n", "served", "--output", "json"))
    assert (approved["sequence"], approved["version"]) == (sequence, "1.0")
    installed = json.loads(await chaincodes("queryinstalled", "--output", "json"))["installed_chaincodes"]
    references = {item["package_id"]: item.get("references", {}) for item in installed}
    package_id = approved["source"]["Type"]["LocalPackage"]["package_id"]
    assert references[package_id][channel]["chaincodes"] == [{"name": "served", "version": "1.0"}]
    ready = ["checkcommitreadiness", "-C", channel, "-n", "served", "-v", "2", "--sequence", str(sequence + 1)]
    assert json.loads(await chaincodes(*ready, "--output", "json"))["approvals"] == {
        "Org1MSP": False,
        "Org2MSP": False,
    }
    with pytest.raises(RuntimeError, match="chaincode nowhere not found"):
        await cli("chaincode", "query", "-C", channel, "-n", "nowhere", "-c", '{"Args":["get"]}')


# --- what no client should send ---------------------------------------------------------------------------------------

UNARY = (
    "/protos.Endorser/ProcessProposal",
    "/gateway.Gateway/Evaluate",
    "/gateway.Gateway/Endorse",
    "/gateway.Gateway/Submit",
    "/gateway.Gateway/CommitStatus",
    "/discovery.Discovery/Discover",
)
GARBAGE = (b"", b"\xff\xff", b"\x0a\x02\x0a\x00", b"\x1a\x04\x0a\x02\x0a\x00", b"\x0a\x80")


STREAMS = ("Deliver", "DeliverFiltered", "DeliverWithPrivateData")


async def test_garbage_ends_a_call_and_nothing_else(embedded_network: Network) -> None:
    organisation, orderer = embedded_network.organisations[0], embedded_network.orderer
    async with dialled(organisation) as channel:
        for garbage in GARBAGE:
            for method in UNARY:
                assert await _unary(channel, method, garbage) is not grpc.StatusCode.DEADLINE_EXCEEDED
            for method in STREAMS:
                ended = await _stream(channel, f"/protos.Deliver/{method}", garbage)
                assert ended is not grpc.StatusCode.DEADLINE_EXCEEDED
    credentials = grpc.ssl_channel_credentials(orderer.tls_ca_path.read_bytes())
    options = [("grpc.ssl_target_name_override", orderer.host)]
    async with grpc.aio.secure_channel(orderer.endpoint, credentials, options) as channel:
        for garbage in GARBAGE:
            for method in ("Broadcast", "Deliver"):
                ended = await _stream(channel, f"/orderer.AtomicBroadcast/{method}", garbage)
                assert ended is not grpc.StatusCode.DEADLINE_EXCEEDED
    await deploy(embedded_network, Plan("after-garbage", str(CONTRACT), confidential=False))


async def _unary(channel: Any, method: str, request: bytes) -> Any:
    """The code that the call ends with."""
    try:
        await channel.unary_unary(method)(request, timeout=BOUND_S)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def _stream(channel: Any, method: str, request: bytes) -> Any:
    """The code that the stream ends with after one request."""
    stream = channel.stream_stream(method)(timeout=BOUND_S)
    try:
        await stream.write(request)
        await stream.done_writing()
        while await stream.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return error.code()
    return await stream.code()
