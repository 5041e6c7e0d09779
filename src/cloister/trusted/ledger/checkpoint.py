"""Everything a ledger enclave knows, as records, so that a restart need not judge the whole channel again.

Sealed by `sealing.py` for the host to keep: a cache. An older one costs time, never safety, since what follows is
judged again; the history of recent values is not kept, so answers reach back to the restart only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fabric_protos.common import configtx_pb2

from cloister.errors import MalformedInput
from cloister.fabric.decoding import decode_message
from cloister.fabric.transaction import Version
from cloister.wire.framing import decode_frame, decode_text, decode_u64, encode_frame, require_length, u64

from .answers import Answers, BlockHashes
from .channel_config import load_config
from .channel_time import ChannelTime
from .confidential import ConfidentialDefinition, KeySets
from .coverage import Coverage, Mark
from .history import WINDOW, Fact, History
from .judge import KEPT_NAMESPACES, Judge
from .state import Entry, State
from .transaction_ids import TransactionIds

_HEAD, _ENTRY, _EXPIRY = b"head", b"entry", b"expiry"
_KEY_SET, _DEFINITION, _CURRENT, _MARK, _TIME = b"key-set", b"definition", b"current", b"mark", b"time"
_HASHES, _IDS, _REVOKED, _USED, _REGISTERED = b"hashes", b"ids", b"revoked", b"used", b"registered"
_PIECE = 1 << 20
_MAX_METADATA = 1 << 24
"""Names and values of one key's metadata: Fabric sets no bound, so what was judged must be loaded again."""
_RECORD = 32
"""Length of one transaction id's record: pieces are cut between them."""


def new_answers(judge: Judge, coverage: Coverage, time: ChannelTime, hashes: BlockHashes) -> Answers:
    """Put the parts together: the judge is observed by the others."""
    judge.observers = (coverage, time)
    return Answers(judge, coverage, time, hashes)


@dataclass(frozen=True, slots=True)
class CheckpointScope:
    """Whom a checkpoint serves. Hashes are 32 bytes. The policy too: a laxer one lets in what this one forbids."""

    genesis_hash: bytes
    registry: str
    policy_id: bytes

    def fields(self) -> tuple[bytes, ...]:
        """As the head has them."""
        return (self.genesis_hash, self.registry.encode(), self.policy_id)


def dump(answers: Answers, scope: CheckpointScope) -> Iterator[bytes]:
    """Records, the head first."""
    judge = answers.judge
    config = configtx_pb2.Config(sequence=judge.config.sequence, channel_group=judge.config.group)
    yield encode_frame(
        _HEAD,
        (
            *scope.fields(),
            judge.channel.encode(),
            u64(judge.height),
            judge.last_hash,
            u64(judge.config_block),
            config.SerializeToString(deterministic=True),
            judge.transaction_ids.salt,
        ),
    )
    yield from _dump_state(judge)
    yield from _dump_coverage(answers.coverage)
    for msp_id, seconds in answers.time.latest.items():
        yield encode_frame(_TIME, (msp_id.encode(), u64(seconds)))
    yield from _pieces(_HASHES, bytes(answers.hashes.hashes))
    yield from _pieces(_IDS, judge.transaction_ids.records())


def load(records: Iterable[bytes], scope: CheckpointScope) -> Answers:
    """Inverse of `dump`, for the same scope only. Raises: MalformedInput."""
    iterator = iter(records)
    answers = _load_head(next(iterator, b""), scope)
    for record in iterator:
        _load_record(answers, record)
    if len(answers.hashes.hashes) != _RECORD * answers.judge.height:
        raise MalformedInput("checkpoint: another number of block hashes", field="checkpoint")
    return answers


def _dump_state(judge: Judge) -> Iterator[bytes]:
    for space in judge.state.spaces():
        place = (space[0].encode(), space[1].encode())
        for key, entry in judge.state.range(space, b"", b"", inclusive=True):
            metadata = [part for name, value in entry.metadata for part in (name.encode(), value)]
            value = (entry.value,) if entry.value is not None else ()
            version = u64(entry.version.block) + u64(entry.version.transaction)
            fields = (*place, key, entry.value_hash, version, encode_frame(b"", metadata), encode_frame(b"", value))
            yield encode_frame(_ENTRY, fields)
    for block, items in judge.expiry.items():
        for (namespace, collection), key, (written, index) in items:
            place = (namespace.encode(), collection.encode())
            yield encode_frame(_EXPIRY, (u64(block), *place, key, u64(written), u64(index)))


def _dump_coverage(coverage: Coverage) -> Iterator[bytes]:
    for key, value in coverage.key_sets.first.items():
        yield encode_frame(_KEY_SET, (key.encode(), value, u64(coverage.key_sets.counts(key))))
    for name, sequences in coverage.key_sets.used.items():
        for sequence in sequences:
            yield encode_frame(_USED, (name.encode(), u64(sequence)))
    for name, definitions in coverage.watched.items():
        for definition in definitions.values():
            yield encode_frame(_DEFINITION, (name.encode(), u64(definition.sequence), definition.version.encode()))
    for name, definition in coverage.current.items():
        yield encode_frame(_CURRENT, (name.encode(), u64(definition.sequence), definition.version.encode()))
    for tag, enclaves in ((_REVOKED, coverage.revoked), (_REGISTERED, coverage.registered)):
        for name, enclave in sorted(enclaves):
            yield encode_frame(tag, (name.encode(), enclave))
    for fact, mark in coverage.suspects():
        where = (fact.namespace.encode(), fact.key, u64(fact.metadata))
        what = (u64(mark.block), mark.transaction_id.encode(), mark.covered, u64(mark.covered_block))
        yield encode_frame(_MARK, (*where, *what))


