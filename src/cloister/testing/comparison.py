"""Does the judge agree with a real peer? An adversarial ledger, made block by block and committed by a real peer.

The network's own orderers give way to a dishonest one, so that every kind of transaction reaches the peer; the second
organisation's peer is stopped, because both would decide the same. At the end every verdict, every commit hash and,
key by key, the peer's whole state are compared with the judge's.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fabric_protos.common import ledger_pb2

from cloister.deploy.deploy import connected
from cloister.errors import CloisterError, RemoteFailed
from cloister.fabric.block import parse_block
from cloister.gateway import Contract
from cloister.ledger.snapshot import StateDifference, compare_state, read_snapshot
from cloister.ledger.verify import Difference, Report, verify_ledger
from cloister.network import Network
from cloister.network.client_files import peer_environment
from cloister.network.processes import run_program, wait_until
from cloister.trusted.ledger.blocks import prepare_blocks
from cloister.trusted.ledger.codes import Code
from cloister.trusted.ledger.errors import LedgerHalted
from cloister.trusted.ledger.identities import SignatureChecker
from cloister.trusted.ledger.judge import Judge, start

from .cases import MAIN, OTHER, PRIVATE, Case, Cast, single_cases
from .configs import Change, config_envelope, config_of, update_envelope
from .definitions import ForgedDefinition, collection
from .mixtures import Mixture
from .orderer import DishonestOrderer
from .signers import Signer

TIMEOUT_S = 60.0
_POLL_S = 0.02
_BLOCKS_AHEAD = 40
"""Blocks delivered before waiting for the peer to have committed them."""
_MAY_REFUSE = frozenset({"ambiguous", "dependency", "batch"})
"""Blocks that random mixtures may bring forth and that a real peer hangs or panics on, or decides at random."""
Progress = Callable[[str], None]


@dataclass
class Comparison:
    """What came of it. `surprises`: cases of the catalogue whose verdict is not the one it states.

    `refused`: random blocks that the peer did not get; `forged`: blocks that it got, and refused as the judge did.
    """

    fabric_version: str
    consensus: str
    verdicts: Counter[str] = field(default_factory=Counter)
    blocks: int = 0
    keys: int = 0
    refused: int = 0
    forged: int = 0
    differences: list[Difference] = field(default_factory=list)
    state_differences: list[StateDifference] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)

    seconds: float = 0.0

    @property
    def transactions(self) -> int:
        """Transactions compared."""
        return self.verdicts.total()

    @property
    def equal(self) -> bool:
        """No difference of any kind."""
        return not self.differences and not self.state_differences and not self.surprises


class Bench:
    """One network under a dishonest orderer, with a judge beside its peer. Make it with `open_bench`."""

    def __init__(self, network: Network, orderer: DishonestOrderer, peer: Contract, judge: Judge) -> None:
        self.network = network
        self.cast = Cast(network)
        self.orderer = orderer
        self.judge = judge
        self.comparison = Comparison(network.layout.fabric_version, network.layout.options.consensus)
        self._peer = peer

    async def commit(self, transactions: Sequence[bytes], *, is_config: bool = False) -> tuple[Code, ...]:
        """One block; the judge's verdicts. Raises: LedgerHalted; then the peer does not get it."""
        block = self.orderer.make(list(transactions), is_config=is_config)
        verdict = self.judge.follow(block)
        await self.orderer.deliver(block, is_config=is_config)
        self.comparison.blocks += 1
        if self.judge.height % _BLOCKS_AHEAD == 0:
            await self.wait()
        return verdict.codes

    async def expect(self, case: Case) -> None:
        """One block: a sound transaction, out of which a peer reads the channel, then a case of the catalogue."""
        _, *codes = await self.commit([self.cast.put("first").build(), *case.transactions])
        if tuple(codes) != case.expected:
            told = ", ".join(code.name for code in codes)
            self.comparison.surprises.append(f"{case.name}: {told}")

    async def expect_put(self, name: str, verdict: Code, **more: Any) -> None:
        """One block: a write to `main`, sound but for what is given."""
        await self.expect(Case(name, (self.cast.put("configured", **more).build(),), (verdict,)))

    async def expect_refusal(self, name: str, block: bytes) -> None:
        """A next block that judge and peer must refuse. Raises: RemoteFailed if only the peer accepts it."""
        await self.wait()
        with contextlib.suppress(LedgerHalted):
            self.judge.judge(prepare_blocks([block], SignatureChecker())[0])
            self.comparison.surprises.append(f"{name}: accepted by the judge")
            return
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self.orderer.offer(block)
        except TimeoutError as error:
            raise RemoteFailed(
                f"{name}: the peer does not refuse a block that the judge refuses", hint="see the peer's log"
            ) from error
        self.comparison.forged += 1

    async def reconfigure(self, path: Sequence[str], change: Change, signers: Sequence[Signer]) -> None:
        """One block with a new configuration."""
        channel, config = self.network.channel, self.config
        update = update_envelope(channel, config, path, change, signers)
        await self.commit(
            [config_envelope(channel, config, update, path, change, self.orderer.identity)], is_config=True
        )

    @property
    def config(self) -> Any:
        """The newest `common.Config`."""
        return config_of(parse_block(self.orderer.blocks[self.judge.config_block]).transactions[0])

    async def define(self, *definitions: ForgedDefinition) -> None:
        """One block with chaincode definitions."""
        drafts = [self.cast.draft(item.write(), chaincode="_lifecycle") for item in definitions]
        await self.commit([draft.build() for draft in drafts])

    async def wait(self) -> None:
        """Until the peer has committed all blocks. Raises: RemoteFailed if it does not in TIMEOUT_S seconds."""
        height = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TIMEOUT_S):
                while height < self.judge.height:
                    await asyncio.sleep(_POLL_S)
                    height = await peer_height(self._peer, self.network.channel)
        if height < self.judge.height:
            raise RemoteFailed(
                f"the peer stopped at block {height}, the judge is at {self.judge.height}",
                hint="see the peer's log; a block that a peer cannot commit must be refused by the judge",
            )

    async def finish(self) -> Comparison:
        """Compare verdicts and commit hashes of all blocks, and the state, with the peer's own."""
        await self.wait()
        channel = self.network.channel
        blocks = [
            await self._peer.evaluate_transaction("GetBlockByNumber", channel, str(number))
            for number in range(self.judge.height)
        ]
        report: Report = verify_ledger(iter(blocks), genesis_hash=None, progress=lambda _: None)
        if report.halted:
            raise CloisterError(f"the judge stops on the peer's own ledger: {report.halted}")
        found = self.comparison
        found.verdicts, found.differences, found.keys = report.codes, report.differences, report.keys
        snapshot = read_snapshot(await self._take_snapshot())
        found.state_differences = compare_state(self.judge.state, snapshot)
        return found

    async def _take_snapshot(self) -> Path:
        organisation, channel = self.network.organisations[0], self.network.channel
        environment = peer_environment(self.network.layout, organisation, organisation.admin)
        command = [self.network.binaries.path("peer"), "snapshot", "submitrequest", "-c", channel, "-b", "0"]
        command += ["--peerAddress", organisation.peer_endpoint, "--tlsRootCertFile", str(organisation.tls_ca_path)]
        await asyncio.to_thread(run_program, command, environment=environment)
        wanted = (
            organisation.folder / "peer" / "data" / "snapshots" / "completed" / channel / str(self.judge.height - 1)
        )
        log = organisation.folder / "peer" / "peer.log"
        await asyncio.to_thread(wait_until, wanted.exists, what="snapshot taken", timeout_s=TIMEOUT_S, log=log)
        return wanted


