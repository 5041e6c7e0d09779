"""What the ledger enclave answers to a chaincode enclave, out of judge, coverage and history. Pure; changes nothing.

It answers at once, about the blocks that it has accepted; waiting for more is never its business (protocol.md 5.2).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cloister.errors import Refused
from cloister.trusted.protocol.questions import (
    ABSENT,
    HEADS,
    MINIMUM_BEHIND,
    MINIMUM_FORK,
    MINIMUM_HOLDS,
    UNCOVERED,
    AdministratorsAnswer,
    Answer,
    AskAdministrators,
    AskBlock,
    AskCaller,
    AskKey,
    AskKeySet,
    AskMarks,
    AskParameter,
    AskRange,
    AskRevoked,
    AskTransaction,
    BlockAnswer,
    CallerAnswer,
    Head,
    KeySetAnswer,
    MarksAnswer,
    Question,
    RevokedAnswer,
    SegmentsAnswer,
    TransactionAnswer,
)
from cloister.trusted.protocol.reads import rows_digest

from .channel_time import ChannelTime
from .confidential import NO_DEFINITION
from .coverage import Coverage, presence
from .errors import IdentityInvalid
from .history import WINDOW, Fact
from .judge import Judge, JudgedBlock
from .msp import Roles, role_principal
from .statements import entries_digest

WRITERS = "/Channel/Application/Writers"
MAX_PAST_STATES = 16
"""How many earlier states of a range are told; who needs more is far behind and should ask again later."""
MAX_PAST_ROWS = 200_000
"""Rows that are hashed for all earlier states of one range: nobody else is answered meanwhile."""
_HASH_BYTES = 32
Rows = Sequence[tuple[bytes, bytes]]
"""(stored key as UTF-8, value hash of 32 bytes), in order."""


@dataclass
class BlockHashes:
    """Header hashes of all blocks, one after the other: 32 bytes each."""

    hashes: bytearray = field(default_factory=bytearray)

    def add(self, block_hash: bytes) -> None:
        """The next block's header hash, 32 bytes."""
        self.hashes += block_hash

    def get(self, number: int) -> bytes:
        """A block's header hash; b"" if the number is not below the height."""
        return bytes(self.hashes[number * _HASH_BYTES : (number + 1) * _HASH_BYTES])


@dataclass
class RecentEnvelopes:
    """Hashes of covered transactions' envelopes, of the newest blocks: what is opened soon needs no whole block."""

    blocks: OrderedDict[int, dict[int, bytes]] = field(default_factory=OrderedDict)

    def add(self, judged: JudgedBlock) -> None:
        """The next block."""
        envelopes = judged.prepared.block.transactions
        self.blocks[judged.verdict.number] = {
            index: hashlib.sha256(envelopes[index]).digest() for index in judged.covered
        }
        if len(self.blocks) > WINDOW:
            self.blocks.popitem(last=False)

    def get(self, number: int, index: int) -> bytes:
        """32 bytes; b"" if it is not remembered."""
        return self.blocks.get(number, {}).get(index, b"")


