"""The host's end of the connection to its enclave: calls out, questions served, many calls at once.

Trust level: none; the enclave believes nothing of it. What a question asks of the ledger enclave is passed on at once,
in the order in which it came: the ledger enclave takes the questions of a session in ascending order only.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

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
from cloister.wire.stream import FrameBuffer, wrap_frame

from .errors import EnclaveLost, EnclaveRefused

_CHUNK_BYTES = 256 * 1024
REPLY_TIMEOUT_S = 60.0
"""Longer than any peer waits for a chaincode call (Fabric 2.5.9 core.yaml chaincode.executetimeout: 30 s)."""
AnswerQuestion = Callable[[Question, "asyncio.Future[bytes]"], Awaitable[Answer]]
"""A question, and the ledger enclave's sealed answer to what it asks of it (empty if there is none)."""
AskLedgerEnclave = Callable[[bytes], "asyncio.Future[bytes]"]
_Received = tuple[EnclaveMessage, "asyncio.Future[bytes]"]


class EnclaveLink:
    """One connection to one enclave. Make it with `open_link`."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ask_ledger: AskLedgerEnclave
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._ask_ledger = ask_ledger
        self._numbers = itertools.count(1)
        self._calls: dict[int, asyncio.Queue[_Received | None]] = {}
        self._lost = False
        self._receiver = asyncio.create_task(self._receive())

    @property
    def alive(self) -> bool:
        """False once the connection broke."""
        return not self._lost

    async def ask(self, message: HostMessage) -> EnclaveMessage:
        """Send a message that needs no peer. Raises: EnclaveRefused, EnclaveLost."""
        return await self.run(message, _ledger_only)

    async def run(self, message: HostMessage, answer: AnswerQuestion) -> EnclaveMessage:
        """Send a message and serve the enclave's questions until its final answer.

        Raises: EnclaveRefused; EnclaveLost; whatever `answer` raises, after telling the enclave to forget the call.
        """
        call = next(self._numbers)
        replies: asyncio.Queue[_Received | None] = asyncio.Queue()
        self._calls[call] = replies
        try:
            self._send(call, message)
            while True:
                reply, ledger = await self._next(replies)
                if isinstance(reply, Refusal):
                    raise EnclaveRefused(reply.reason, reply.detail)
                if not isinstance(reply, GetState | GetParameter | GetRange | AskLedger):
                    return reply
                self._send(call, await answer(reply, ledger))
        except EnclaveRefused:
            raise
        except BaseException:
            # Whatever happened (the peer's error, a cancelled call, an answer too large): the enclave must forget it.
            if self.alive:
                self._send(call, Abandon())
            raise
        finally:
            del self._calls[call]

    async def _next(self, replies: asyncio.Queue[_Received | None]) -> _Received:
        """The enclave's next message. An enclave that says nothing for REPLY_TIMEOUT_S seconds counts as lost."""
        try:
            async with asyncio.timeout(REPLY_TIMEOUT_S):  # `wait_for` would make a task for each reply
                reply = await replies.get()
        except TimeoutError as error:
            self._lost = True
            raise EnclaveLost(
                f"enclave lost: no answer for {REPLY_TIMEOUT_S:.0f} s", hint="retry; the host starts it again"
            ) from error
        if reply is None:
            raise EnclaveLost("enclave lost: its connection broke", hint="retry; the host starts it again")
        return reply

    async def close(self) -> None:
        """Close the connection; calls in flight fail."""
        self._receiver.cancel()
        await asyncio.gather(self._receiver, return_exceptions=True)
        self._writer.close()

    def _send(self, call: int, message: HostMessage) -> None:
        if self._lost:
            raise EnclaveLost("enclave lost: its connection broke", hint="retry; the host starts it again")
        self._writer.write(wrap_frame(encode_host_message(call, message)))

    async def _receive(self) -> None:
        buffer = FrameBuffer()
        try:
            while chunk := await self._reader.read(_CHUNK_BYTES):
                for frame in buffer.feed(chunk):
                    call, message = decode_enclave_message(frame)
                    if call in self._calls:
                        self._calls[call].put_nowait((message, self._ledger_answer(message)))
        except (OSError, MalformedInput):
            pass  # the same as the end of the stream: the enclave cannot be understood any more
        finally:
            self._lost = True
            for replies in self._calls.values():
                replies.put_nowait(None)

    def _ledger_answer(self, message: EnclaveMessage) -> asyncio.Future[bytes]:
        asked = message.ledger if isinstance(message, GetState | GetParameter | GetRange | AskLedger) else b""
        return self._ask_ledger(asked) if asked else no_answer()


def no_answer() -> asyncio.Future[bytes]:
    """What stands for "the ledger enclave did not answer"."""
    future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    future.set_result(b"")
    return future


async def open_link(port: int, ask_ledger: AskLedgerEnclave) -> EnclaveLink:
    """Connect to an enclave on 127.0.0.1. Raises: EnclaveLost."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError as error:
        raise EnclaveLost(f"enclave not reachable on port {port}: {error.strerror or error}") from error
    return EnclaveLink(reader, writer, ask_ledger)


async def _ledger_only(question: Question, ledger: asyncio.Future[bytes]) -> Answer:
    if not isinstance(question, AskLedger):
        raise MalformedInput(f"enclave asked {type(question).__name__} outside an execution", field="question")
    return LedgerReplied(await ledger)
