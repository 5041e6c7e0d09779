"""Judging a whole ledger offline, and comparing with what a peer noted in its blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from fabric_protos.common import common_pb2
from google.protobuf.message import DecodeError

from cloister.errors import MalformedInput, Refused
from cloister.fabric.block import parse_block
from cloister.trusted.ledger.errors import LedgerHalted
from cloister.trusted.ledger.judge import BlockVerdict, Judge, start

from .follow import all_cores, follow_all
from .snapshot import Snapshot, StateDifference, compare_state

_FILTER, _COMMIT_HASH = 2, 4
Progress = Callable[[BlockVerdict], None]


@dataclass(frozen=True, slots=True)
class Difference:
    """A verdict of the peer that is not the judge's: the peer's TRANSACTIONS_FILTER or commit hash."""

    block: int
    index: int | None
    judged: str
    peer: str


@dataclass
class Report:
    """What became of a ledger. `halted`: why judging stopped, "" if it came to the end."""

    channel: str
    blocks: list[BlockVerdict] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)
    keys: int = 0
    fingerprint: bytes = b""
    halted: str = ""
    halted_reason: str = ""
    state_differences: list[StateDifference] | None = None
    """Against a peer's snapshot; None if there was none to compare with."""

    @property
    def clean(self) -> bool:
        """Everything judged, no difference."""
        return not self.halted and not self.differences and not self.state_differences


def verify_ledger(
    blocks: Iterator[bytes], *, genesis_hash: bytes | None, progress: Progress, snapshot: Snapshot | None = None
) -> Report:
    """Judge blocks from block 0 on. `genesis_hash` (32 bytes) pins the trust root if it is known from elsewhere.

    A snapshot is compared with the state at its block; blocks after it are judged as well.
    Raises: Refused(reason="genesis" or "snapshot"): block 0 is another one, or the snapshot belongs elsewhere;
        MalformedInput without any block.
    """
    first = next(blocks, None)
    if first is None:
        raise MalformedInput("no blocks", field="block")
    judge, verdict = start(first)
    if genesis_hash is not None and verdict.header_hash != genesis_hash:
        raise Refused(
            f"another channel: expected genesis hash {genesis_hash.hex()}, got {verdict.header_hash.hex()}",
            reason="genesis",
        )
    report = Report(judge.channel, [verdict])
    progress(verdict)
    try:
        with all_cores() as checker:
            for encoded, verdict in follow_all(judge, blocks, checker):
                report.blocks.append(verdict)
                report.differences.extend(_compare(encoded, verdict, judge))
                report.codes.update(code.name for code in verdict.codes)
                progress(verdict)
                if snapshot is not None and verdict.number == snapshot.last_block:
                    report.state_differences = _compare_snapshot(judge, snapshot)
    except LedgerHalted as halted:
        report.halted, report.halted_reason = halted.message, halted.reason
    if snapshot is not None and report.state_differences is None and not report.halted:
        raise Refused(f"the snapshot is of block {snapshot.last_block}, which is not there", reason="snapshot")
    report.keys, report.fingerprint = judge.state.count(), judge.state.fingerprint()
    return report


def _compare_snapshot(judge: Judge, snapshot: Snapshot) -> list[StateDifference]:
    if (snapshot.channel, snapshot.last_block_hash) != (judge.channel, judge.last_hash):
        raise Refused("the snapshot is of another channel or chain", reason="snapshot")
    return compare_state(judge.state, snapshot)


def _compare(encoded: bytes, verdict: BlockVerdict, judge: Judge) -> list[Difference]:
    """A block out of a peer's ledger carries its verdicts; one from an orderer does not."""
    metadata = parse_block(encoded).metadata
    flags = metadata[_FILTER] if len(metadata) > _FILTER else b""
    if not flags:
        return []
    found = [
        Difference(verdict.number, index, code.name, str(flags[index]) if index < len(flags) else "absent")
        for index, code in enumerate(verdict.codes)
        if index >= len(flags) or flags[index] != code
    ]
    if len(flags) > len(verdict.codes):
        found.append(Difference(verdict.number, None, f"{len(verdict.codes)} verdicts", f"{len(flags)} verdicts"))
    commit_hash = _peer_commit_hash(metadata)
    if commit_hash is not None:
        if verdict.commit_hash is not None and commit_hash != verdict.commit_hash:
            found.append(
                Difference(verdict.number, None, f"commit hash {verdict.commit_hash.hex()}", commit_hash.hex())
            )
        judge.last_commit_hash = commit_hash  # each block's is compared by itself
    return found


def _peer_commit_hash(metadata: tuple[bytes, ...]) -> bytes | None:
    if len(metadata) <= _COMMIT_HASH or not metadata[_COMMIT_HASH]:
        return None
    try:
        value: bytes = common_pb2.Metadata.FromString(metadata[_COMMIT_HASH]).value
    except DecodeError:
        return b""
    return value
