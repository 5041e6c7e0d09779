"""Attacked chains: refused at the block, with the reason; the honest twin of each is judged to the end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.errors import Refused
from cloister.fabric.block import compute_data_hash, parse_block
from cloister.ledger.verify import verify_ledger
from cloister.network import Network
from cloister.testing.blocks import bend_block, make_block
from cloister.testing.cases import Cast
from cloister.testing.forge import hashed_rwset, rwset
from cloister.testing.signers import Authority, Signer, Wanted, orderer_signer, stranger
from cloister.trusted.ledger.codes import Code
from cloister.trusted.ledger.errors import LedgerHalted
from cloister.trusted.ledger.judge import Judge, start
from ledger.conftest import CHAINCODE, fetch_blocks

pytestmark = pytest.mark.fabric
WRITE = rwset(writes=[("k", b"v")])


@pytest.fixture(scope="module")
async def chain(ledger_network: Network) -> list[bytes]:
    """A real chain of some blocks."""
    return (await fetch_blocks(ledger_network))[:8]


def follow(blocks: list[bytes]) -> Judge:
    judge, _ = start(blocks[0])
    for block in blocks[1:]:
        judge.follow(block)
    return judge


def halted(blocks: list[bytes]) -> str:
    with pytest.raises(LedgerHalted) as caught:
        follow(blocks)
    return caught.value.reason


def next_block(judge: Judge, transactions: list[bytes], signers: list[Signer]) -> bytes:
    return make_block(judge.height, judge.last_hash, transactions, signers)


def put(cast: Cast) -> bytes:
    return cast.draft((CHAINCODE, WRITE), chaincode=CHAINCODE).build()


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
    from fabric_protos.common import common_pb2

    def other_data(block: Any) -> None:
        block.data.CopyFrom(common_pb2.Block.FromString(chain[5]).data)

    def other_data_and_header(block: Any) -> None:
        other_data(block)
        block.header.data_hash = compute_data_hash(tuple(block.data.data))

    def other_link(block: Any) -> None:
        block.header.previous_hash = bytes(32)

    def no_data(block: Any) -> None:
        del block.data.data[:]

    def cut_differently(block: Any) -> None:
        """The same bytes, hence the same data hash, as other transactions."""
        joined = b"".join(block.data.data)
        del block.data.data[:]
        block.data.data.extend([joined[:100], joined[100:]])

    for change, reason in (
        (other_data, "data-hash"),
        (other_data_and_header, "block-signatures"),
        (other_link, "previous-hash"),
        (no_data, "data"),
        (cut_differently, "channel"),
    ):
        assert halted([*chain[:4], bend_block(chain[4], change)]) == reason


async def test_a10_signatures_of_nobody_of_clients_of_peers_of_strangers(
    ledger_network: Network, chain: list[bytes]
) -> None:
    cast = Cast(ledger_network)
    orderer, peer = orderer_signer(ledger_network), cast.peers[0]
    liar = Signer(orderer.creator, peer.key)
    made_up = stranger(_orderer_authority(ledger_network)).issue(Wanted("orderer", ("orderer",)))
    for signers in ([], [peer], [cast.client], [liar], [made_up], [peer.under("OrdererMSP")]):
        judge = follow(chain)
        with pytest.raises(LedgerHalted) as caught:
            judge.follow(next_block(judge, [put(cast)], signers))
        assert caught.value.reason == "block-signatures"
        assert judge.height == len(chain)  # and nothing has changed
    judge = follow(chain)
    verdict = judge.follow(next_block(judge, [put(cast)], [liar, orderer]))
    assert verdict.codes == (Code.VALID,)


async def test_a10_a_signature_of_another_block_or_over_another_last_config(
    ledger_network: Network, chain: list[bytes]
) -> None:
    cast, orderer = Cast(ledger_network), orderer_signer(ledger_network)
    judge = follow(chain)
    sound = next_block(judge, [put(cast)], [orderer])

    def moved(block: Any) -> None:
        block.metadata.metadata[0] = parse_block(chain[-1]).metadata[0]

    def another_value(block: Any) -> None:
        from fabric_protos.common import common_pb2

        metadata = common_pb2.Metadata.FromString(block.metadata.metadata[0])
        metadata.value += b"\x12\x01x"
        block.metadata.metadata[0] = metadata.SerializeToString()

    def none(block: Any) -> None:
        del block.metadata.metadata[:]

    for change in (moved, another_value, none):
        with pytest.raises(LedgerHalted) as caught:
            judge.follow(bend_block(sound, change))
        assert caught.value.reason == "block-signatures"
    assert judge.follow(sound).codes == (Code.VALID,)


async def test_a11_two_successors_of_one_block_are_each_consistent_but_one_judge_takes_one(
    ledger_network: Network, chain: list[bytes]
) -> None:
    cast, orderer = Cast(ledger_network), orderer_signer(ledger_network)
    first, second = follow(chain), follow(chain)
    blocks = [next_block(first, [put(cast)], [orderer]) for _ in range(2)]
    first.follow(blocks[0])
    second.follow(blocks[1])
    assert (first.height, first.last_hash != second.last_hash) == (second.height, True)
    with pytest.raises(LedgerHalted) as caught:
        first.follow(blocks[1])
    assert caught.value.reason == "number"
    on_top = make_block(second.height, second.last_hash, [put(cast)], [orderer])
    with pytest.raises(LedgerHalted) as caught:
        first.follow(on_top)
    assert caught.value.reason == "previous-hash"


async def test_inputs_on_which_a_real_peer_hangs_or_panics_are_refused(
    ledger_network: Network, chain: list[bytes]
) -> None:
    cast, orderer = Cast(ledger_network), orderer_signer(ledger_network)
    sound = cast.draft((CHAINCODE, WRITE), chaincode=CHAINCODE)

    def draft(*writes: tuple[str, bytes | None], metadata: list[tuple[str, bytes | None]] | None = None) -> bytes:
        return cast.draft((CHAINCODE, rwset(writes=writes, metadata=metadata or [])), chaincode=CHAINCODE).build()

    def bent(**bends: Callable[[Any], None]) -> bytes:
        return sound.but(**bends).build()

    undefined = cast.draft((CHAINCODE, hashed_rwset(CHAINCODE, "nowhere", writes=[("k", b"v")])), chaincode=CHAINCODE)
    twice_failing = cast.draft((CHAINCODE, WRITE), ("nowhere", WRITE), chaincode=CHAINCODE, endorsers=cast.peers[:1])
    unsigned = sound.but(
        namespaces=((CHAINCODE, rwset(metadata=[("k", None)])),),
        client=Signer(cast.client.creator, cast.peers[0].key),
    )
    cases = {
        "dependency": [bent(response=lambda item: setattr(item, "extension", b"\xff")), draft(("k", b"v"))],
        "batch": [draft(("gone", None)), draft(metadata=[("gone", None)])],
        "header": [put(cast), bent(payload=lambda item: item.ClearField("header"))],
        "channel": [put(cast), bent(header=lambda item: setattr(item, "channel_id", "another"))],
        "action": [bent(endorsed=lambda item: item.ClearField("action"))],
        "collection": [undefined.build()],
        "ambiguous": [twice_failing.build()],
    }
    for reason, transactions in [*cases.items(), ("dependency", [unsigned.build(), draft(("k", b"v"))])]:
        judge = follow(chain)
        with pytest.raises(LedgerHalted) as caught:
            judge.follow(next_block(judge, transactions, [orderer]))
        assert (caught.value.reason, caught.value.block_number) == (reason, len(chain))
        assert judge.state.fingerprint() == follow(chain).state.fingerprint()


async def test_a12_flipped_or_missing_flags_are_a_difference_and_never_believed(chain: list[bytes]) -> None:
    def report(flags: bytes) -> tuple[int, list[str]]:
        block = bend_block(chain[5], lambda item: item.metadata.metadata.__setitem__(2, flags))
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


async def test_the_command_over_block_files(ledger_network: Network, chain: list[bytes], tmp_path: Path) -> None:
    for number, block in enumerate(chain):
        (tmp_path / f"{hash(number)}-x.block").write_bytes(block)

    def run(*arguments: str) -> tuple[int, dict[str, object]]:
        command = [sys.executable, "-m", "cloister", "ledger", "verify", "--json", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout)

    code, told = run(str(tmp_path), "--genesis", str(ledger_network.genesis_block_path))
    assert (code, told["clean"], len(told["blocks"])) == (0, True, len(chain))  # type: ignore[arg-type]
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
        judge.follow(bytes(encoded))
    except LedgerHalted:
        assert judge.height == len(blocks) - 1


DAMAGED: list[bytes] = []


@pytest.fixture(autouse=True, scope="module")
async def _remember(chain: list[bytes]) -> None:
    DAMAGED[:] = chain[:6]


def _orderer_authority(network: Network) -> Authority:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    folder = network.orderer.crypto / "ca"
    key = load_pem_private_key((folder / "priv_sk").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    certificate = x509.load_pem_x509_certificate(next(folder.glob("*-cert.pem")).read_bytes())
    return Authority("OrdererMSP", certificate, key)
