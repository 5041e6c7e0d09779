"""The Gateway client against the real Gateway service: the behaviours that the official clients' scenarios ask for."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from pathlib import Path

import grpc
import pytest
from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2
from fabric_protos.peer.lifecycle import lifecycle_pb2

from cloister.deploy.deploy import connected
from cloister.gateway import (
    ChaincodeEvent,
    CommitError,
    Contract,
    Deadlines,
    EndorseError,
    Endpoint,
    EvaluateError,
    EventsError,
    FileCheckpointer,
    Gateway,
    GatewayError,
    Identity,
    InMemoryCheckpointer,
    connect,
    endpoint_from_profile,
    load_identity,
    load_signer,
)
from cloister.gateway import Network as Channel
from cloister.gateway.identity import sign_digest
from cloister.network import Network
from cloister.network.processes import free_ports

pytestmark = pytest.mark.fabric
BOUND_S = 20


def fresh() -> str:
    return os.urandom(8).hex()


# --- transactions -----------------------------------------------------------------------------------------------------


async def test_submit_then_evaluate(contract: Contract) -> None:
    key = fresh()
    assert await contract.submit_transaction("put", key, "value") == f"stored {key}".encode()
    assert await contract.evaluate_transaction("get", key) == b"value"


async def test_submit_async_gives_the_result_before_and_the_status_after(contract: Contract) -> None:
    submitted = await contract.submit_async("put", arguments=[fresh(), "value"])
    assert submitted.result.startswith(b"stored")
    status = await submitted.status()
    assert (status.successful, status.code_name, len(status.transaction_id)) == (True, "VALID", 64)
    assert status.block_number > 0


async def test_named_contract_and_bytes_arguments(channel: Channel) -> None:
    contract = channel.get_contract("conformance", "Conformance")
    key = fresh()
    await contract.submit("put", arguments=[key.encode(), b"value"])
    assert await contract.evaluate("get", arguments=[key]) == b"value"


async def test_transient_data_reaches_the_contract(contract: Contract) -> None:
    assert await contract.evaluate("transient", transient={"b": b"2", "a": b"1"}) == b"a=1,b=2"


async def test_evaluation_at_named_organisations(contract: Contract) -> None:
    assert await contract.evaluate("whoami", endorsing_organizations=["Org2MSP"]) == b"Org1MSP"


async def test_endorsement_by_named_organisations(contract: Contract) -> None:
    proposal = contract.new_proposal("put", arguments=[fresh(), "x"], endorsing_organizations=["Org1MSP", "Org2MSP"])
    transaction = await proposal.endorse()
    assert len(transaction.endorsed.endorsements) == 2
    assert (await (await transaction.submit()).status()).successful


async def test_too_few_named_organisations_make_an_invalid_transaction(contract: Contract) -> None:
    with pytest.raises(CommitError) as caught:
        await contract.submit("put", arguments=[fresh(), "x"], endorsing_organizations=["Org1MSP"])
    assert caught.value.validation_code == "ENDORSEMENT_POLICY_FAILURE"


async def test_the_transaction_id_can_be_known_beforehand(contract: Contract, gateway: Gateway) -> None:
    nonce = gateway.new_nonce()
    first = contract.new_proposal("get", arguments=["x"], nonce=nonce)
    second = contract.new_proposal("whoami", nonce=nonce)
    assert first.transaction_id == second.transaction_id
    assert first.transaction_id != contract.new_proposal("get", arguments=["x"]).transaction_id


async def test_offline_signing_at_every_stage(conformance_network: Network) -> None:
    """One process prepares and sends without a key, another one signs digests."""
    organisation = conformance_network.organisations[0]
    user = organisation.user("User1")
    signer = load_signer(user.key_path)
    identity = load_identity(user.msp_id, user.cert_path)
    key = fresh()
    async with connect(endpoint_from_profile(organisation.folder / "connection.json"), identity) as gateway:
        contract = gateway.network(conformance_network.channel).contract("conformance")
        unsigned = contract.new_proposal("put", arguments=[key, "offline"])
        proposal = gateway.new_signed_proposal(unsigned.bytes, await sign_digest(signer, unsigned.digest))
        assert proposal.transaction_id == unsigned.transaction_id
        endorsed = await proposal.endorse()
        signature = await sign_digest(signer, endorsed.digest)
        transaction = gateway.new_signed_transaction(endorsed.prepared_transaction, signature)
        sent = await transaction.submit()
        commit = gateway.new_signed_commit(sent.bytes, await sign_digest(signer, sent.digest))
        assert (await commit.status()).successful
        unsigned = contract.new_proposal("get", arguments=[key])
        signed = gateway.new_signed_proposal(unsigned.bytes, await sign_digest(signer, unsigned.digest))
        assert await signed.evaluate() == b"offline"


async def test_offline_signing_of_event_requests(
    conformance_network: Network, channel: Channel, contract: Contract, gateway: Gateway
) -> None:
    organisation = conformance_network.organisations[0]
    user = organisation.user("User1")
    signer = load_signer(user.key_path)
    name = fresh()
    number = (await emit(contract, [name]))[0]
    endpoint = endpoint_from_profile(organisation.folder / "connection.json")
    async with asyncio.timeout(BOUND_S), connect(endpoint, load_identity(user.msp_id, user.cert_path)) as keyless:
        there = keyless.network(conformance_network.channel)
        asked = there.new_chaincode_events_request("conformance", start_block=number)
        signed = keyless.new_signed_chaincode_events_request(asked.bytes, await sign_digest(signer, asked.digest))
        async with aclosing(signed.events()) as events:
            assert (await anext(events)).event_name == name
        blocks = there.new_block_events_request(start_block=number)
        signature = await sign_digest(signer, blocks.digest)
        async with aclosing(keyless.new_signed_block_events_request(blocks.bytes, signature).events()) as whole:
            assert (await anext(whole)).block_number == number
        filtered = keyless.new_signed_filtered_block_events_request(blocks.bytes, signature)
        async with aclosing(filtered.events()) as bare:
            assert (await anext(bare)).block_number == number
        private = keyless.new_signed_block_and_private_data_events_request(blocks.bytes, signature)
        async with aclosing(private.events()) as both:
            assert (await anext(both)).block_number == number
        with pytest.raises(EventsError):
            await anext(keyless.new_signed_block_events_request(blocks.bytes, b"forged").events())


async def test_the_endorsement_of_another_proposal_is_not_signed(contract: Contract) -> None:
    """A peer that answers with a transaction which endorsers made behind the client's back gets no signature."""
    other = await contract.new_proposal("put", arguments=[fresh(), "x"]).endorse()

    async def swap(_request: bytes, _context: object) -> bytes:
        envelope = common_pb2.Envelope.FromString(other.prepared_transaction)
        answer: bytes = gateway_pb2.EndorseResponse(prepared_transaction=envelope).SerializeToString()
        return answer

    methods = {"Endorse": grpc.unary_unary_rpc_method_handler(swap)}
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("gateway.Gateway", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    identity = Identity("Org1MSP", b"certificate")
    try:
        async with connect(
            Endpoint(f"127.0.0.1:{port}", None), identity, lambda digest: digest, allow_plaintext=True
        ) as gateway:
            with pytest.raises(EndorseError, match="endorsement of another proposal"):
                await gateway.network("mychannel").contract("conformance").submit_transaction("put", "a", "b")
    finally:
        await server.stop(None)


# --- errors -----------------------------------------------------------------------------------------------------------


async def test_a_contract_error_shows_who_said_what(contract: Contract, conformance_network: Network) -> None:
    with pytest.raises(EndorseError) as caught:
        await contract.submit_transaction("fail", "the reason of it")
    error = caught.value
    assert "the reason of it" in str(error)
    assert error.code == "ABORTED"
    assert len(error.transaction_id) == 64
    peers = {organisation.peer_endpoint: organisation.msp_id for organisation in conformance_network.organisations}
    assert error.details
    for detail in error.details:
        assert peers[detail.address] == detail.msp_id
        assert "the reason of it" in detail.message


async def test_an_evaluation_error_shows_who_said_what(contract: Contract) -> None:
    with pytest.raises(EvaluateError, match="the reason of it") as caught:
        await contract.evaluate_transaction("fail", "the reason of it")
    assert caught.value.details[0].msp_id == "Org1MSP"


async def test_a_conflict_is_a_commit_error_with_its_code(contract: Contract) -> None:
    key = fresh()
    proposals = [contract.new_proposal("increment", arguments=[key]) for _ in range(2)]
    transactions = [await proposal.endorse() for proposal in proposals]
    commits = [await transaction.submit() for transaction in transactions]
    statuses = [await commit.status() for commit in commits]
    assert sorted(status.code_name for status in statuses) == ["MVCC_READ_CONFLICT", "VALID"]
    failed = next(status for status in statuses if not status.successful)
    with pytest.raises(CommitError, match="MVCC_READ_CONFLICT") as caught:
        failed.require_successful()
    assert caught.value.hint is not None


async def test_unknown_chaincode_and_channel(gateway: Gateway, channel: Channel) -> None:
    with pytest.raises(EndorseError, match="nonsense"):
        await channel.contract("nonsense").submit_transaction("x")
    with pytest.raises(GatewayError):
        await gateway.network("no-such-channel").contract("conformance").evaluate_transaction("whoami")


async def test_an_unreachable_peer_is_named(conformance_network: Network) -> None:
    user = conformance_network.organisations[0].user("User1")
    ca = conformance_network.organisations[0].tls_ca_path.read_bytes()
    port = free_ports(1)[0]
    identity, signer = load_identity(user.msp_id, user.cert_path), load_signer(user.key_path)
    async with connect(Endpoint(f"127.0.0.1:{port}", ca), identity, signer) as gateway:
        with pytest.raises(EvaluateError, match=f"127.0.0.1:{port} is not reachable") as caught:
            await gateway.network("mychannel").contract("x").evaluate_transaction("y")
    assert caught.value.code == "UNAVAILABLE"


async def test_a_deadline_names_stage_and_seconds(conformance_network: Network) -> None:
    organisation = conformance_network.organisations[0]
    user = organisation.user("User1")
    deadlines = Deadlines(evaluate_s=0.0001)
    endpoint = endpoint_from_profile(organisation.folder / "connection.json")
    identity, signer = load_identity(user.msp_id, user.cert_path), load_signer(user.key_path)
    async with connect(endpoint, identity, signer, deadlines=deadlines) as gateway:
        contract = gateway.network(conformance_network.channel).contract("conformance")
        with pytest.raises(EvaluateError, match=r"evaluate failed: deadline of 0\.0001 s exceeded"):
            await contract.evaluate_transaction("whoami")


async def test_an_identity_of_another_msp_is_refused(conformance_network: Network) -> None:
    """Org2's certificate under Org1's name."""
    first, second = conformance_network.organisations
    user = second.user("User1")
    identity, signer = load_identity(first.msp_id, user.cert_path), load_signer(user.key_path)
    async with connect(endpoint_from_profile(first.folder / "connection.json"), identity, signer) as gateway:
        with pytest.raises(EvaluateError):
            await gateway.network(conformance_network.channel).contract("conformance").evaluate_transaction("whoami")


# --- events -----------------------------------------------------------------------------------------------------------


async def collect(channel: Channel, count: int, **options: object) -> list[ChaincodeEvent]:
    found: list[ChaincodeEvent] = []
    async with asyncio.timeout(BOUND_S), aclosing(channel.chaincode_events("conformance", **options)) as events:  # type: ignore[arg-type]
        async for event in events:
            found.append(event)
            if len(found) == count:
                break
    return found


async def emit(contract: Contract, names: list[str]) -> list[int]:
    """Emit events, one transaction each; their block numbers."""
    blocks = []
    for name in names:
        submitted = await contract.submit_async("emit", arguments=[name, f"payload of {name}"])
        blocks.append((await submitted.status()).block_number)
    return blocks


async def test_chaincode_events_from_a_block_on(channel: Channel, contract: Contract) -> None:
    names = [fresh() for _ in range(3)]
    blocks = await emit(contract, names)
    events = await collect(channel, 3, start_block=blocks[0])
    assert [event.event_name for event in events] == names
    assert [event.block_number for event in events] == blocks
    assert events[0].payload == f"payload of {names[0]}".encode()
    assert events[0].chaincode_name == "conformance"


async def test_chaincode_events_resume_exactly_after_the_checkpoint(
    channel: Channel, contract: Contract, tmp_path: Path
) -> None:
    """Also in the middle of a block: events of one block are put there by sending them together."""
    names = [fresh() for _ in range(4)]
    start = (await emit(contract, [fresh()]))[0]
    sent = await asyncio.gather(*(contract.submit_async("emit", arguments=[name, "x"]) for name in names))
    await asyncio.gather(*(item.status() for item in sent))
    everything = await collect(channel, 5, start_block=start)
    for stop in range(5):
        checkpointer = FileCheckpointer(tmp_path / f"checkpoint-{stop}")
        for event in everything[: stop + 1]:
            checkpointer.checkpoint_event(event)
        if stop < 4:
            resumed = FileCheckpointer(tmp_path / f"checkpoint-{stop}")
            rest = await collect(channel, 4 - stop, checkpoint=resumed, start_block=0)
            assert rest == everything[stop + 1 :]


async def test_events_of_the_future_only_without_a_start(channel: Channel, contract: Contract) -> None:
    await emit(contract, [fresh()])
    listening = asyncio.create_task(collect(channel, 1))
    name = ""
    async with asyncio.timeout(BOUND_S):
        while not listening.done():  # the stream may open after the first of these is committed
            name = fresh()
            await emit(contract, [name])
    assert (await listening)[0].event_name


async def test_block_events_resume_at_the_next_block(channel: Channel, contract: Contract) -> None:
    blocks = await emit(contract, [fresh(), fresh(), fresh()])
    checkpointer = InMemoryCheckpointer()
    seen: list[int] = []
    for _ in range(2):
        async with (
            asyncio.timeout(BOUND_S),
            aclosing(channel.block_events(start_block=blocks[0], checkpoint=checkpointer)) as events,
        ):
            async for event in events:
                assert event.block.data_hash_matches
                seen.append(event.block_number)
                checkpointer.checkpoint_block(event.block_number)
                break
    assert seen == [blocks[0], blocks[0] + 1]


async def test_filtered_and_private_data_blocks(channel: Channel, contract: Contract, gateway: Gateway) -> None:
    submitted = await contract.submit_async("put", arguments=[fresh(), "x"])
    number = (await submitted.status()).block_number
    async with asyncio.timeout(BOUND_S), aclosing(channel.filtered_block_events(start_block=number)) as filtered:
        block = await anext(filtered)
        assert submitted.transaction_id in {item.transaction_id for item in block.transactions}
        assert {item.code for item in block.transactions} == {0}
    async with asyncio.timeout(BOUND_S), aclosing(channel.block_and_private_data_events(start_block=number)) as both:
        assert (await anext(both)).block_number == number


async def test_private_data_comes_to_its_organisation_alone(conformance_network: Network) -> None:
    """An approval lies in the approving organisation's implicit collection."""
    first, second = conformance_network.organisations
    async with connected(first) as gateway1, connected(second) as gateway2:
        own, other = (gateway.network(conformance_network.channel) for gateway in (gateway1, gateway2))
        arguments = lifecycle_pb2.ApproveChaincodeDefinitionForMyOrgArgs(name=f"cc{fresh()}", version="1", sequence=1)
        arguments.source.unavailable.SetInParent()
        approval = await own.contract("_lifecycle").submit_async(
            "ApproveChaincodeDefinitionForMyOrg",
            arguments=[arguments.SerializeToString()],
            endorsing_organizations=[first.msp_id],
        )
        number = (await approval.status()).block_number
        found = []
        for channel in (own, other):
            listening = channel.block_and_private_data_events(start_block=number)
            async with asyncio.timeout(BOUND_S), aclosing(listening) as events:
                found.append((await anext(events)).private_data)
    assert arguments.name.encode() in b"".join(found[0].values())
    assert found[1] == {}


async def test_events_of_an_unknown_channel_are_an_error(gateway: Gateway) -> None:
    async with asyncio.timeout(BOUND_S):
        with pytest.raises(EventsError):
            async with aclosing(gateway.network("no-such-channel").block_events(start_block=0)) as events:
                await anext(events)
        with pytest.raises(EventsError):
            async with aclosing(gateway.network("no-such-channel").chaincode_events("x")) as stream:
                await anext(stream)
