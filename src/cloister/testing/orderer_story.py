"""Whose signatures a block needs: forged blocks, which judge and peer refuse, and orderers that change hands.

Each forged block is followed by its honest twin, which both accept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fabric_protos.common import common_pb2, configuration_pb2

from cloister.fabric.block import parse_block
from cloister.network.options import BFT
from cloister.trusted.ledger.codes import Code

from .blocks import BlockSigner, Consenter, bend_block
from .comparison import Bench, Progress
from .configs import Change, consenters, members, organization, together
from .orderer import all_consenters
from .signers import Authority, Signer, Wanted, orderer_admin, stranger

_PATH, _SIGNATURES = ["Orderer"], common_pb2.SIGNATURES
_ORDERER, _ADMIN = Wanted("orderer", ("orderer",)), Wanted("admin", ("admin",))
_NOBODYS = 9
"""An identifier of no consenter."""


async def play_orderers(bench: Bench, progress: Progress) -> None:
    """In the end another ordering organisation is alone: nobody of the first one may sign any more."""
    progress("orderers: forged signatures")
    bft = bench.network.layout.options.consensus == BFT
    await _signatures(bench)
    if bft:
        await _consenter_signatures(bench)
    progress("orderers: another organisation takes over")
    await (_consenters if bft else _organisations)(bench)


async def _refuse(
    bench: Bench, name: str, signers: Sequence[BlockSigner], bend: Callable[[Any], None] = lambda _: None
) -> None:
    """A block by these signers, its SIGNATURES metadata bent afterwards."""

    def change(block: Any) -> None:
        metadata = common_pb2.Metadata.FromString(block.metadata.metadata[_SIGNATURES])
        bend(metadata)
        block.metadata.metadata[_SIGNATURES] = metadata.SerializeToString()

    block = bench.orderer.make([bench.cast.put("refused").build()], signers=signers)
    await _refuse_block(bench, name, bend_block(block, change))


async def _refuse_block(bench: Bench, name: str, block: bytes) -> None:
    """And its twin, by those who may, is accepted in its place."""
    await bench.expect_refusal(name, block)
    await bench.expect_put(f"in place of one signed by {name}", Code.VALID)


async def _accept(bench: Bench, name: str, signers: Sequence[BlockSigner]) -> None:
    bench.orderer.signers = signers
    await bench.expect_put(f"signed by {name}", Code.VALID)


async def _signatures(bench: Bench) -> None:
    """What no ordering service allows: one signature that counts is missing each time."""
    honest, peer = bench.orderer.signers, bench.cast.peers[0]
    *few, last = honest
    made_up = stranger(bench.cast.authorities[0]).under("OrdererMSP").issue(_ORDERER)
    for name, signers in {
        "one signature short": few,
        "a peer": [*few, peer],
        "a peer as orderer": [*few, peer.under("OrdererMSP")],
        "a made-up orderer": [*few, made_up],
        "another key": [*few, _with_key(last, peer)],
    }.items():
        await _refuse(bench, name, signers)
    await _refuse(bench, "other metadata under the signatures", honest, _other_metadata)
    await _refuse(bench, "a signature header that does not decode", honest, _broken_name)
    await _refuse_block(bench, "another block's signatures", _signed_for_another(bench))
    await _accept(bench, "orderers beside others", [*few, peer, made_up, _with_key(last, peer), last])
    await _accept(bench, "orderers", honest)


async def _consenter_signatures(bench: Bench) -> None:
    """What only BFT adds. The quorum is three of four."""
    first, second, third = _numbered(bench.orderer.signers)
    fourth = all_consenters(bench.network)[3]
    admin = orderer_admin(bench.network)
    extras: dict[str, BlockSigner] = {
        "one doubled": second,
        "one by number and by name": second.signer,
        "one of the ordering organisation that is no consenter": admin,
        "one under an unknown number": Consenter(_NOBODYS, third.signer),
        "one under another's number": Consenter(4, third.signer),
    }
    for name, extra in extras.items():
        await _refuse(bench, name, [first, second, extra])
    await _refuse(bench, "an identifier header that does not decode", [first, second, third], _broken_number)
    await _accept(bench, "another quorum", [fourth, third, second])
    await _accept(bench, "all", [first, second, third, fourth])
    await _accept(bench, "consenters by name", [first.signer, second.signer, third.signer])
    await _accept(bench, "a quorum", [first, second, third])


async def _organisations(bench: Bench) -> None:
    """Under Raft: any member of an ordering organisation signs."""
    network, first = bench.network, bench.orderer.identity
    fresh = stranger(bench.cast.authorities[0]).under("OtherOrdererMSP")
    admin, new = orderer_admin(network), fresh.issue(_ORDERER)
    await _refuse(bench, "an organisation that is none", [new])
    await bench.reconfigure(_PATH, members(OtherOrderer=_ordering_group(bench, fresh)), [admin])
    await _accept(bench, "the new organisation", [new])
    await _accept(bench, "the old one", [first])
    await bench.reconfigure(_PATH, members(Orderer=None), [admin, fresh.issue(_ADMIN)])
    await _accept(bench, "the new one alone", [new])
    await _refuse(bench, "the old one, which is gone", [first])
    await bench.expect_put("a member of the old one is nobody", Code.BAD_CREATOR_SIGNATURE, client=first)


async def _consenters(bench: Bench) -> None:
    """Under BFT: one consenter is replaced, then all, then one goes."""
    first, second, third = _numbered(bench.orderer.signers)
    fourth = all_consenters(bench.network)[3]
    fresh = stranger(bench.cast.authorities[0]).under("OtherOrdererMSP")
    admins = [orderer_admin(bench.network), fresh.issue(_ADMIN)]
    new = [Consenter(number, fresh.issue(_ORDERER)) for number in (5, 6, 7, 8)]
    await _refuse(bench, "a consenter to come", [first, second, new[0]])
    comes = members(OtherOrderer=_ordering_group(bench, fresh))
    await bench.reconfigure(_PATH, together(comes, _replace(new[:1], keep=3)), admins[:1])
    await _accept(bench, "the new consenter and two old ones", [new[0], first, second])
    await _refuse(bench, "the replaced consenter", [first, second, fourth])
    await _refuse(bench, "its successor under its number", [first, second, Consenter(4, new[0].signer)])
    await bench.reconfigure(_PATH, together(members(Orderer=None), _replace(new, keep=0)), admins)
    await _accept(bench, "the new ones alone", new[:3])
    await _refuse(bench, "the old ones, which are gone", [first, second, third])
    await _refuse(bench, "an old one beside the new ones", [*new[:2], third])
    creator = first.signer
    await bench.expect_put("a member of the old one is nobody", Code.BAD_CREATOR_SIGNATURE, client=creator)
    await bench.reconfigure(_PATH, consenters(lambda mapping: mapping.pop()), admins[1:])
    await _accept(bench, "two of three", new[1:3])
    await _refuse(bench, "one of three", new[:1])
    await _refuse(bench, "the removed one beside one of three", [new[0], new[3]])


def _numbered(signers: Sequence[BlockSigner]) -> list[Consenter]:
    return [signer for signer in signers if isinstance(signer, Consenter)]


def _with_key(signer: BlockSigner, other: Signer) -> BlockSigner:
    """The same name or number, another's key."""
    if isinstance(signer, Consenter):
        return Consenter(signer.identifier, other)
    return Signer(signer.creator, other.key)


