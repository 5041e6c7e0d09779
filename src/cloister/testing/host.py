"""The untrusted side of one chaincode enclave, in this process: serves its questions, honestly or not.

What a `Behaviour` changes is what its host's organisation can change: everything that enters or leaves its enclave.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cloister.fabric.proposal import ParsedProposal
from cloister.trusted.chaincode.enclave import Enclave
from cloister.trusted.ledger.enclave import LedgerEnclave
from cloister.wire.ledger_messages import (
    Followed,
    GetLedgerStatus,
    LedgerReply,
    LedgerRequest,
    LedgerStatus,
    NextBlocks,
    SessionAnswer,
    SessionConfirm,
    SessionHello,
    SessionQuestion,
    SessionReady,
    SessionWelcome,
)
from cloister.wire.messages import (
    AskLedger,
    ConnectLedger,
    EnclaveMessage,
    GetParameter,
    GetRange,
    GetState,
    HostMessage,
    Invoke,
    LedgerConfirm,
    LedgerHello,
    LedgerReplied,
    LedgerWelcome,
    OpenCommitted,
    Opened,
    Refusal,
    Restore,
    Result,
)

from .committed_state import CommittedState, Simulation, StateAnswer, StateQuestion

_SESSION_LOST = frozenset({"no-ledger", "session"})


@dataclass
class Execution:
    """One run of the contract: on which snapshot, what was asked, how it ended."""

    simulation: Simulation
    questions: list[StateQuestion | AskLedger] = field(default_factory=list)
    answers: list[StateAnswer] = field(default_factory=list)
    outcome: Result | Refusal = field(default_factory=lambda: Refusal("abandoned", ""))

    @property
    def reads(self) -> list[StateQuestion]:
        """The questions that a peer answers: what a host sees of the state that is touched."""
        return [item for item in self.questions if not isinstance(item, AskLedger)]


class Behaviour:
    """What hosts, peers and orderers do with what passes through their hands. This one is honest; a lie overrides."""

    def proposal(self, signed_proposal: bytes) -> bytes:
        """A signed proposal, on its way to an enclave."""
        return signed_proposal

    def snapshot(self, height: int) -> int:
        """At which height a peer simulates."""
        return height

    def answer(self, question: StateQuestion, honest: StateAnswer, execution: Execution) -> StateAnswer:
        """A peer's answer to one of an enclave's questions."""
        del question, execution
        return honest

    def ledger_answer(self, sealed: bytes) -> bytes:
        """A sealed answer of the ledger enclave."""
        return sealed

    def endorsed(self, proposal: ParsedProposal, payload: bytes) -> bytes:
        """A proposal response payload, before all endorsers sign it."""
        del proposal
        return payload

    def ordered(self, envelope: bytes) -> bytes:
        """A signed transaction, on its way to the orderer."""
        return envelope

    def blocks(self, blocks: Sequence[bytes]) -> Sequence[bytes]:
        """The next blocks, on their way to the ledger enclave."""
        return blocks

    def key_set(self, answer: bytes) -> bytes:
        """The enclave registry's answer to a client (JSON)."""
        return answer


HONEST = Behaviour()


class LedgerHost:
    """Feeds one ledger enclave and carries what is sealed for it. `behaviour`: what it does with blocks.

    `late`: after so many more questions a block is handed over, so that peers are ahead of the ledger enclave, and it
    goes on between two questions of one execution.
    """

    def __init__(self, enclave: LedgerEnclave) -> None:
        self.enclave = enclave
        self.behaviour = HONEST
        self.late = 0
        self._waiting: list[tuple[int, bytes]] = []
        self._questions = 0
        self.halted = ""
        """Why the ledger enclave stopped for good, or nothing."""

    def call(self, message: LedgerRequest) -> LedgerReply:
        """The one reply."""
        (reply,) = self.enclave.handle(message)
        return reply

    def follow(self, blocks: Sequence[bytes]) -> None:
        """Hand over the next blocks, now or late."""
        self._waiting += [(self._questions + self.late, block) for block in blocks]
        self._hand_over()

    def _hand_over(self) -> None:
        due = [block for when, block in self._waiting if when <= self._questions]
        self._waiting = self._waiting[len(due) :]
        if due:
            self._offer(due)

    def _offer(self, blocks: Sequence[bytes]) -> None:
        offered = tuple(self.behaviour.blocks(blocks))
        reply = self.call(NextBlocks(offered)) if offered else None
        if isinstance(reply, LedgerStatus) and reply.state == "halted":
            self.halted = reply.reason
        elif reply is not None and not isinstance(reply, Followed):
            self.halted = self.halted or "halted"

    def hash_of_last(self) -> bytes:
        """Header hash (32 bytes) of the block that the ledger enclave followed last."""
        status = self.call(GetLedgerStatus())
        return status.block_hash if isinstance(status, LedgerStatus) else b""

    def reply(self, sealed: bytes) -> bytes:
        """The sealed answer to a sealed question; empty if there is none."""
        reply = self.call(SessionQuestion(sealed))
        self._questions += 1
        self._hand_over()
        return reply.sealed if isinstance(reply, SessionAnswer) else b""


