"""Every verdict equals a real peer's, on honest and on forged transactions; commit hashes show equal state."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from fabric_protos.peer import chaincode_event_pb2

from cloister.fabric.block import parse_block
from cloister.ledger.verify import Report, verify_ledger
from cloister.lifecycle import parse_policy_expression
from cloister.network import Network
from cloister.trusted.ledger.codes import Code
from ledger.conftest import CHAINCODE, OTHER, await_transactions
from support.forge import Draft, broadcast, client_signer, peer_signer, rwset

pytestmark = pytest.mark.fabric
FILTER = 2


class Forge:
    """Drafts on one network."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.client = client_signer(network.organisations[0])
        self.peers = [peer_signer(organisation) for organisation in network.organisations]

    def draft(self, *namespaces: tuple[str, Any], chaincode: str = CHAINCODE, **more: Any) -> Draft:
        draft = Draft(self.network.channel, chaincode, self.client, self.peers, list(namespaces))
        for name, value in more.items():
            setattr(draft, name, value)
        return draft

    def put(self, key: str, value: bytes = b"v", **more: Any) -> Draft:
        return self.draft((CHAINCODE, rwset(writes=[(key, value)])), **more)


async def judged(network: Network, drafts: list[Draft | bytes]) -> tuple[Report, list[int]]:
    """Broadcast, wait, judge everything; the report and the peer's verdicts on the last transactions."""
    before = sum(len(parse_block(block).transactions) for block in await await_transactions(network, 0))
    envelopes = [draft.envelope() if isinstance(draft, Draft) else draft for draft in drafts]
    statuses = await broadcast(network, envelopes)
    accepted = statuses.count(200)
    blocks = await await_transactions(network, before + accepted)
    report = verify_ledger(iter(blocks), genesis_hash=None, progress=lambda verdict: None)
    assert report.halted == ""
    assert report.differences == []
    codes = [code for block in blocks for code in parse_block(block).metadata[FILTER]]
    return report, codes[before:]


def bend(name: str, value: Any) -> Callable[[Any], None]:
    return lambda message: setattr(message, name, value)


async def test_single_defects_get_the_code_of_a_real_peer(ledger_network: Network) -> None:
    forge = Forge(ledger_network)

    def event(action: Any) -> None:
        action.events = chaincode_event_pb2.ChaincodeEvent(chaincode_id="another", event_name="e").SerializeToString()

    def no_id(action: Any) -> None:
        action.ClearField("chaincode_id")

    write = rwset(writes=[("k", b"v")])
    cases: list[tuple[Draft, Code]] = [
        (forge.put("a"), Code.VALID),
        (forge.put("b", endorsers=forge.peers[:1]), Code.ENDORSEMENT_POLICY_FAILURE),
        (forge.put("b", endorsers=[forge.peers[0]] * 3), Code.ENDORSEMENT_POLICY_FAILURE),
        (forge.put("b", endorsers=[forge.client, *forge.peers[:1]]), Code.ENDORSEMENT_POLICY_FAILURE),
        (forge.put("b", header=bend("tx_id", "0" * 64)), Code.BAD_PROPOSAL_TXID),
        (forge.put("b", header=bend("epoch", 1)), Code.BAD_COMMON_HEADER),
        (forge.put("b", header=bend("extension", b"\xff")), Code.BAD_HEADER_EXTENSION),
        (forge.put("b", response=bend("proposal_hash", bytes(32))), Code.INVALID_ENDORSER_TRANSACTION),
        (forge.draft(results=b"\xff"), Code.BAD_RWSET),
        (forge.put("b", action=no_id), Code.INVALID_OTHER_REASON),
        (forge.put("b", action=event), Code.INVALID_OTHER_REASON),
        (forge.draft(("nowhere", write)), Code.INVALID_CHAINCODE),
        (forge.draft(("nowhere", write), chaincode="nowhere"), Code.INVALID_CHAINCODE),
        (forge.draft((CHAINCODE, write), (CHAINCODE, write)), Code.ILLEGAL_WRITESET),
        (forge.draft((OTHER, write), endorsers=forge.peers[:1]), Code.ENDORSEMENT_POLICY_FAILURE),
        (forge.draft((OTHER, write), chaincode=OTHER, endorsers=forge.peers[:1]), Code.VALID),
        (forge.draft((CHAINCODE, rwset(reads=[("absent", (1, 0))]))), Code.MVCC_READ_CONFLICT),
        (forge.draft((CHAINCODE, rwset(reads=[("absent", None)]))), Code.VALID),
        (forge.draft(("_lifecycle", rwset(writes=[("free/key", b"x")]))), Code.VALID),
        (forge.draft(("lscc", write)), Code.INVALID_CHAINCODE),
        (forge.draft(), Code.VALID),
    ]
    _, codes = await judged(ledger_network, [draft for draft, _ in cases])
    assert [Code(code).name for code in codes] == [expected.name for _, expected in cases]