def _load_head(record: bytes, scope: CheckpointScope) -> Answers:
    fields = decode_frame(_HEAD, record, count=9)
    if fields[:3] != scope.fields():
        raise MalformedInput("checkpoint: of another channel, registry or policy", field="checkpoint")
    channel = decode_text(fields[3], "channel")
    config = decode_message(configtx_pb2.Config(), fields[7], "configuration")
    height = decode_u64(fields[4], "height")
    judge = Judge(
        channel=channel,
        config=load_config(config),
        config_block=decode_u64(fields[6], "config block"),
        height=height,
        last_hash=require_length(fields[5], (32,), "block hash"),
        state=State(KEPT_NAMESPACES),
        transaction_ids=TransactionIds(fields[8]),
        commit_hashes=False,
    )
    history = History(WINDOW)
    history.floor = height
    coverage = Coverage(KeySets(scope.genesis_hash, channel), scope.registry, history)
    return new_answers(judge, coverage, ChannelTime(), BlockHashes())


def _load_record(answers: Answers, record: bytes) -> None:
    length = int.from_bytes(record[:4], "big")
    tag = record[4 : 4 + length]
    judge, coverage = answers.judge, answers.coverage
    if tag == _ENTRY:
        _load_entry(judge.state, record)
    elif tag == _EXPIRY:
        block, namespace, collection, key, first, second = decode_frame(tag, record, count=6)
        version = Version(decode_u64(first, "version"), decode_u64(second, "version"))
        space = (decode_text(namespace, "namespace"), decode_text(collection, "collection"))
        judge.expiry.setdefault(decode_u64(block, "block"), []).append((space, key, version))
    elif tag == _HASHES:
        answers.hashes.add(decode_frame(tag, record, count=1)[0])
    elif tag == _IDS:
        (ids,) = decode_frame(tag, record, count=1)
        if len(ids) % _RECORD:
            raise MalformedInput("checkpoint: not a whole number of transaction ids", field="checkpoint")
        judge.transaction_ids.load(ids)
    elif tag == _TIME:
        msp_id, seconds = decode_frame(tag, record, count=2)
        answers.time.latest[decode_text(msp_id, "MSP ID")] = decode_u64(seconds, "seconds")
    else:
        _load_coverage(coverage, tag, record)


def _load_coverage(coverage: Coverage, tag: bytes, record: bytes) -> None:
    if tag == _KEY_SET:
        key, value, counts = decode_frame(tag, record, count=3)
        coverage.key_sets.load(decode_text(key, "key"), value, counts=bool(decode_u64(counts, "counts")))
    elif tag == _USED:
        name, number = decode_frame(tag, record, count=2)
        used = coverage.key_sets.used.setdefault(decode_text(name, "chaincode"), [])
        used.append(decode_u64(number, "sequence"))
    elif tag in (_REVOKED, _REGISTERED):
        name, enclave = decode_frame(tag, record, count=2)
        enclaves = coverage.revoked if tag == _REVOKED else coverage.registered
        enclaves.add((decode_text(name, "chaincode"), require_length(enclave, (32,), "enclave")))
    elif tag in (_DEFINITION, _CURRENT):
        name, sequence, version = decode_frame(tag, record, count=3)
        definition = ConfidentialDefinition(decode_u64(sequence, "sequence"), decode_text(version, "version"))
        chaincode = decode_text(name, "chaincode")
        if tag == _CURRENT:
            coverage.current[chaincode] = definition
        else:
            coverage.watched.setdefault(chaincode, {})[definition.sequence] = definition
            coverage.watched_from[chaincode] = coverage.history.floor
    elif tag == _MARK:
        namespace, key, metadata, block, transaction_id, covered, covered_block = decode_frame(tag, record, count=7)
        fact = Fact(decode_text(namespace, "namespace"), key, bool(decode_u64(metadata, "metadata")))
        mark = Mark(
            decode_u64(block, "block"),
            decode_text(transaction_id, "transaction id"),
            require_length(covered, (0, 32), "covered"),
            decode_u64(covered_block, "block"),
        )
        coverage.load_mark(fact, mark)
    else:
        raise MalformedInput("checkpoint: unknown record", field="checkpoint")


def _load_entry(state: State, record: bytes) -> None:
    namespace, collection, key, value_hash, version, metadata, value = decode_frame(_ENTRY, record, count=7)
    require_length(version, (16,), "version")
    flat = decode_frame(b"", metadata, maximum=_MAX_METADATA)
    if len(flat) % 2:
        raise MalformedInput("checkpoint: pairs expected", field="checkpoint")
    names = [decode_text(name, "metadata") for name in flat[::2]]
    kept = decode_frame(b"", value, maximum=1)
    entry = Entry(
        value_hash,
        Version(int.from_bytes(version[:8], "big"), int.from_bytes(version[8:], "big")),
        tuple(zip(names, flat[1::2], strict=True)),
        kept[0] if kept else None,
    )
    state.put((decode_text(namespace, "namespace"), decode_text(collection, "collection")), key, entry)


def _pieces(tag: bytes, content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), _PIECE):
        yield encode_frame(tag, (content[start : start + _PIECE],))
