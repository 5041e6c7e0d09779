"""A recorded chain of four BFT orderers: verdicts equal the peer's, and no block passes without a quorum of signatures.

vectors/ledger/bft-3.1.5/README.md says what is recorded, and how to do it anew.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fabric_protos.common import common_pb2, policies_pb2
from hypothesis import given
from hypothesis import strategies as st

from cloister.fabric.block import Block, encode_header, parse_block
from cloister.ledger.verify import verify_ledger
from cloister.network import Network
from cloister.testing.blocks import Consenter, bend_block, sign_block
from cloister.testing.configs import config_of
from cloister.testing.signers import Signer
from cloister.trusted.ledger.blocks import verify_signatures
from cloister.trusted.ledger.channel_config import ChannelConfig, load_config
from cloister.trusted.ledger.codes import Code
from cloister.trusted.ledger.errors import LedgerHalted
from ledger.record_bft import OPTIONS, record
from ledger.test_attacked_chains import follow

FOLDER = Path(__file__).parents[1] / "vectors" / "ledger" / "bft-3.1.5"
BLOCKS = [path.read_bytes() for path in sorted(FOLDER.glob("*.block"))]
RECORDED = json.loads((FOLDER / "signatures.json").read_text("utf-8"))
FOUR, REMOVAL, THREE = 6, 7, 8
"""Numbers of a block of four consenters, of the one that removes consenter 4, and of one of the three that stay."""
UNKNOWN = 9
SIGNATURES, FILTER, COMMIT_HASH = common_pb2.SIGNATURES, common_pb2.TRANSACTIONS_FILTER, common_pb2.COMMIT_HASH


@cache
def config_before(number: int) -> ChannelConfig:
    return follow(BLOCKS[:number]).config


def metadata_of(encoded: bytes, index: int) -> Any:
    return common_pb2.Metadata.FromString(parse_block(encoded).metadata[index])


def made(number: int, name: int | str) -> Any:
    """A signature over a block, made by a consenter's key when the chain was recorded: record_bft.make_signatures."""
    return common_pb2.MetadataSignature.FromString(bytes.fromhex(RECORDED["made"][str(number)][str(name)]))


def signed(number: int, signatures: list[Any]) -> bytes:
    """A recorded block with other signatures."""

    def change(block: Any) -> None:
        metadata = metadata_of(BLOCKS[number], SIGNATURES)
        del metadata.signatures[:]
        metadata.signatures.extend(signatures)
        block.metadata.metadata[SIGNATURES] = metadata.SerializeToString()

    return bend_block(BLOCKS[number], change)


def outcome(number: int, signatures: list[Any]) -> str:
    """What the judge says of the block with these signatures: "accepted", or the reason why not."""
    return outcome_of(parse_block(signed(number, signatures)), config_before(number))


def outcome_of(block: Block, config: ChannelConfig | None = None) -> str:
    """The same of any block, by default under the configuration of four consenters."""
    try:
        verify_signatures(block, config or config_before(FOUR))
    except LedgerHalted as halted:
        return halted.reason
    return "accepted"


def signers(encoded: str) -> set[int]:
    """Who signed, of SIGNATURES metadata in hex."""
    return {
        common_pb2.IdentifierHeader.FromString(item.identifier_header).identifier
        for item in common_pb2.Metadata.FromString(bytes.fromhex(encoded)).signatures
    }


def under(identifier: int, signature: Any) -> Any:
    """The same signature, said to be another consenter's."""
    header = common_pb2.IdentifierHeader.FromString(signature.identifier_header)
    header.identifier = identifier
    return common_pb2.MetadataSignature(identifier_header=header.SerializeToString(), signature=signature.signature)


def by_another_key(number: int, identifier: int) -> Any:
    """A signature under a consenter's identifier by a key that is not its."""
    block = parse_block(BLOCKS[number])
    message = encode_header(block.number, block.previous_hash, block.data_hash)
    stranger = Signer(b"", ec.generate_private_key(ec.SECP256R1()))
    return sign_block(Consenter(identifier, stranger), metadata_of(BLOCKS[number], SIGNATURES).value, message)


