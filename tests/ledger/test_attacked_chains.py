"""Attacked chains: refused at the block, with the reason; the honest twin of each is judged to the end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fabric_protos.common import common_pb2
from hypothesis import given
from hypothesis import strategies as st

from cloister.errors import Refused
from cloister.fabric.block import compute_data_hash, encode_header, parse_block
from cloister.ledger.verify import verify_ledger
from cloister.network import Network
from cloister.trusted.ledger.codes import Code
from cloister.trusted.ledger.errors import LedgerHalted
from cloister.trusted.ledger.judge import Judge, start
from ledger.conftest import CHAINCODE, fetch_blocks
from support.forge import Draft, Signer, client_signer, peer_signer, rwset, signer_of

pytestmark = pytest.mark.fabric


@pytest.fixture(scope="module")
async def chain(ledger_network: Network) -> list[bytes]:
    """A real chain of some blocks."""
    return (await fetch_blocks(ledger_network))[:8]


def follow(blocks: list[bytes]) -> Judge:
    judge, _ = start(blocks[0])
    for block in blocks[1:]:
        judge.judge(block)
    return judge


def halted(blocks: list[bytes]) -> str:
    with pytest.raises(LedgerHalted) as caught:
        follow(blocks)
    return caught.value.reason


def bent(encoded: bytes, change: Callable[[common_pb2.Block], None]) -> bytes:
    block = common_pb2.Block.FromString(encoded)
    change(block)
    return block.SerializeToString()  # type: ignore[no-any-return]


def orderer_signer(network: Network) -> Signer:
    return signer_of("OrdererMSP", network.orderer.node_crypto / "msp")


def make_block(judge: Judge, transactions: list[bytes], signers: list[Signer]) -> bytes:
    """The next block, as an orderer makes it."""
    data_hash = compute_data_hash(tuple(transactions))
    header = encode_header(judge.height, judge.last_hash, data_hash)
    metadata = common_pb2.Metadata(value=b"")
    for signer in signers:
        signature_header = common_pb2.SignatureHeader(creator=signer.creator, nonce=b"n").SerializeToString()
        metadata.signatures.add(signature_header=signature_header, signature=signer.sign(signature_header + header))
    block = common_pb2.Block(
        header=common_pb2.BlockHeader(number=judge.height, previous_hash=judge.last_hash, data_hash=data_hash),
        data=common_pb2.BlockData(data=transactions),
        metadata=common_pb2.BlockMetadata(metadata=[metadata.SerializeToString(), b"", b"", b"", b""]),
    )
    return block.SerializeToString()  # type: ignore[no-any-return]


async def test_the_honest_chain_is_judged_to_its_end(chain: list[bytes]) -> None:
    judge = follow(chain)
    assert judge.height == len(chain)
    assert judge.last_hash == parse_block(chain[-1]).header_hash


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (lambda blocks: [*blocks[:3], *blocks[4:]], "number"),
        (lambda blocks: [*blocks[:4], blocks[3], *blocks[4:]], "number"),
        (lambda blocks: [*blocks[:3], blocks[4], blocks[3], *blocks[5:]], "number"),
        (lambda blocks: [blocks[0], *(blocks[2:3])], "number"),
        (lambda blocks: [*blocks[:4], b"", *blocks[5:]], "data"),
        (lambda blocks: [*blocks[:4], blocks[4][: len(blocks[4]) // 2]], "data"),
        (lambda blocks: [blocks[1]], "number"),
    ],
    ids=["dropped", "repeated", "reordered", "cut out", "empty", "truncated", "no genesis"],
)
async def test_a9_chains_with_gaps_repetitions_and_cuts(
    chain: list[bytes], attack: Callable[[list[bytes]], list[bytes]], reason: str
) -> None:
    assert halted(attack(chain)) == reason


async def test_a9_data_and_header_that_do_not_belong_together(chain: list[bytes]) -> None:
    def other_data(block: common_pb2.Block) -> None:
        block.data.CopyFrom(common_pb2.Block.FromString(chain[5]).data)

    def other_data_and_header(block: common_pb2.Block) -> None:
        other_data(block)
        block.header.data_hash = compute_data_hash(tuple(block.data.data))

    def other_link(block: common_pb2.Block) -> None:
        block.header.previous_hash = bytes(32)

    for change, reason in (
        (other_data, "data-hash"),
        (other_data_and_header, "block-signatures"),
        (other_link, "previous-hash"),
    ):
        assert halted([*chain[:4], bent(chain[4], change)]) == reason


async def test_a10_signatures_of_nobody_of_clients_and_of_peers(ledger_network: Network, chain: list[bytes]) -> None:
    forged = Draft(
        ledger_network.channel,
        CHAINCODE,
        client_signer(ledger_network.organisations[0]),
        [peer_signer(item) for item in ledger_network.organisations],
        [(CHAINCODE, rwset(writes=[("forged", b"x")]))],
    ).envelope()
    orderer = orderer_signer(ledger_network)
    peer = peer_signer(ledger_network.organisations[0])
    liar = Signer(orderer.creator, peer.key)
    for signers in ([], [peer], [client_signer(ledger_network.organisations[0])], [liar]):
        judge = follow(chain)
        with pytest.raises(LedgerHalted) as caught:
            judge.judge(make_block(judge, [forged], signers))
        assert caught.value.reason == "block-signatures"
        assert judge.height == len(chain)  # and nothing has changed
    judge = follow(chain)
    verdict = judge.judge(make_block(judge, [forged], [liar, orderer]))
    assert verdict.codes == (Code.VALID,)


async def test_inputs_on_which_a_real_peer_hangs_or_panics_are_refused(
    ledger_network: Network, chain: list[bytes]
) -> None:
    client = client_signer(ledger_network.organisations[0])
    peers = [peer_signer(item) for item in ledger_network.organisations]
    orderer = orderer_signer(ledger_network)

    def draft(**more: object) -> bytes:
        found = Draft(ledger_network.channel, CHAINCODE, client, peers)
        for name, value in more.items():
            setattr(found, name, value)
        return found.envelope()

    def opaque(response: object) -> None:
        response.extension = b"\xff"  # type: ignore[attr-defined]

    def no_header(payload: object) -> None:
        payload.ClearField("header")  # type: ignore[attr-defined]

    def another_channel(header: object) -> None:
        header.channel_id = "another"  # type: ignore[attr-defined]

    write = [(CHAINCODE, rwset(writes=[("k", b"v")]))]
    cases = {
        "dependency": [draft(namespaces=write, response=opaque), draft(namespaces=write)],
        "batch": [
            draft(namespaces=[(CHAINCODE, rwset(writes=[("gone", None)]))]),
            draft(namespaces=[(CHAINCODE, rwset(metadata=[("gone", None)]))]),
        ],
        "header": [draft(namespaces=write, payload=no_header)],
        "channel": [draft(namespaces=write, header=another_channel)],
    }
    for reason, transactions in cases.items():
        judge = follow(chain)
        with pytest.raises(LedgerHalted) as caught:
            judge.judge(make_block(judge, transactions, [orderer]))
        assert caught.value.reason == reason
        assert judge.state.fingerprint() == follow(chain).state.fingerprint()


async def test_a12_flipped_or_missing_flags_are_a_difference_and_never_believed(chain: list[bytes]) -> None:
    def report(flags: bytes) -> tuple[int, list[str]]:
        block = bent(chain[5], lambda item: item.metadata.metadata.__setitem__(2, flags))
        found = verify_ledger(iter([*chain[:5], block, *chain[6:]]), genesis_hash=None, progress=lambda _: None)
        codes = [code.name for code in found.blocks[5].codes]
        return len(found.differences), codes

    count = len(parse_block(chain[5]).transactions)
    honest, codes = report(parse_block(chain[5]).metadata[2])
    assert honest == 0
    assert report(bytes([255] * count)) == (count, codes)
    assert report(bytes(count + 1))[1] == codes
    assert report(bytes(count + 1))[0] == 1


async def test_a16_another_genesis_block_is_refused(chain: list[bytes]) -> None:
    pinned = parse_block(chain[0]).header_hash
    assert verify_ledger(iter(chain), genesis_hash=pinned, progress=lambda _: None).clean
    with pytest.raises(Refused) as caught:
        verify_ledger(iter(chain), genesis_hash=bytes(32), progress=lambda _: None)
    assert caught.value.reason == "genesis"


async def test_the_command_over_block_files_and_over_a_peers_ledger(
    ledger_network: Network, chain: list[bytes], tmp_path: Path
) -> None:
    for number, block in enumerate(chain):
        (tmp_path / f"{hash(number)}-x.block").write_bytes(block)

    def run(*arguments: str) -> tuple[int, dict[str, object]]:
        command = [sys.executable, "-m", "cloister", "ledger", "verify", "--json", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout)

    code, told = run(str(tmp_path), "--genesis", str(ledger_network.genesis_block_path))
    assert (code, told["clean"], len(told["blocks"])) == (0, True, len(chain))  # type: ignore[arg-type]
    data = ledger_network.organisations[1].folder / "peer" / "data"
    code, told = run(str(data))
    assert (code, told["clean"]) == (0, True)
    (tmp_path / f"{hash(4)}-x.block").unlink()
    code, told = run(str(tmp_path))
    assert (code, told["halted_reason"]) == (4, "number")
    code, told = run(str(tmp_path / "absent"))
    assert code == 7


@given(st.data())
def test_any_damage_is_refused_with_the_judges_own_error(data: st.DataObject) -> None:
    """Bytes of a real block, changed anywhere: refused, or judged without a crash (where nothing signed was hit)."""
    blocks = DAMAGED
    assert blocks
    encoded = bytearray(blocks[-1])
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(encoded) - 1))
        encoded[position] ^= data.draw(st.integers(1, 255))
    judge = follow(blocks[:-1])
    try:
        judge.judge(bytes(encoded))
    except LedgerHalted:
        assert judge.height == len(blocks) - 1


DAMAGED: list[bytes] = []


@pytest.fixture(autouse=True, scope="module")
async def _remember(chain: list[bytes]) -> None:
    DAMAGED[:] = chain[:6]
