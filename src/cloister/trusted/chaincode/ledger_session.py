"""The chaincode enclave's side of its ledger enclave: one session, and what it has learnt through it.

Trust level: trusted. Answers are believed because the session is attested; the host only carries them. What is kept
from one execution to the next is a cache: callers that were members under the current configuration, checkpoints known
to be on the chain, and what was told about keys at the newest height.
"""

from __future__ import annotations

from typing import TypeVar

from cloister.errors import MalformedInput, Refused
from cloister.trusted.attest.session import Asker
from cloister.trusted.protocol.questions import (
    ANSWERS,
    HEADS,
    MINIMUM_BEHIND,
    MINIMUM_HOLDS,
    QUESTIONS,
    Answer,
    AskBlock,
    AskCaller,
    BlockAnswer,
    CallerAnswer,
    Head,
    Question,
    SegmentsAnswer,
)
from cloister.trusted.protocol.statement import NO_CHECKPOINT, Checkpoint

from .ask import ExecutionAborted, ask_ledger

MAX_REMEMBERED = 4096
_A = TypeVar("_A", bound=Answer)


class LedgerSession:
    """Asks through a session with an appraised ledger enclave.

    `definition`: (sequence, version) that must be current. `floor`: the highest checkpoint of the sessions before.
    """

    def __init__(self, asker: Asker, definition: tuple[int, str], floor: Checkpoint) -> None:
        self._asker = asker
        self._definition = definition
        self._floor = floor
        self.highest = floor
        """The highest checkpoint seen, over all sessions: the chain never goes back. It rises only once this chain is
        known to go on from the floor: else a fork, refused once, would be the floor of the next session."""
        self._callers: dict[bytes, int] = {}
        self._told: dict[Question, tuple[Head, SegmentsAnswer]] = {}
        self._told_height = 0
        self._checkpoints: set[tuple[int, bytes]] = set()
        self._last_head: tuple[bytes, Head] | None = None

    def seal(self, question: Question) -> tuple[int, bytes]:
        """(number, sealed question), to be sent along with a question to the peer. Raises: Refused."""
        return self._asker.seal(QUESTIONS.encode(question))

    def open(self, number: int, sealed: bytes, kind: type[_A], *, any_definition: bool = False) -> tuple[Head, _A]:
        """The answer and where the ledger enclave stood. Aborts the execution on anything else.

        The definition committed now must be this enclave's own, unless any will do.
        """
        if not sealed:
            self._asker.forget(number)
            raise ExecutionAborted("no-ledger")
        try:
            _, answer = ANSWERS.decode(self._asker.open(number, sealed))
        except (Refused, MalformedInput) as error:
            raise ExecutionAborted("session") from error
        if not isinstance(answer, kind):
            raise ExecutionAborted("session")
        head = self._head_of(answer.head)
        self._note(head)
        if not any_definition and (head.sequence, head.measurement) != self._definition:
            raise ExecutionAborted("definition")
        return head, answer

    async def ask(self, question: Question, kind: type[_A], *, any_definition: bool = False) -> tuple[Head, _A]:
        """Ask the ledger enclave alone."""
        number, sealed = self.seal(question)
        return self.open(number, await ask_ledger(sealed), kind, any_definition=any_definition)

    def told(self, question: Question, height: int) -> tuple[Head, SegmentsAnswer] | None:
        """What this ledger enclave answered to the same question when it stood at this height, if it is remembered."""
        return self._told.get(question) if height == self._told_height else None

    def remember_told(self, question: Question, head: Head, answer: SegmentsAnswer) -> None:
        """Answers of the newest height only: at one height the answer to one question never changes."""
        if head.height > self._told_height or len(self._told) >= MAX_REMEMBERED:
            self._told.clear()
            self._told_height = max(head.height, self._told_height)
        if head.height == self._told_height:
            self._told[question] = (head, answer)

    async def admit(self, creator: bytes, minimum: Checkpoint) -> Head | None:
        """The creator may write, and the minimum is on the chain. None: known from before, nothing was asked.

        Aborts: creator, ledger-behind, fork.
        """
        await self.go_on_from_floor()
        place = (minimum.height, minimum.block_hash)
        if creator in self._callers and (not minimum.height or place in self._checkpoints):
            return None
        return await self.admit_anew(creator, minimum)

    async def admit_anew(self, creator: bytes, minimum: Checkpoint) -> Head:
        """The same, asked for in any case."""
        question = AskCaller(creator, minimum.height, minimum.block_hash)
        head, answer = await self.ask(question, CallerAnswer)
        if not answer.may_write:
            self._callers.pop(creator, None)
            raise ExecutionAborted("creator")
        if answer.minimum != MINIMUM_HOLDS:
            raise ExecutionAborted("ledger-behind" if answer.minimum == MINIMUM_BEHIND else "fork")
        if len(self._callers) >= MAX_REMEMBERED:
            self._callers.clear()
        self._callers[creator] = head.config_block
        self._remember(minimum.height, minimum.block_hash)
        return head

    async def go_on_from_floor(self) -> None:
        """Once per session: this ledger enclave's chain goes on from where the sessions before had come.

        Aborts: ledger-behind, fork.
        """
        floor = self._floor
        if not floor.height:
            return
        head, answer = await self.ask(AskBlock(floor.height - 1), BlockAnswer, any_definition=True)
        if not answer.block_hash:
            raise ExecutionAborted("ledger-behind")
        if answer.block_hash != floor.block_hash:
            raise ExecutionAborted("fork")
        self._floor = NO_CHECKPOINT
        self._note(head)

    def admitted_under(self, creator: bytes) -> int:
        """The configuration block under which a creator was admitted last, -1 if none."""
        return self._callers.get(creator, -1)

    def _head_of(self, encoded: bytes) -> Head:
        """Most answers have the head of the one before, byte by byte."""
        if self._last_head is None or self._last_head[0] != encoded:
            try:
                self._last_head = encoded, HEADS.decode(encoded)[1]
            except MalformedInput as error:
                raise ExecutionAborted("session") from error
        return self._last_head[1]

    def _note(self, head: Head) -> None:
        """The chain goes on, and one height has one hash."""
        if head.height == self.highest.height and head.block_hash != self.highest.block_hash:
            raise ExecutionAborted("fork")
        if head.height > self.highest.height and not self._floor.height:
            self.highest = Checkpoint(head.height, head.block_hash)
            self._remember(head.height, head.block_hash)

    def _remember(self, height: int, block_hash: bytes) -> None:
        if len(self._checkpoints) >= MAX_REMEMBERED:
            self._checkpoints.clear()
        self._checkpoints.add((height, block_hash))