@contextlib.asynccontextmanager
async def open_bench(network: Network) -> AsyncIterator[Bench]:
    """Take the network over: its first peer goes on, under a dishonest orderer. The network is of no other use then."""
    first = network.organisations[0]
    for organisation in network.organisations[1:]:
        network.stop_peer(organisation.name)
    async with connected(first) as gateway:
        peer = gateway.network(network.channel).get_contract("qscc")
        height = await peer_height(peer, network.channel)
        blocks = [
            await peer.evaluate_transaction("GetBlockByNumber", network.channel, str(number))
            for number in range(height)
        ]
        for node in network.orderers:
            network.stop_orderer(node.name)
        judge, _ = start(blocks[0])
        for block in blocks[1:]:
            judge.follow(block)
        async with DishonestOrderer(network, blocks) as orderer:
            yield Bench(network, orderer, peer, judge)


async def peer_height(peer: Contract, channel: str) -> int:
    """How many blocks the peer behind a qscc contract has."""
    info = ledger_pb2.BlockchainInfo.FromString(await peer.evaluate_transaction("GetChainInfo", channel))
    return int(info.height)


async def define_chaincode(bench: Bench) -> None:
    """The definitions that cases and mixtures use. Private data goes to the second organisation alone, so that the
    peer does not look for it."""
    second = "OR('Org2MSP.member')"
    await bench.define(
        ForgedDefinition(MAIN),
        ForgedDefinition(OTHER, policy="OR('Org1MSP.peer', 'Org2MSP.peer')"),
        ForgedDefinition(
            PRIVATE,
            collections=[
                collection("own", second, endorsement="OR('Org2MSP.peer')"),
                collection("plain", second),
                collection("short", second, block_to_live=3),
            ],
        ),
    )


async def play_catalogue(bench: Bench, progress: Progress) -> None:
    """Every case of the catalogue, one block each."""
    progress("the catalogue of single defects")
    for case in single_cases(bench.cast):
        await bench.expect(case)


async def play_mixtures(bench: Bench, seed: int, transactions: int, progress: Progress) -> None:
    """Random blocks until there are so many transactions more; definitions change now and then."""
    chooser = random.Random(seed)  # noqa: S311 - to be repeatable, not secret
    mixture = Mixture(bench.cast, bench.judge, chooser)
    await bench.commit(mixture.wide_block())
    sequence, done = 1, 0
    while done < transactions:
        size = chooser.choice([1, 5, 20, 60])
        try:
            await bench.commit(mixture.block(size))
        except LedgerHalted as halted:
            if halted.reason not in _MAY_REFUSE:
                raise
            bench.comparison.refused += 1
            continue
        done += size
        if chooser.random() < 0.03:
            sequence += 1
            policy = chooser.choice(["OR('Org1MSP.peer', 'Org2MSP.peer')", "AND('Org1MSP.peer', 'Org2MSP.peer')"])
            await bench.define(ForgedDefinition(OTHER, sequence=sequence, policy=policy))
        progress(f"random mixtures: {done} transactions")