async def test_actions_that_do_not_decode(ledger_network: Network) -> None:
    """Apart from the others: a later transaction that writes would make a real peer wait for ever (see below)."""
    forge = Forge(ledger_network)
    drafts = [forge.put("b", response=bend("extension", extension)) for extension in (b"\xff", b"")]
    _, codes = await judged(ledger_network, list(drafts))
    assert codes == [Code.BAD_RESPONSE_PAYLOAD] * 2


async def test_repeated_transaction_ids_in_one_block_and_across(ledger_network: Network) -> None:
    forge = Forge(ledger_network)
    twice = forge.put("d").envelope()
    invalid = forge.put("d", endorsers=forge.peers[:1])
    retried = forge.put("d", nonce=invalid.nonce)
    _, codes = await judged(ledger_network, [twice, twice, invalid, retried])
    assert codes == [Code.VALID, Code.DUPLICATE_TXID, Code.ENDORSEMENT_POLICY_FAILURE, Code.VALID]
    _, codes = await judged(ledger_network, [twice, forge.put("d", nonce=invalid.nonce)])
    assert codes == [Code.DUPLICATE_TXID, Code.DUPLICATE_TXID]


async def test_phantoms_raw_and_summarised(ledger_network: Network) -> None:
    forge = Forge(ledger_network)
    keys = [f"range/{number:03d}" for number in range(6)]
    report, _ = await judged(ledger_network, [forge.put(key) for key in keys])
    versions = {}
    for block in report.blocks:
        for index, code in enumerate(block.codes):
            if code is Code.VALID and block is report.blocks[-1]:
                versions[keys[index - len(block.codes) + len(keys)]] = (block.number, index)
    if len(versions) != len(keys):
        pytest.fail("the puts did not land in one block")

    def query(found: list[str], end: str, *, exhausted: bool) -> Any:
        info = kv_rwset_pb2.RangeQueryInfo(start_key="range/", end_key=end, itr_exhausted=exhausted)
        info.raw_reads.SetInParent()
        for key in found:
            read = info.raw_reads.kv_reads.add(key=key)
            read.version.block_num, read.version.tx_num = versions[key]
        return info

    merkle = kv_rwset_pb2.RangeQueryInfo(start_key="range/", end_key="range0", itr_exhausted=True)
    merkle.reads_merkle_hashes.max_degree, merkle.reads_merkle_hashes.max_level = 2, 1
    merkle.reads_merkle_hashes.max_level_hashes.append(bytes(32))
    cases = [
        (query(keys, "range0", exhausted=True), Code.VALID),
        (query(keys[:-1], "range0", exhausted=True), Code.PHANTOM_READ_CONFLICT),
        (query(keys[:3], keys[2], exhausted=False), Code.VALID),
        (query(keys[:2], keys[2], exhausted=True), Code.VALID),
        (query(keys[:3], keys[2], exhausted=True), Code.PHANTOM_READ_CONFLICT),
        (query(keys[::-1], "range0", exhausted=True), Code.PHANTOM_READ_CONFLICT),
        (merkle, Code.PHANTOM_READ_CONFLICT),
    ]
    drafts = [forge.draft((CHAINCODE, rwset(ranges=[info]))) for info, _ in cases]
    drafts += [forge.put("range/new"), forge.draft((CHAINCODE, rwset(ranges=[cases[0][0]])))]
    _, codes = await judged(ledger_network, list(drafts))
    assert codes[: len(cases)] == [expected for _, expected in cases]
    assert codes[-1] == Code.PHANTOM_READ_CONFLICT