def _ordering_group(bench: Bench, authority: Authority) -> Any:
    orderers = bench.network.orderers
    return organization(
        authority,
        tls_roots=[bench.network.orderer.tls_ca_path.read_bytes()],
        endpoints=[orderer.endpoint for orderer in orderers],
    )


def _replace(new: Sequence[Consenter], *, keep: int) -> Change:
    """The first `keep` consenters and these new ones; hosts and TLS certificates are of no matter to peers."""

    def bend(mapping: Any) -> None:
        model = configuration_pb2.Consenter.FromString(mapping[0].SerializeToString())
        del mapping[keep:]
        for consenter in new:
            added = mapping.add()
            added.CopyFrom(model)
            added.id, added.msp_id = consenter.identifier, consenter.signer.msp_id
            added.identity = consenter.signer.certificate_pem

    return consenters(bend)


def _signed_for_another(bench: Bench) -> bytes:
    """A block with the signatures of another one of the same height."""
    block, other = (bench.orderer.make([bench.cast.put(name).build()]) for name in ("refused", "other"))
    signatures = parse_block(other).metadata[_SIGNATURES]
    return bend_block(block, lambda item: item.metadata.metadata.__setitem__(_SIGNATURES, signatures))


def _other_metadata(metadata: Any) -> None:
    value = common_pb2.OrdererBlockMetadata.FromString(metadata.value)
    value.last_config.index += 1
    metadata.value = value.SerializeToString()


def _broken_name(metadata: Any) -> None:
    metadata.signatures.add(signature_header=b"\xff")


def _broken_number(metadata: Any) -> None:
    metadata.signatures.add(identifier_header=b"\xff")
