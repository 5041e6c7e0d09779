"""Reads of one execution: asked of peer and ledger enclave at once, compared, and true together at one height.

Trust level: trusted. Whatever the peer says must have been true at some height that the ledger enclave knows, and all
reads so far at one height from the caller's minimum on, before anything else happens that the host can see: else it
could steer the contract with stale or mixed values and watch what it reads next (protocol.md 5.1).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from cloister.errors import Refused
from cloister.trusted.protocol.questions import (
    ABSENT,
    UNCOVERED,
    AskBlock,
    AskKey,
    AskMarks,
    AskParameter,
    AskRange,
    AskTransaction,
    BlockAnswer,
    Head,
    MarksAnswer,
    Question,
    SegmentsAnswer,
    TransactionAnswer,
)
from cloister.trusted.protocol.reads import PointRead, RangeRead, ReadList, RestoredRead, rows_digest, value_hash
from cloister.trusted.protocol.sealing import read_header
from cloister.trusted.protocol.statement import Checkpoint
from cloister.wire.messages import GetParameter, GetRange, GetState, RowsAnswer, ValueAnswer

from .ask import ExecutionAborted, ask
from .heights import Interval, intersect, intervals_of
from .ledger_session import LedgerSession

_VALID = 0
_FOREVER = 2**63
_MAX_REFRESHED = 64
"""Reads that are asked about anew when the chain went on in between; an execution with more starts again."""
Rows = tuple[tuple[str, bytes], ...]
_Classifier = Callable[[], Coroutine[Any, Any, str]]


class Reads(Protocol):
    """What an execution's state needs: values as the peer has them, believed."""

    async def admit(self) -> None:
        """Is the caller a member who may write, and the caller's checkpoint on the chain?"""
        ...

    async def value(self, key: str) -> bytes | None:
        """One stored key's value."""
        ...

    async def parameter(self, key: str) -> bytes | None:
        """One stored key's endorsement parameter."""
        ...

    async def rows(self, start: str, end: str, limit: int, bookmark: str) -> RowsAnswer:
        """The rows of [start, end): all (limit 0), or a page."""
        ...

    async def marks(self, key: str) -> MarksAnswer:
        """What is marked of one stored key, and what was last covered of it."""
        ...

    def restored(self, read: RestoredRead) -> None:
        """This is put back: the transaction counts only where it is still marked, and this was last covered."""
        ...

    async def settle(self) -> None:
        """The last question before anything is released."""
        ...

    async def checkpoint(self) -> Checkpoint:
        """Where everything read was true, for a query's statement."""
        ...

    def read_list(self) -> ReadList:
        """What was read, without pages."""
        ...

    def digest_parts(self) -> tuple[list[PointRead | RestoredRead], list[RangeRead]]:
        """What was read, for the reads digest."""
        ...


@dataclass(frozen=True, slots=True)
class _Noted:
    """One read: what to ask the ledger enclave about it, and what its answer must contain."""

    question: Question
    wanted: bytes

    @property
    def is_sealed_value(self) -> bool:
        """One value of a key: its ciphertext names the one transaction that wrote it."""
        return isinstance(self.question, AskKey) and self.wanted != ABSENT