async def test_key_level_policies_also_within_a_block(ledger_network: Network) -> None:
    forge = Forge(ledger_network)
    one = parse_policy_expression("OR('Org1MSP.peer')")
    _, codes = await judged(
        ledger_network,
        [
            forge.put("guarded"),
            forge.draft((CHAINCODE, rwset(metadata=[("guarded", one)]))),
            forge.put("guarded", b"in the same block"),
        ],
    )
    assert codes[:2] == [Code.VALID, Code.VALID]
    _, codes = await judged(
        ledger_network,
        [
            forge.put("guarded", b"org1 is enough", endorsers=forge.peers[:1]),
            forge.put("guarded", b"org2 is not", endorsers=forge.peers[1:]),
            forge.draft((CHAINCODE, rwset(metadata=[("never written", one)]))),
            forge.draft((CHAINCODE, rwset(writes=[("guarded", None)])), endorsers=forge.peers[:1]),
            forge.put("guarded", b"policy gone with it", endorsers=forge.peers[:1]),
        ],
    )
    assert codes[:4] == [Code.VALID, Code.ENDORSEMENT_POLICY_FAILURE, Code.VALID, Code.VALID]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_random_mixtures_of_honest_and_forged_transactions(ledger_network: Network, seed: int) -> None:
    """Reads of any versions, writes, deletes, empty values, doubled writes, metadata, too few endorsers: a heap."""
    chooser = random.Random(seed)
    forge = Forge(ledger_network)
    keys = [f"r{number}" for number in range(6)]
    parameters = [None, parse_policy_expression("OR('Org1MSP.peer')"), parse_policy_expression("OR('Org2MSP.peer')")]

    def versions() -> tuple[int, int] | None:
        return chooser.choice([None, (chooser.randrange(40), chooser.randrange(20))])

    def random_rwset() -> Any:
        # Metadata, or a doubled write, of a key that the same block deletes makes a peer panic: those have own keys.
        written: list[tuple[str, bytes | None]] = [
            (key, chooser.choice([b"x", b"y", b"", None])) for key in chooser.sample(keys, chooser.randrange(4))
        ]
        written += [("doubled", b"a"), ("doubled", b"b")][: chooser.choice([0, 0, 0, 1, 2])]
        metadata = [(chooser.choice(["m0", "m1"]), chooser.choice(parameters))] if chooser.random() < 0.3 else []
        if chooser.random() < 0.3:
            written.append((chooser.choice(["m0", "m1"]), b"z"))
        reads = [(chooser.choice(keys), versions()) for _ in range(chooser.choice([0, 0, 0, 1]))]
        return rwset(reads=reads, writes=written, metadata=metadata)

    drafts: list[Draft | bytes] = []
    for _ in range(120):
        endorsers = chooser.choice([forge.peers] * 5 + [forge.peers[:1], forge.peers[1:], []])
        chaincode = chooser.choice([CHAINCODE] * 3 + [OTHER])
        draft = forge.draft((chaincode, random_rwset()), chaincode=chaincode, endorsers=endorsers)
        drafts.append(draft)
        if chooser.random() < 0.05:
            drafts.append(draft.envelope())
            drafts.append(drafts[-1])
    report, codes = await judged(ledger_network, drafts)
    found = Counter(Code(code).name for code in codes)
    assert {"VALID", "MVCC_READ_CONFLICT", "ENDORSEMENT_POLICY_FAILURE", "DUPLICATE_TXID"} <= set(found)
    compared = sum(block.commit_hash is not None for block in report.blocks)
    assert compared > len(report.blocks) // 2
