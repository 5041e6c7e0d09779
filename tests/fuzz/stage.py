"""What the judge is fuzzed on: keys, a chain, transactions. Made once and kept: a finding stays reproducible."""

from __future__ import annotations

import copy
import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fabric_protos.common import common_pb2

from cloister.fabric.block import parse_block
from cloister.network import Network, NetworkOptions
from cloister.testing.blocks import make_block
from cloister.testing.cases import MAIN, OTHER, PRIVATE, Cast, single_cases
from cloister.testing.definitions import ForgedDefinition, collection
from cloister.testing.forge import hashed_rwset, range_query, rwset
from cloister.trusted.ledger.judge import Judge, start

VECTORS = Path(__file__).parents[1] / "vectors" / "ledger"
_DONE = "done"


@dataclass(frozen=True)
class Stage:
    """A network's keys (nothing of it runs), a judged chain, and envelopes that its members signed."""

    cast: Cast
    chain: tuple[bytes, ...]
    envelopes: tuple[bytes, ...]

    def next_block(self, judge: Judge, transactions: Sequence[bytes]) -> bytes:
        """A block that nobody could refuse for its links, hashes and signatures."""
        return make_block(judge.height, judge.last_hash, transactions, [self.cast.orderer])


def open_stage(folder: Path) -> Stage:
    """The stage in a folder; made if it is not there."""
    if not (folder / _DONE).exists():
        shutil.rmtree(folder, ignore_errors=True)
        _make(folder)
    cast = Cast(Network.load(folder / "network"))
    return Stage(cast, _read(folder / "chain"), _read(folder / "envelopes"))


def judges(chain: Sequence[bytes]) -> list[Judge]:
    """The judge before each block from block 1 on."""
    judge, _ = start(chain[0])
    found = [copy_judge(judge)]
    for block in chain[1:]:
        judge.follow(block)
        found.append(copy_judge(judge))
    return found


def copy_judge(judge: Judge) -> Judge:
    """One with a state of its own; the configuration, which never changes, is shared with what it remembers."""
    return dataclasses.replace(
        judge,
        state=copy.deepcopy(judge.state),
        transaction_ids=copy.deepcopy(judge.transaction_ids),
        expiry=copy.deepcopy(judge.expiry),
    )


def recorded_chains() -> Iterator[tuple[bytes, ...]]:
    """Chains of real networks out of the test vectors."""
    for folder in sorted({path.parent for path in VECTORS.rglob("*.block")}):
        yield _read(folder)


def payload_of(envelope: bytes) -> bytes:
    """What an envelope's signature is over."""
    payload: bytes = common_pb2.Envelope.FromString(envelope).payload
    return payload


def _make(folder: Path) -> None:
    network = Network.up(folder / "network", NetworkOptions())
    network.down()
    cast = Cast(network)
    chain = [network.genesis_block_path.read_bytes()]
    for transactions in (_definitions(cast), _state(cast)):
        last = parse_block(chain[-1])
        chain.append(make_block(last.number + 1, last.header_hash, transactions, [cast.orderer]))
    envelopes = [envelope for case in single_cases(cast) for envelope in case.transactions]
    _write(folder / "chain", chain)
    _write(folder / "envelopes", [*envelopes, *_state(cast), *_definitions(cast)])
    (folder / _DONE).touch()


def _definitions(cast: Cast) -> list[bytes]:
    collections = [collection("own", "OR('Org2MSP.member')", endorsement="OR('Org2MSP.peer')", block_to_live=3)]
    definitions = (ForgedDefinition(MAIN), ForgedDefinition(OTHER), ForgedDefinition(PRIVATE, collections=collections))
    return [cast.draft(item.write(), chaincode="_lifecycle").build() for item in definitions]


def _state(cast: Cast) -> list[bytes]:
    """Every kind of part that a read/write set has."""
    parts = rwset(
        reads=[("a", None), ("b", (1, 0))],
        writes=[("a", b"value"), ("b", None)],
        metadata=[("a", b"")],
        ranges=[range_query("a", "c", [("a", (1, 0))])],
    )
    private = hashed_rwset(PRIVATE, "own", reads=[("k", None)], writes=[("k", b"v"), ("l", None)])
    return [
        *(cast.put(f"key{number}").build() for number in range(4)),
        cast.draft((MAIN, parts), (OTHER, parts)).build(),
        cast.draft((PRIVATE, private), chaincode=PRIVATE).build(),
    ]


def _write(folder: Path, items: Sequence[bytes]) -> None:
    folder.mkdir()
    for number, item in enumerate(items):
        (folder / f"{number:03}.block").write_bytes(item)


def _read(folder: Path) -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in sorted(folder.glob("*.block")))
