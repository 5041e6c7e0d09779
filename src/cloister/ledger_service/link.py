"""A connection to a ledger enclave: requests out, replies in.

Trust level: none; what matters inside is sealed between the enclaves.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TypeVar

from cloister.errors import MalformedInput
from cloister.wire.ledger_messages import (
    LedgerRefusal,
    LedgerReply,
    LedgerRequest,
    SealedPart,
    SealLedger,
    SessionAnswer,
    SessionQuestion,
    decode_reply,
    encode_request,
)
from cloister.wire.stream import FrameBuffer, wrap_frame

from .errors import LedgerLost, LedgerRefused

_CHUNK_BYTES = 256 * 1024
REPLY_TIMEOUT_S = 20.0
_R = TypeVar("_R", bound=LedgerReply)


class LedgerLink:
    """One connection to one ledger enclave. Make it with `open_ledger_link`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[LedgerReply | None]] = {}
        self._streams: dict[int, asyncio.Queue[LedgerReply | None]] = {}
        self._lost = False
        self._receiver = asyncio.create_task(self._receive())

    @property
    def alive(self) -> bool:
        """False once the connection broke."""
        return not self._lost

    async def lost(self) -> None:
        """Wait until the connection breaks."""
        await asyncio.wait({self._receiver})

    async def ask(self, request: LedgerRequest, kind: type[_R], *, timeout_s: float = REPLY_TIMEOUT_S) -> _R:
        """The reply. Raises: LedgerLost; LedgerRefused with the ledger enclave's reason."""
        reply = await self.ask_any(request, timeout_s=timeout_s)
        if not isinstance(reply, kind):
            raise LedgerLost(f"ledger enclave answered {type(reply).__name__}")
        return reply

    async def ask_any(self, request: LedgerRequest, *, timeout_s: float = REPLY_TIMEOUT_S) -> LedgerReply:
        """The reply, of any kind. Raises: LedgerLost; LedgerRefused."""
        try:
            reply = await asyncio.wait_for(self._post(request), timeout_s)
        except TimeoutError as error:
            raise LedgerLost(f"ledger enclave lost: no reply within {timeout_s:.0f} s") from error
        if isinstance(reply, LedgerRefusal):
            raise LedgerRefused(reply.reason)
        if reply is None:
            raise LedgerLost("ledger enclave lost: its connection broke")
        return reply

    async def seal(self) -> list[bytes]:
        """All parts of the enclave's sealed checkpoint. Raises: LedgerLost; LedgerRefused."""
        parts: list[bytes] = []
        replies: asyncio.Queue[LedgerReply | None] = asyncio.Queue()
        if self._lost:
            raise LedgerLost("ledger enclave lost: its connection broke")
        self._streams[self._send(SealLedger())] = replies
        while True:
            reply = await replies.get()
            if isinstance(reply, LedgerRefusal):
                raise LedgerRefused(reply.reason)
            if not isinstance(reply, SealedPart):
                raise LedgerLost("ledger enclave lost: its connection broke")
            parts.append(reply.part)
            if reply.last:
                return parts

    def question(self, sealed: bytes) -> asyncio.Future[bytes]:
        """Send a sealed question now; the sealed answer, or empty bytes if none comes."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def done(reply: asyncio.Future[LedgerReply | None]) -> None:
            if not answer.done():
                found = reply.result() if not reply.cancelled() else None
                answer.set_result(found.sealed if isinstance(found, SessionAnswer) else b"")

        self._post(SessionQuestion(sealed)).add_done_callback(done)
        return answer

    async def close(self) -> None:
        """Close the connection; questions in flight get no answer."""
        self._receiver.cancel()
        await asyncio.gather(self._receiver, return_exceptions=True)
        self._writer.close()

    def _post(self, request: LedgerRequest) -> asyncio.Future[LedgerReply | None]:
        reply: asyncio.Future[LedgerReply | None] = asyncio.get_running_loop().create_future()
        if self._lost:
            reply.set_result(None)
            return reply
        self._waiting[self._send(request)] = reply
        return reply

    def _send(self, request: LedgerRequest) -> int:
        call = next(self._numbers)
        self._writer.write(wrap_frame(encode_request(call, request)))
        return call

    async def _receive(self) -> None:
        buffer = FrameBuffer()
        try:
            while chunk := await self._reader.read(_CHUNK_BYTES):
                for frame in buffer.feed(chunk):
                    self._take(*decode_reply(frame))
        except (OSError, MalformedInput):
            pass  # the same as the end of the stream: it cannot be understood any more
        finally:
            self._lost = True
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_result(None)
            self._waiting.clear()
            for replies in self._streams.values():
                replies.put_nowait(None)
            self._streams.clear()

    def _take(self, call: int, reply: LedgerReply) -> None:
        if call in self._streams:
            self._streams[call].put_nowait(reply)
            if not isinstance(reply, SealedPart) or reply.last:
                del self._streams[call]
            return
        waiting = self._waiting.pop(call, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)


async def open_ledger_link(port: int) -> LedgerLink:
    """Connect to a ledger enclave on 127.0.0.1. Raises: LedgerLost."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError as error:
        raise LedgerLost(f"ledger enclave not reachable on port {port}: {error.strerror or error}") from error
    return LedgerLink(reader, writer)
