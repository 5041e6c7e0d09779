"""The auction on real Fabric: two organisations, MAJORITY endorsement, nobody but enclave and bidder reads a bid."""

from __future__ import annotations

import asyncio
import json
import os

import pytest
from fabric_protos.peer import transaction_pb2

from cloister.client.confidential import open_confidential
from cloister.client.errors import ConfidentialCallFailed
from cloister.demo.search import search_folder
from cloister.deploy.deploy import connected
from cloister.deploy.workspace import Workspace
from cloister.errors import CommitRefused, Refused
from cloister.fabric.identity import decode_serialized_identity
from cloister.fabric.transaction import parse_endorsed_transaction
from cloister.gateway import EndorseError
from cloister.network import Network
from confidential.conftest import Callers
from support.replace import replaced

pytestmark = pytest.mark.fabric


@pytest.fixture
async def callers(auction_network: Network) -> Callers:
    callers = Callers(auction_network)
    await callers.submit("org1/User1", "auction", "init", "the-house")
    return callers


def fresh(word: str) -> str:
    return f"{word}-{os.urandom(6).hex()}"


async def test_a_whole_auction_with_bidders_of_two_organisations(callers: Callers) -> None:
    auction = fresh("auction")
    assert await callers.submit("org1/User1", "auction", "create", auction) == "OK"
    assert await callers.submit("org2/User1", "auction", "create", auction) == "AUCTION_ALREADY_EXISTING"
    assert await callers.submit("org1/User1", "auction", "submit", auction, "ann", "10") == "OK"
    assert await callers.submit("org2/User1", "auction", "submit", auction, "bob", "30") == "OK"
    assert await callers.submit("org2/User2", "auction", "submit", auction, "cid", "20") == "OK"
    assert await callers.submit("org1/User1", "auction", "eval", auction) == "AUCTION_STILL_OPEN"
    assert await callers.submit("org1/User2", "auction", "close", auction) == "OK"
    assert await callers.submit("org2/User3", "auction", "submit", auction, "dan", "99") == "AUCTION_ALREADY_CLOSED"
    winner = json.loads(await callers.submit("org2/User1", "auction", "eval", auction))
    assert winner == {"bidder": "bob", "value": 30}


async def test_concurrent_bids_of_different_bidders_never_conflict(callers: Callers) -> None:
    auction = fresh("auction")
    await callers.submit("org1/User1", "auction", "create", auction)
    bids = [
        callers.submit(f"org{1 + number % 2}/User1", "auction", "submit", auction, f"bidder-{number}", str(number))
        for number in range(12)
    ]
    assert await asyncio.gather(*bids) == ["OK"] * 12
    await callers.submit("org1/User1", "auction", "close", auction)
    assert json.loads(await callers.submit("org1/User1", "auction", "eval", auction))["bidder"] == "bidder-11"


async def test_both_organisations_endorsed_and_their_payloads_are_one(callers: Callers) -> None:
    network = callers.network
    async with connected(network.organisations[0], "User1") as gateway:
        channel = gateway.network(network.channel)
        contract = await open_confidential(channel, "auction", Workspace(network).trust("auction"))
        result = await contract.submit("create", fresh("auction"))
        processed = await channel.contract("qscc").evaluate_transaction(
            "GetTransactionByID", network.channel, result.transaction_id
        )
    envelope = transaction_pb2.ProcessedTransaction.FromString(processed).transactionEnvelope.SerializeToString()
    transaction = parse_endorsed_transaction(envelope)
    endorsers = {decode_serialized_identity(item.endorser).msp_id for item in transaction.endorsements}
    assert endorsers == {"Org1MSP", "Org2MSP"}


async def test_a_bid_that_races_with_close_loses(callers: Callers) -> None:
    """The bid was endorsed while the auction was open; close is committed first: the peers call it a conflict."""
    network, auction = callers.network, fresh("auction")
    await callers.submit("org1/User1", "auction", "create", auction)
    async with connected(network.organisations[0], "User1") as gateway:
        contract = await open_confidential(
            gateway.network(network.channel), "auction", Workspace(network).trust("auction")
        )
        close, bid = await asyncio.gather(
            contract.submit("close", auction), contract.submit("submit", auction, "ann", "1"), return_exceptions=True
        )
    outcomes = [close, bid]
    refused = [item for item in outcomes if isinstance(item, CommitRefused)]
    assert [item for item in outcomes if isinstance(item, BaseException)] == refused
    for item in refused:
        assert item.validation_code == "MVCC_READ_CONFLICT"


async def test_a_contract_error_is_told_to_its_caller_alone_and_nothing_is_submitted(callers: Callers) -> None:
    bidder, auction = fresh("bidder"), fresh("auction")
    await callers.submit("org1/User1", "auction", "create", auction)
    with pytest.raises(ConfidentialCallFailed, match="must not be negative"):
        await callers.submit("org1/User1", "auction", "submit", auction, bidder, "-5")
    found = search_folder(callers.network.folder, {"bidder": bidder.encode(), "text": b"must not be negative"})
    # The hosts keep copies of the contract, whose text is no secret.
    assert [hit for hit in found.hits if not hit.file.endswith("/contract/auction.py")] == []


async def test_an_ordinary_client_gets_a_coarse_refusal(callers: Callers) -> None:
    """Plaintext arguments, by mistake or on purpose: no result, no oracle."""
    network = callers.network
    async with connected(network.organisations[0], "User1") as gateway:
        with pytest.raises(EndorseError, match="enclave refused: proposal"):
            await gateway.network(network.channel).contract("auction").submit_transaction("create", "x")


async def test_b7_evaluating_a_transaction_function_tells_nothing(callers: Callers) -> None:
    """Its answer is sealed to the chaincode's own keys until the commit; a query's twin: `kv get_state`."""
    with pytest.raises(Refused, match="revealed on commit") as caught:
        await callers.evaluate("org1/User1", "auction", "eval", "any")
    assert caught.value.reason == "reveal"


async def test_a_client_that_pins_other_code_refuses_to_send_anything(callers: Callers) -> None:
    network = callers.network
    trust = replaced(Workspace(network).trust("auction"), measurements=frozenset({bytes(32)}))
    async with connected(network.organisations[0], "User1") as gateway:
        with pytest.raises(Refused, match="wrong measurement"):
            await open_confidential(gateway.network(network.channel), "auction", trust)


async def test_what_the_network_wrote_holds_no_plaintext(callers: Callers) -> None:
    auction, bidder, value = fresh("auction"), fresh("bidder"), str(int.from_bytes(os.urandom(8), "big"))
    await callers.submit("org1/User1", "auction", "create", auction)
    await callers.submit("org2/User1", "auction", "submit", auction, bidder, value)
    await callers.submit("org1/User1", "auction", "close", auction)
    assert json.loads(await callers.submit("org1/User1", "auction", "eval", auction))["bidder"] == bidder
    needles = {"auction": auction.encode(), "bidder": bidder.encode(), "value": value.encode(), "key": b"\0bid\0"}
    assert search_folder(callers.network.folder, needles).hits == ()