def test_every_verdict_and_commit_hash_is_the_peers() -> None:
    report = verify_ledger(iter(BLOCKS), genesis_hash=parse_block(BLOCKS[0]).header_hash, progress=lambda _: None)
    assert (report.halted, report.differences) == ("", [])
    assert len(report.blocks) == len(BLOCKS) > THREE
    for encoded, verdict in zip(BLOCKS[1:], report.blocks[1:], strict=True):
        assert bytes(verdict.codes) == parse_block(encoded).metadata[FILTER]
        assert verdict.commit_hash == metadata_of(encoded, COMMIT_HASH).value
    codes = Counter(code for verdict in report.blocks for code in verdict.codes)
    assert codes[Code.VALID] > 10
    for code in (Code.ENDORSEMENT_POLICY_FAILURE, Code.MVCC_READ_CONFLICT, Code.INVALID_CHAINCODE):
        assert codes[code] == 3


@pytest.mark.parametrize("orderer", ["orderer", "orderer2"])
def test_as_any_orderer_delivers_it_the_chain_is_the_same(orderer: str) -> None:
    """Each orderer keeps the quorum that it has collected itself."""
    blocks = []
    for encoded, signatures in zip(BLOCKS, RECORDED["delivered"][orderer], strict=True):
        block = common_pb2.Block.FromString(encoded)
        block.metadata.metadata[SIGNATURES] = bytes.fromhex(signatures)
        blocks.append(block.SerializeToString())
    quorums = [[signers(item) for item in items[1:]] for items in RECORDED["delivered"].values()]
    assert quorums[0] != quorums[1]
    judge, honest = follow(blocks), follow(BLOCKS)
    assert (judge.last_hash, judge.state.fingerprint()) == (honest.last_hash, honest.state.fingerprint())


def test_the_command_judges_it_to_its_end() -> None:
    command = [sys.executable, "-m", "cloister", "ledger", "verify", str(FOLDER), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)
    assert (done.returncode, told["clean"], len(told["blocks"])) == (0, True, len(BLOCKS))


def test_a10_every_recorded_block_with_one_signature_less_than_the_quorum() -> None:
    for number, block in enumerate(BLOCKS[1:], 1):
        signatures = list(metadata_of(block, SIGNATURES).signatures)
        needed = 2 if number > REMOVAL else 3
        assert len(signatures) >= needed
        honest = follow(BLOCKS[:number])
        with pytest.raises(LedgerHalted) as caught:
            honest.follow(signed(number, signatures[: needed - 1]))
        assert (caught.value.reason, honest.height) == ("block-signatures", number)
        assert honest.follow(signed(number, signatures[:needed])).number == number


def test_a10_signatures_of_four_consenters() -> None:
    first, second, third, fourth, foreign = (made(FOUR, number) for number in (1, 2, 3, 4, UNKNOWN))
    attacks = {
        "none": [],
        "one short": [first, second],
        "doubled": [first, second, second],
        "two of one consenter": [first, third, made(FOUR, "3 named")],
        "of an unknown consenter": [first, second, foreign],
        "under another's identifier": [first, second, under(4, third)],
        "under an unknown identifier": [first, second, under(UNKNOWN, third)],
        "of another key": [first, second, by_another_key(FOUR, 3)],
        "over another block": [first, second, made(THREE, 3)],
        "without identifier": [first, second, common_pb2.MetadataSignature(signature=third.signature)],
    }
    for name, signatures in attacks.items():
        assert (name, outcome(FOUR, signatures)) == (name, "block-signatures")
        # What does not count does no harm either.
        assert (name, outcome(FOUR, [*signatures, first, second, third])) == (name, "accepted")
    for signatures in ([fourth, third, second], [first, second, third, fourth], [first, second, made(FOUR, "3 named")]):
        assert outcome(FOUR, signatures) == "accepted"


def test_a10_anything_that_is_signed_altered_afterwards() -> None:
    """Each alteration alone, of a block with just a quorum of signatures."""
    sound = signed(FOUR, [made(FOUR, number) for number in (1, 2, 3)])
    block = parse_block(sound)
    assert outcome_of(block) == "accepted"
    assert outcome_of(replace(block, number=FOUR + 1)) == "block-signatures"
    assert outcome_of(replace(block, previous_hash=bytes(32))) == "block-signatures"
    assert outcome_of(replace(block, data_hash=bytes(32))) == "block-signatures"

    def alter_value(metadata: Any) -> None:
        metadata.value += b"\x1a\x00"

    def alter_nonce(metadata: Any) -> None:
        header = common_pb2.IdentifierHeader.FromString(metadata.signatures[0].identifier_header)
        header.nonce += b"x"
        metadata.signatures[0].identifier_header = header.SerializeToString()

    def alter_signature(metadata: Any) -> None:
        metadata.signatures[0].signature = metadata.signatures[1].signature

    for alter in (alter_value, alter_nonce, alter_signature):
        metadata = metadata_of(sound, SIGNATURES)
        alter(metadata)
        altered = (metadata.SerializeToString(), *block.metadata[1:])
        assert (alter.__name__, outcome_of(replace(block, metadata=altered))) == (alter.__name__, "block-signatures")


