"""The host's end of the connection to its enclave: calls out, questions served, many calls at once.

Trust level: none; the enclave believes nothing of it. What a question asks of the ledger enclave is passed on at once,
in the order in which it came: the ledger enclave takes the questions of a session in ascending order only.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

from cloister.enclave_connection import EnclaveConnection, connect_to_enclave
from cloister.errors import MalformedInput
from cloister.wire.messages import (
    Abandon,
    Answer,
    AskLedger,
    EnclaveMessage,
    GetParameter,
    GetRange,
    GetState,
    HostMessage,
    LedgerReplied,
    Question,
    Refusal,
    decode_enclave_message,
    encode_host_message,
)

from .errors import EnclaveLost, EnclaveRefused

REPLY_TIMEOUT_S = 60.0
"""Longer than any peer waits for a chaincode call (Fabric 2.5.9 core.yaml chaincode.executetimeout: 30 s)."""
AnswerQuestion = Callable[[Question, "asyncio.Future[bytes]"], Awaitable[Answer]]
"""A question, and the ledger enclave's sealed answer to what it asks of it (empty if there is none)."""
AskLedgerEnclave = Callable[[bytes], "asyncio.Future[bytes]"]
_Received = tuple[EnclaveMessage, "asyncio.Future[bytes]"]


class EnclaveLink:
    """One connection to one enclave. Make it with `open_link`."""

    def __init__(self, ask_ledger: AskLedgerEnclave) -> None:
        self._ask_ledger = ask_ledger
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[_Received]] = {}  # by call: an enclave has one thing to say at a time
        self._connection: EnclaveConnection | None = None
        self._lost = False
        self._nothing = no_answer()

    @property
    def alive(self) -> bool:
        """False once the connection broke."""
        return not self._lost

    async def open(self, port: int) -> None:
        """Connect to an enclave on 127.0.0.1. Raises: OSError."""
        self._connection = await connect_to_enclave(port, self._receive, self._lose)

    async def ask(self, message: HostMessage) -> EnclaveMessage:
        """Send a message that needs no peer. Raises: EnclaveRefused, EnclaveLost."""
        return await self.run(message, _ledger_only)

    async def run(self, message: HostMessage, answer: AnswerQuestion) -> EnclaveMessage:
        """Send a message and serve the enclave's questions until its final answer.

        Raises: EnclaveRefused; EnclaveLost; whatever `answer` raises, after telling the enclave to forget the call.
        """
        call = next(self._numbers)
        try:
            reply, ledger = await self._exchange(call, message)
            while isinstance(reply, GetState | GetParameter | GetRange | AskLedger):
                reply, ledger = await self._exchange(call, await answer(reply, ledger))
        except BaseException:
            # Whatever happened (the peer's error, a cancelled call, an answer too large): the enclave must forget it.
            if self.alive:
                self._send(call, Abandon())
            raise
        finally:
            self._waiting.pop(call, None)
        if isinstance(reply, Refusal):
            raise EnclaveRefused(reply.reason, reply.detail)
        return reply

    async def close(self) -> None:
        """Close the connection; calls in flight fail."""
        self._lose()
        if self._connection is not None:
            self._connection.close()

    async def _exchange(self, call: int, message: HostMessage) -> _Received:
        """Send a message of a call, and the enclave's next one.

        An enclave that says nothing for REPLY_TIMEOUT_S seconds counts as lost. Raises: EnclaveLost.
        """
        received: asyncio.Future[_Received] = self._loop.create_future()
        self._waiting[call] = received
        self._send(call, message)
        timer = self._loop.call_later(REPLY_TIMEOUT_S, self._give_up, received)
        try:
            return await received
        finally:
            timer.cancel()

    def _send(self, call: int, message: HostMessage) -> None:
        if self._lost or self._connection is None:
            raise _lost("its connection broke")
        self._connection.send(encode_host_message(call, message))

    def _receive(self, frame: bytes) -> None:
        call, message = decode_enclave_message(frame)
        received = self._waiting.get(call)
        if received is not None and not received.done():
            received.set_result((message, self._ledger_answer(message)))

    def _ledger_answer(self, message: EnclaveMessage) -> asyncio.Future[bytes]:
        asked = message.ledger if isinstance(message, GetState | GetParameter | GetRange | AskLedger) else b""
        return self._ask_ledger(asked) if asked else self._nothing

    def _give_up(self, received: asyncio.Future[_Received]) -> None:
        if not received.done():
            received.set_exception(_lost(f"no answer for {REPLY_TIMEOUT_S:.0f} s"))
        self._lost = True

    def _lose(self) -> None:
        self._lost = True
        for received in self._waiting.values():
            if not received.done():
                received.set_exception(_lost("its connection broke"))


def no_answer() -> asyncio.Future[bytes]:
    """What stands for "the ledger enclave did not answer"."""
    future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    future.set_result(b"")
    return future


async def open_link(port: int, ask_ledger: AskLedgerEnclave) -> EnclaveLink:
    """Connect to an enclave on 127.0.0.1. Raises: EnclaveLost."""
    link = EnclaveLink(ask_ledger)
    try:
        await link.open(port)
    except OSError as error:
        raise EnclaveLost(f"enclave not reachable on port {port}: {error.strerror or error}") from error
    return link


def _lost(why: str) -> EnclaveLost:
    return EnclaveLost(f"enclave lost: {why}", hint="retry; the host starts it again")


async def _ledger_only(question: Question, ledger: asyncio.Future[bytes]) -> Answer:
    if not isinstance(question, AskLedger):
        raise MalformedInput(f"enclave asked {type(question).__name__} outside an execution", field="question")
    return LedgerReplied(await ledger)
