"""What is fuzzed, and what must hold for any input. A target raises `Broken`, or an error that is not ours, if it does
not hold; how long one input may take is the fuzzer's to watch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from fabric_protos.ledger.rwset import rwset_pb2

from cloister.errors import CloisterError, MalformedInput
from cloister.fabric.block import parse_block
from cloister.trusted.ledger.codes import Code
from cloister.trusted.ledger.errors import LedgerHalted
from cloister.trusted.ledger.identities import SignatureChecker
from cloister.trusted.ledger.judge import Judge
from cloister.wire.framing import encode_frame

from .fields import nested
from .parsers import all_parsers, tags
from .stage import Stage, copy_judge, judges, open_stage, payload_of, recorded_chains

CHECKER = SignatureChecker()


class Broken(Exception):
    """A property does not hold."""


@dataclass(frozen=True)
class Target:
    """`seeds`: inputs to start from."""

    run: Callable[[bytes], None]
    seeds: Iterable[bytes]


def parsers(folder: Path) -> Target:
    """Every input goes to every parser: only errors of this project come out."""
    known = all_parsers()

    def run(encoded: bytes) -> None:
        for name, parse in known.items():
            try:
                parse(encoded)
            except CloisterError:
                pass
            except Exception as error:
                raise Broken(f"{name} lets {type(error).__name__} out") from error

    stage = open_stage(folder)
    blocks = (*stage.chain, *(block for chain in recorded_chains() for block in chain))
    messages = {part for item in (*blocks, *stage.envelopes) for part in nested(item)}
    frames = {
        encode_frame(tag, [filler] * count)
        for tag in tags()
        for count in range(13)
        for filler in (b"", b"text", bytes(8))
    }
    return Target(run, messages | frames)


def blocks(folder: Path) -> Target:
    """A block with anything changed in it is refused, unless nothing was that counts; then it says the same."""
    chains = [open_stage(folder).chain, *recorded_chains()]
    followed = [judges(chain) for chain in chains]

    def run(encoded: bytes) -> None:
        claimed = 1
        with contextlib.suppress(MalformedInput):
            claimed = parse_block(encoded).number
        for chain, before in zip(chains, followed, strict=True):
            number = claimed if 1 <= claimed < len(chain) else 1
            judge = before[number - 1]
            fresh = copy_judge(judge)
            try:
                fresh.follow(encoded, CHECKER)
            except LedgerHalted:
                if (fresh.height, fresh.last_hash, fresh.state.count()) != (
                    number,
                    judge.last_hash,
                    judge.state.count(),
                ):
                    raise Broken("a refused block changed the judge") from None
            else:
                _require_same(encoded, chain[number])

    return Target(run, [block for chain in chains for block in chain[1:]])


def transactions(folder: Path) -> Target:
    """In a sound block, an envelope is valid only if a member signed exactly its payload."""
    stage = open_stage(folder)
    judge = judges(stage.chain)[-1]
    signed = {payload_of(envelope) for envelope in stage.envelopes if _decodes(envelope)}

    def run(encoded: bytes) -> None:
        codes = _judge(stage, judge, encoded)
        if codes and codes[0] is Code.VALID and payload_of(encoded) not in signed:
            raise Broken("a payload that nobody signed is valid")

    return Target(run, stage.envelopes)


def results(folder: Path) -> Target:
    """Whatever read/write set the members sign has a verdict, or halts the judge."""
    stage = open_stage(folder)
    judge = judges(stage.chain)[-1]
    draft = stage.cast.put("k")

    def run(encoded: bytes) -> None:
        _judge(stage, judge, draft.but(results=encoded).build())

    return Target(run, {part for item in stage.envelopes for part in nested(item) if _is_rwset(part)})


TARGETS = {target.__name__: target for target in (parsers, blocks, transactions, results)}


def _judge(stage: Stage, judge: Judge, envelope: bytes) -> tuple[Code, ...]:
    """The verdicts on the envelope and an honest one after it, () if the judge halts."""
    block = stage.next_block(judge, [envelope, stage.envelopes[0]])
    try:
        return copy_judge(judge).follow(block, CHECKER).codes
    except LedgerHalted:
        return ()


def _require_same(encoded: bytes, original: bytes) -> None:
    bent, sound = parse_block(encoded), parse_block(original)
    if (bent.header_hash, bent.transactions) != (sound.header_hash, sound.transactions):
        raise Broken(f"a bent block {sound.number} is accepted")


def _decodes(envelope: bytes) -> bool:
    with contextlib.suppress(Exception):
        payload_of(envelope)
        return True
    return False


def _is_rwset(encoded: bytes) -> bool:
    with contextlib.suppress(Exception):
        found = rwset_pb2.TxReadWriteSet.FromString(encoded)
        return bool(found.ns_rwset) and all(item.namespace.isidentifier() for item in found.ns_rwset)
    return False
