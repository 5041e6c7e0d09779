"""The sealed-bid auction, played on a network: three bidders of two organisations, a fourth too late."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cloister.client.confidential import open_confidential
from cloister.deploy.deploy import Plan, connected, deploy
from cloister.deploy.workspace import Workspace
from cloister.fabric.block import parse_block
from cloister.fabric.transaction import EndorsedTransaction, parse_endorsed_transaction
from cloister.network import Network

Progress = Callable[[str], None]
CHAINCODE = "auction"
CONTRACT = str(Path(__file__).parents[1] / "samples" / "auction.py")
FUNCTIONS = ("init", "create", "submit", "close", "eval")


@dataclass(frozen=True, slots=True)
class Bid:
    """Who bids what: an identity of the network, the bidder's name in the contract, the amount."""

    organisation: str
    user: str
    bidder: str
    value: int


@dataclass(frozen=True, slots=True)
class Script:
    """All secrets of one run. Names and amounts carry fresh digits, so that a hit can be no accident."""

    house: str
    auction: str
    bids: tuple[Bid, ...]
    late: Bid

    def needles(self) -> dict[str, bytes]:
        """What must not be found anywhere: names, amounts, key names, and functions as arguments of a proposal."""
        found = {f"auction {self.auction}": self.auction.encode(), f"house {self.house}": self.house.encode()}
        for bid in (*self.bids, self.late):
            found[f"bidder {bid.bidder}"] = bid.bidder.encode()
            found[f"bid of {bid.bidder}"] = str(bid.value).encode()
        found["key name bid"] = b"\0bid\0"
        found["key name auction"] = b"\0auction\0" + self.auction.encode()  # the bare word is the chaincode's own name
        found["key name house"] = b"\n\x05house"  # as protobuf field 1 (`KVWrite.key`)
        for function in FUNCTIONS:
            # As protobuf field 1 (`ChaincodeInput.args`); the bare word stands in many an innocent log line.
            found[f"function {function}"] = b"\n" + bytes([len(function)]) + function.encode()
        return found


@dataclass(frozen=True, slots=True)
class Played:
    """How it went. `bid_transaction` is the first bid's transaction, out of its block, as any peer has it."""

    winner: dict[str, object]
    late_answer: str
    bid_transaction: EndorsedTransaction
    block_number: int


def new_script() -> Script:
    """Fresh names and amounts. The second bid is the highest."""

    def name(word: str) -> str:
        return f"{word}-{secrets.randbelow(10**9):09d}"

    def amount(millions: int) -> int:
        return millions * 10**9 + secrets.randbelow(10**9)

    return Script(
        house=name("house"),
        auction=name("spring-auction"),
        bids=(
            Bid("org1", "User1", name("ann"), amount(4210)),
            Bid("org2", "User1", name("bob"), amount(7350)),
            Bid("org1", "User2", name("cid"), amount(5980)),
        ),
        late=Bid("org2", "User2", name("dan"), amount(9990)),
    )


async def play(network: Network, script: Script, *, plain: bool, progress: Progress) -> Played:
    """Deploy the contract and play the script. Raises: CloisterError if anything goes otherwise than it should."""
    await deploy(network, Plan(CHAINCODE, CONTRACT, confidential=not plain), progress=progress)
    auctioneer = Bid("org1", "User3", "", 0)
    await _call(network, auctioneer, "init", script.house, plain=plain)
    await _call(network, auctioneer, "create", script.auction, plain=plain)
    first_block = 0
    for bid in script.bids:
        progress(f"{bid.organisation}/{bid.user} bids ({'in clear' if plain else 'sealed'})")
        _, block = await _call(network, bid, "submit", script.auction, bid.bidder, str(bid.value), plain=plain)
        first_block = first_block or block
    progress("the auction closes")
    await _call(network, auctioneer, "close", script.auction, plain=plain)
    late = script.late
    progress(f"{late.organisation}/{late.user} bids too late")
    late_answer, _ = await _call(network, late, "submit", script.auction, late.bidder, str(late.value), plain=plain)
    winner, _ = await _call(network, auctioneer, "eval", script.auction, plain=plain)
    transaction = await _transaction(network, first_block)
    return Played(json.loads(winner), late_answer, transaction, first_block)


async def _call(network: Network, who: Bid, function: str, *arguments: str, plain: bool) -> tuple[str, int]:
    """(answer, block number)."""
    async with connected(network.organisation(who.organisation), who.user) as gateway:
        channel = gateway.network(network.channel)
        if plain:
            submitted = await channel.contract(CHAINCODE).submit_async(function, arguments=arguments)
            status = await submitted.status()
            status.require_successful()
            return submitted.result.decode(), status.block_number
        trust = Workspace(network).trust(CHAINCODE)
        contract = await open_confidential(channel, CHAINCODE, trust, endorsing_organizations=[gateway.identity.msp_id])
        result = await contract.submit(function, *arguments)
        return result.payload.decode(), result.block_number


async def _transaction(network: Network, block_number: int) -> EndorsedTransaction:
    async with connected(network.organisations[0]) as gateway:
        encoded = (
            await gateway.network(network.channel)
            .contract("qscc")
            .evaluate_transaction("GetBlockByNumber", network.channel, str(block_number))
        )
    return parse_endorsed_transaction(parse_block(encoded).transactions[0])