class CheckedReads:
    """Reads against a ledger enclave. `minimum`: the caller's last checkpoint."""

    def __init__(self, session: LedgerSession, creator: bytes, minimum: Checkpoint) -> None:
        self._session = session
        self._creator = creator
        self._minimum = minimum
        self._heads: dict[int, bytes] = {}
        self._config_block = -1
        self._allowed: tuple[Interval, ...] = ((max(1, minimum.height), _FOREVER),)
        self._possible: tuple[Interval, ...] = self._allowed
        self._noted: list[_Noted] = []
        self._points: dict[tuple[str, bool], tuple[PointRead, bytes | None]] = {}
        self._ranges: list[RangeRead] = []
        self._restored: list[RestoredRead] = []

    async def admit(self) -> None:
        head = await self._session.admit(self._creator, self._minimum)
        if head is not None:
            self._note_head(head)

    async def value(self, key: str) -> bytes | None:
        return await self._point(key, metadata=False)

    async def parameter(self, key: str) -> bytes | None:
        return await self._point(key, metadata=True)

    async def rows(self, start: str, end: str, limit: int, bookmark: str) -> RowsAnswer:
        first = bookmark or start
        if limit:
            return await self._page(first, end, limit, bookmark)
        question = AskRange(first, end, 0)
        number, sealed = self._session.seal(question)
        answer = await ask(GetRange(start, end, 0, "", sealed), RowsAnswer)
        head, segments = self._session.open(number, answer.ledger, SegmentsAnswer)
        digest = _digest(answer.rows)
        past = AskRange(first, end, 1)
        if not intervals_of(segments.segments, digest, head.height):
            head, segments = await self._session.ask(past, SegmentsAnswer)
        await self._hold(_Noted(past, digest), head, segments, lambda: self._classify_rows(answer.rows))
        read = RangeRead(first, end, digest)
        if read not in self._ranges:
            self._ranges.append(read)
        return answer

    async def marks(self, key: str) -> MarksAnswer:
        """The peer reads the key too, and what it says is of no interest: its version enters the read set, so that an
        honest write in between makes the repair invalid instead of being overwritten by it."""
        number, sealed = self._session.seal(AskMarks(key))
        answer = await ask(GetState(key, sealed), ValueAnswer)
        head, found = self._session.open(number, answer.ledger, MarksAnswer)
        self._note_head(head)
        return found

    def restored(self, read: RestoredRead) -> None:
        self._restored.append(read)

    async def settle(self) -> None:
        """A caller admitted under an older configuration, or nothing asked at all: ask (again)."""
        if not self._heads or self._session.admitted_under(self._creator) != self._config_block:
            self._note_head(await self._session.admit_anew(self._creator, self._minimum))

    async def checkpoint(self) -> Checkpoint:
        newest = max(self._heads)
        height = min(self._possible[0][1], newest)
        known = self._heads.get(height)
        if known is None:
            _, answer = await self._session.ask(AskBlock(height - 1), BlockAnswer)
            known = answer.block_hash
        return Checkpoint(height, known)

    def read_list(self) -> ReadList:
        keys = sorted(key for key, metadata in self._points if not metadata)
        parameters = sorted(key for key, metadata in self._points if metadata)
        ranges = tuple((read.start, read.end) for read in self._ranges if not read.limit)
        restored = sorted(read.key for read in self._restored if not read.metadata)
        restored_parameters = sorted(read.key for read in self._restored if read.metadata)
        return ReadList(tuple(keys), tuple(parameters), ranges, tuple(restored), tuple(restored_parameters))

    def digest_parts(self) -> tuple[list[PointRead | RestoredRead], list[RangeRead]]:
        return [*(read for read, _ in self._points.values()), *self._restored], self._ranges

    # --- within -----------------------------------------------------------------------------------------------------

    async def _point(self, key: str, *, metadata: bool) -> bytes | None:
        known = self._points.get((key, metadata))
        if known is not None:
            return known[1]
        question = AskParameter(key) if metadata else AskKey(key)
        value, hashed, head, segments = await self._ask_both(question, key)
        wanted = hashed if hashed is not None else ABSENT
        await self._hold(
            _Noted(question, wanted),
            head,
            segments,
            lambda: self._classify_point(value, head.height, _floor(segments), metadata=metadata),
        )
        self._points[(key, metadata)] = PointRead(key, hashed, metadata), value
        return value

    async def _ask_both(
        self, question: AskKey | AskParameter, key: str
    ) -> tuple[bytes | None, bytes | None, Head, SegmentsAnswer]:
        """The peer's value and its hash, and what the ledger enclave says of the key.

        What it said at the height that this execution has come to, it would say again: then the peer alone is asked,
        unless its value is not in that answer.
        """
        told = self._session.told(question, max(self._heads)) if self._heads else None
        number, sealed = self._session.seal(question) if told is None else (-1, b"")
        to_peer = GetParameter(key, sealed) if isinstance(question, AskParameter) else GetState(key, sealed)
        answer = await ask(to_peer, ValueAnswer)
        value = answer.value or None
        hashed = value_hash(value)
        if told is not None:
            head, segments = told
            if intervals_of(segments.segments, hashed or ABSENT, head.height):
                return value, hashed, head, segments
            head, segments = await self._session.ask(question, SegmentsAnswer)
        else:
            head, segments = self._session.open(number, answer.ledger, SegmentsAnswer)
        self._session.remember_told(question, head, segments)
        return value, hashed, head, segments

    async def _page(self, first: str, end: str, limit: int, bookmark: str) -> RowsAnswer:
        """A page is the whole of the range up to where it ends: its bookmark, or the end."""
        answer = await ask(GetRange(first, end, limit, bookmark, b""), RowsAnswer)
        following = answer.bookmark if len(answer.rows) >= limit else ""  # one behind the end would repeat rows
        question = AskRange(first, following or end, 1)
        head, segments = await self._session.ask(question, SegmentsAnswer)
        digest = _digest(answer.rows)
        await self._hold(_Noted(question, digest), head, segments, lambda: self._classify_rows(answer.rows))
        self._ranges.append(RangeRead(first, end, digest, limit))
        return RowsAnswer(answer.rows, following, b"")

    async def _hold(self, noted: _Noted, head: Head, answer: SegmentsAnswer, classify: _Classifier) -> None:
        """The read was true at some height, and together with all before it. Aborts otherwise."""
        self._note_head(head)
        if answer.segments and answer.segments[0][1] == UNCOVERED:
            raise ExecutionAborted("uncovered", answer.writer)
        found = intervals_of(answer.segments, noted.wanted, head.height)
        if not found:
            raise ExecutionAborted(await classify())
        possible = intersect(self._possible, found)
        if not possible and not intersect(self._allowed, found):
            raise ExecutionAborted("stale")
        self._noted.append(noted)
        self._possible = possible
        if not possible:
            await self._refresh()

    async def _refresh(self) -> None:
        """The chain may have gone on between two answers: ask about all reads again, now.

        What contradicts itself now may still be true at a height to come, for absence and ranges repeat themselves; but
        a sealed value that is current no more never comes back.
        """
        if len(self._noted) > _MAX_REFRESHED:
            raise ExecutionAborted("ledger-behind")
        self._possible, is_over = self._allowed, False
        for noted in self._noted:
            head, answer = await self._session.ask(noted.question, SegmentsAnswer)
            self._note_head(head)
            found = intervals_of(answer.segments, noted.wanted, head.height)
            self._possible = intersect(self._possible, found)
            is_over = is_over or (noted.is_sealed_value and answer.segments[0][1] != noted.wanted)
        if not self._possible:
            raise ExecutionAborted("integrity" if is_over else "ledger-behind")

    def _note_head(self, head: Head) -> None:
        self._heads[head.height] = head.block_hash
        self._config_block = max(self._config_block, head.config_block)

    async def _classify_point(self, value: bytes | None, height: int, floor: int, *, metadata: bool) -> str:
        """Why a value is not in the ledger enclave's memory. An absent one may have been deleted since."""
        if value is None or metadata:
            return "ledger-behind"
        return await self._classify_value(value, height, floor)

    async def _classify_rows(self, rows: Rows) -> str:
        """Rows that are missing may have been deleted in a block to come."""
        try:
            for _, value in rows:
                read_header(value)
        except Refused:
            return "integrity"
        return "ledger-behind"

    async def _classify_value(self, value: bytes, height: int, floor: int) -> str:
        """The ledger enclave is behind, or the value is older than its memory, or it never was there.

        `height`: where it stood as it was asked for the value; it may have gone on since.
        """
        try:
            writer = read_header(value).transaction_id
        except Refused:
            return "integrity"
        _, answer = await self._session.ask(AskTransaction(writer), TransactionAnswer)
        if not answer.known or answer.block >= height:
            return "ledger-behind"
        return "ledger-window" if answer.code == _VALID and answer.block + 1 < floor else "integrity"


def _digest(rows: Rows) -> bytes:
    return rows_digest((key.encode(), value_hash(value) or b"") for key, value in rows)


def _floor(answer: SegmentsAnswer) -> int:
    """Where the ledger enclave's memory of a fact begins."""
    return answer.segments[-1][0] if answer.segments else 0