class Host:
    """One organisation's enclave with its peer's state and a ledger enclave.

    `interleave`: give way to other calls before each answer, so that the channel goes on in the middle of executions.
    `executions`: what the host has seen, unless it shall not keep it.
    """

    def __init__(
        self, msp_id: str, enclave: Enclave, ledger: LedgerHost, state: CommittedState, height: Callable[[], int]
    ) -> None:
        self.msp_id = msp_id
        self.enclave = enclave
        self.ledger = ledger
        self.behaviour = HONEST
        self.interleave = False
        self.executions: list[Execution] = []
        self.keep_executions = True
        self.sealed = b""
        """The enclave's sealed state, as a host keeps it."""
        self._state = state
        self._height = height
        self._calls = 0

    def restart(self, enclave: Enclave) -> None:
        """The enclave is gone; another one of the same measurement starts from the sealed state."""
        self.enclave = enclave
        enclave.handle(self._number(), Restore(self.sealed))
        self.connect()

    def connect(self) -> EnclaveMessage | None:
        """A session between enclave and ledger enclave; the enclave's last reply."""
        hello = self.enclave.handle(self._number(), ConnectLedger())
        if not isinstance(hello, LedgerHello):
            return hello
        welcome = self.ledger.call(SessionHello(hello.hello))
        if not isinstance(welcome, SessionWelcome):
            return Refusal("no-ledger", "")
        confirm = self.enclave.handle(self._number(), LedgerWelcome(welcome.welcome))
        if isinstance(confirm, LedgerConfirm):
            ready = self.ledger.call(SessionConfirm(welcome.number, confirm.confirm))
            return confirm if isinstance(ready, SessionReady) else Refusal("no-ledger", "")
        return confirm

    def drive(self, message: HostMessage) -> EnclaveMessage | None:
        """A call that asks the ledger enclave only, to its end."""
        number = self._number()
        reply = self.enclave.handle(number, message)
        while isinstance(reply, AskLedger):
            reply = self.enclave.handle(number, LedgerReplied(self._from_ledger(reply.ledger)))
        return reply

    async def execute(
        self, signed_proposal: bytes, *, height: int | None = None, behaviour: Behaviour | None = None
    ) -> Execution:
        """Run one proposal; nothing is committed. `height`: of the peer's snapshot, instead of where the peer is."""
        how = behaviour or self.behaviour
        at = how.snapshot(self._height()) if height is None else height
        execution = Execution(Simulation(self._state, at))
        number = self._number()
        reply = self.enclave.handle(number, Invoke(how.proposal(signed_proposal)))
        while isinstance(reply, GetState | GetParameter | GetRange | AskLedger):
            execution.questions.append(reply)
            sealed = how.ledger_answer(self._from_ledger(reply.ledger)) if reply.ledger else b""
            if self.interleave:
                await asyncio.sleep(0)  # after the ledger enclave was asked, which takes questions in their order only
            if isinstance(reply, AskLedger):
                reply = self.enclave.handle(number, LedgerReplied(sealed))
            else:
                answer = how.answer(reply, execution.simulation.answer(reply, sealed), execution)
                execution.answers.append(answer)
                reply = self.enclave.handle(number, answer)
        if isinstance(reply, Result | Refusal):
            execution.outcome = reply
        if isinstance(reply, Refusal) and reply.reason in _SESSION_LOST:
            self.connect()
        if self.keep_executions:
            self.executions.append(execution)
        return execution

    def open(self, transaction_id: str, block: bytes) -> Opened | Refusal:
        """Ask the enclave to open a committed transaction out of its block."""
        reply = self.drive(OpenCommitted(transaction_id, block))
        return reply if isinstance(reply, Opened | Refusal) else Refusal("internal", "")

    def _from_ledger(self, sealed: bytes) -> bytes:
        return self.ledger.reply(sealed)

    def _number(self) -> int:
        self._calls += 1
        return self._calls