@dataclass
class Answers:
    """Everything that is known, and the answers to questions about it. `coverage` and `time` observe the judge."""

    judge: Judge
    coverage: Coverage
    time: ChannelTime
    hashes: BlockHashes
    envelopes: RecentEnvelopes = field(default_factory=RecentEnvelopes)
    """Not part of a checkpoint: after a restart it fills again."""
    _heads: dict[tuple[str, bytes], bytes] = field(default_factory=dict)
    """(Confidential chaincode, hash of the last block) → its encoded head, until the next block."""

    def commit(self, judged: JudgedBlock) -> None:
        """Accept the block that the judge judged last."""
        self._heads.clear()
        self.judge.commit(judged)
        self.hashes.add(judged.verdict.header_hash)
        self.envelopes.add(judged)

    def answer(self, chaincode: str, question: Question) -> Answer:
        """The answer to one chaincode's enclave. Raises: Refused(reason="chaincode") if it is not confidential."""
        if chaincode not in self.coverage.watched:
            raise Refused("refused: no confidential chaincode of that name is committed", reason="chaincode")
        head = self._encoded_head(chaincode)
        match question:
            case AskCaller():
                return self._caller(head, question)
            case AskKey() | AskParameter():
                metadata = isinstance(question, AskParameter)
                return self._fact(head, Fact(chaincode, question.key.encode(), metadata))
            case AskMarks():
                return self._marks(head, chaincode, question.key.encode())
            case AskRange():
                return self._range(head, chaincode, question)
            case AskTransaction():
                return self._transaction(head, question.transaction_id)
            case AskBlock():
                return BlockAnswer(head, self.hashes.get(question.number))
            case AskKeySet():
                return self._key_set(head, chaincode, question.sequence)
            case AskAdministrators() | AskRevoked():
                return self._about_others(head, chaincode, question)

    def head(self, chaincode: str) -> Head:
        """Where we stand, for one chaincode's enclave."""
        judge = self.judge
        definition = self.coverage.current.get(chaincode, NO_DEFINITION)
        return Head(
            height=judge.height,
            block_hash=judge.last_hash,
            config_block=judge.config_block,
            sequence=definition.sequence,
            measurement=definition.version,
            time_s=self.time.now_s(set(judge.config.organizations)),
        )

    def _encoded_head(self, chaincode: str) -> bytes:
        place = (chaincode, self.judge.last_hash)
        known = self._heads.get(place)
        if known is None:
            known = self._heads[place] = HEADS.encode(self.head(chaincode))
        return known

    def _caller(self, head: bytes, question: AskCaller) -> CallerAnswer:
        height = question.height
        minimum = MINIMUM_HOLDS
        if height > self.judge.height:
            minimum = MINIMUM_BEHIND
        elif height and self.hashes.get(height - 1) != question.block_hash:
            minimum = MINIMUM_FORK
        return CallerAnswer(head, int(self._may_write(question.creator)), minimum)

    def _may_write(self, creator: bytes) -> bool:
        """Valid under the current configuration, and a writer. The enclave has checked the signature."""
        config = self.judge.config
        try:
            identity = config.msps.deserialize(creator)
            config.msps.validate(identity)
        except IdentityInvalid:
            return False
        return config.policy(WRITERS).evaluate([identity])

    def _fact(self, head: bytes, fact: Fact) -> SegmentsAnswer:
        mark = self.coverage.mark(fact)
        entry = self.judge.state.get((fact.namespace, ""), fact.key)
        current = UNCOVERED if mark is not None else presence(entry, metadata=fact.metadata)
        segments = self.coverage.history.segments(fact, current)
        return SegmentsAnswer(head, self._cut(fact.namespace, segments), mark.transaction_id if mark else "")

    def _marks(self, head: bytes, chaincode: str, key: bytes) -> MarksAnswer:
        value = self.coverage.mark(Fact(chaincode, key, metadata=False))
        parameter = self.coverage.mark(Fact(chaincode, key, metadata=True))
        return MarksAnswer(
            head,
            int(value is not None),
            value.covered if value is not None else b"",
            int(parameter is not None),
            parameter.covered if parameter is not None else b"",
        )

    def _range(self, head: bytes, chaincode: str, question: AskRange) -> SegmentsAnswer:
        start, end = question.start.encode(), question.end.encode()
        mark = self.coverage.first_mark(chaincode, start, end)
        state, space = self.judge.state, (chaincode, "")
        digest = state.summary(space, start, end, entries_digest, inclusive=False)
        changed = self.coverage.history.changed_keys(chaincode, start, end)
        heights = self.coverage.history.heights(chaincode, changed)
        if mark is not None and self._marked_throughout(chaincode, start, end, changed):
            heights = heights[-1:]
        segments = [(heights[0], UNCOVERED if mark is not None else digest)]
        if question.past:
            rows = [(key, item.value_hash) for key, item in state.range(space, start, end, inclusive=False)]
            states = min(MAX_PAST_STATES, 1 + MAX_PAST_ROWS // (len(rows) + len(changed) + 1))
            segments += zip(heights[1 : states + 1], self._past_rows(chaincode, rows, changed), strict=False)
        return SegmentsAnswer(head, self._cut(chaincode, tuple(segments)), mark.transaction_id if mark else "")

    def _marked_throughout(self, chaincode: str, start: bytes, end: bytes, changed: list[bytes]) -> bool:
        """Whether a key of the range was marked before memory begins and has not been written since."""
        known = set(changed)
        return any(key not in known for key in self.coverage.marked_keys(chaincode, start, end))

    def _past_rows(self, chaincode: str, rows: Rows, changed: Sequence[bytes]) -> Iterator[bytes]:
        """The digest of what the rows were before each change, the newest first; UNCOVERED where one of them was."""
        known = dict(rows)
        uncovered = {key for key in changed if self.coverage.mark(Fact(chaincode, key, metadata=False)) is not None}
        for undone in self.coverage.history.undone(chaincode, changed):
            for key, previous in undone:
                known.pop(key, None)
                uncovered.discard(key)
                if previous == UNCOVERED:
                    uncovered.add(key)
                elif previous != ABSENT:
                    known[key] = previous
            yield UNCOVERED if uncovered else rows_digest(sorted(known.items()))

    def _cut(self, namespace: str, segments: tuple[tuple[int, bytes], ...]) -> tuple[tuple[int, bytes], ...]:
        """Nothing about heights before the namespace was watched."""
        least = max(self.coverage.watched_from.get(namespace, 0), self.coverage.history.floor)
        found = []
        for height, value in segments:
            found.append((max(height, least), value))
            if height <= least:
                break
        return tuple(found)

    def _transaction(self, head: bytes, transaction_id: str) -> TransactionAnswer:
        position = self.judge.transaction_ids.find(transaction_id)
        if position is None:
            return TransactionAnswer(head, 0, 0, 0, 0, 0, b"", b"")
        block, index, code, covered = position
        envelope_hash = self.envelopes.get(block, index)
        return TransactionAnswer(head, 1, block, index, code, int(covered), self.hashes.get(block), envelope_hash)

    def _key_set(self, head: bytes, chaincode: str, sequence: int) -> KeySetAnswer:
        descriptor = self.coverage.key_sets.find(chaincode, sequence)
        definition = self.coverage.watched[chaincode].get(sequence, NO_DEFINITION)
        if descriptor is None:
            return KeySetAnswer(head, b"", definition.measurement, b"", 0)
        used = int(sequence in self.coverage.key_sets.used.get(chaincode, ()))
        return KeySetAnswer(head, descriptor.key_set_id, definition.measurement, descriptor.result_key, used)

    def _about_others(self, head: bytes, chaincode: str, question: AskAdministrators | AskRevoked) -> Answer:
        if isinstance(question, AskAdministrators):
            return self._administrators(head, question.identities)
        return RevokedAnswer(
            head,
            int((chaincode, question.signing_key) in self.coverage.revoked),
            int((chaincode, question.evidence_id) in self.coverage.registered),
        )

    def _administrators(self, head: bytes, identities: tuple[bytes, ...]) -> AdministratorsAnswer:
        config = self.judge.config
        signed = set()
        for serialized in identities:
            try:
                identity = config.msps.deserialize(serialized)
            except IdentityInvalid:
                continue
            if config.msps.satisfies(identity, role_principal(identity.msp_id, Roles.ADMIN)):
                signed.add(identity.msp_id)
        members = set(config.organizations)
        return AdministratorsAnswer(head, tuple(sorted(signed & members)), tuple(sorted(members)))