def test_a10_a_block_validation_policy_weaker_than_the_consenters_quorum() -> None:
    """Orderers demand that both agree, peers look at the policy alone; the judge asks for the quorum in any case."""
    config = config_of(parse_block(BLOCKS[0]).transactions[0])
    item = config.channel_group.groups["Orderer"].policies["BlockValidation"]
    policy = policies_pb2.SignaturePolicyEnvelope.FromString(item.policy.value)
    assert policy.rule.n_out_of.n == 3
    policy.rule.n_out_of.n = 1
    item.policy.value = policy.SerializeToString()
    weak = load_config(config)
    first, second, third = (made(FOUR, number) for number in (1, 2, 3))
    for signatures in ([first], [first, second], [first, second, made(FOUR, UNKNOWN)]):
        assert outcome_of(parse_block(signed(FOUR, signatures)), weak) == "block-signatures"
    assert outcome_of(parse_block(signed(FOUR, [first, second, third])), weak) == "accepted"


def test_a10_the_removed_consenters_quorum_no_longer_counts_once_the_orderer_set_has_changed() -> None:
    """The block that removes a consenter is still signed by the old set, the next one by the new set."""
    update, after = BLOCKS[REMOVAL], [made(THREE, number) for number in (1, 4)]
    judge = follow(BLOCKS[:REMOVAL])
    with pytest.raises(LedgerHalted, match="BlockValidation"):
        judge.follow(signed(REMOVAL, list(metadata_of(update, SIGNATURES).signatures)[:2]))
    before = judge.config
    judge.follow(update)
    assert (len(before.consenters), len(judge.config.consenters)) == (4, 3)
    with pytest.raises(LedgerHalted, match="BlockValidation"):
        judge.follow(signed(THREE, after))
    judge.follow(signed(THREE, [after[0], made(THREE, 2)]))


def test_a_header_that_does_not_decode_spoils_the_block_as_it_does_for_a_peer() -> None:
    honest = [made(FOUR, number) for number in (1, 2, 3)]
    assert outcome(FOUR, honest) == "accepted"
    for header in ("identifier_header", "signature_header"):
        assert outcome(FOUR, [*honest, common_pb2.MetadataSignature(**{header: b"\xff"})]) == "block-signatures"


def test_a10_signatures_of_a_removed_consenter() -> None:
    first, second, third, fourth = (made(THREE, number) for number in (1, 2, 3, 4))
    named = made(THREE, "4 named")
    for signatures in ([first], [first, fourth], [fourth, first, fourth], [first, named], [fourth, named]):
        assert outcome(THREE, signatures) == "block-signatures"
    for signatures in (
        [first, second],
        [third, first],
        [fourth, second, third],
        [named, first, made(THREE, "3 named")],
    ):
        assert outcome(THREE, signatures) == "accepted"


@given(st.lists(st.sampled_from([1, 2, 3, 4, UNKNOWN]), max_size=8), st.sampled_from([FOUR, THREE]))
def test_accepted_exactly_if_a_quorum_of_known_consenters_signed(identifiers: list[int], number: int) -> None:
    known, needed = ({1, 2, 3, 4}, 3) if number == FOUR else ({1, 2, 3}, 2)
    enough = len(known & set(identifiers)) >= needed
    found = outcome(number, [made(number, identifier) for identifier in identifiers])
    assert found == ("accepted" if enough else "block-signatures")


@pytest.mark.fabric31
async def test_recorded_anew_it_is_judged_alike(fabric31: None, tmp_path: Path) -> None:
    network = Network.up(tmp_path / "net", OPTIONS)
    try:
        await record(network, tmp_path / "recorded")
    finally:
        network.down()
    blocks = [path.read_bytes() for path in sorted((tmp_path / "recorded").glob("*.block"))]
    report = verify_ledger(iter(blocks), genesis_hash=None, progress=lambda _: None)
    assert report.clean
    recorded = verify_ledger(iter(BLOCKS), genesis_hash=None, progress=lambda _: None)
    assert (report.codes, report.keys) == (recorded.codes, recorded.keys)
