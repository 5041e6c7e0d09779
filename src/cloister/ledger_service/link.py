"""A connection to a ledger enclave: requests out, replies in.

Trust level: none; what matters inside is sealed between the enclaves.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import TypeVar

from cloister.enclave_connection import EnclaveConnection, connect_to_enclave
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

from .errors import LedgerLost, LedgerRefused

REPLY_TIMEOUT_S = 20.0
_Deliver = Callable[["LedgerReply | None"], None]
"""Takes a reply; None: the connection broke."""
_R = TypeVar("_R", bound=LedgerReply)


class LedgerLink:
    """One connection to one ledger enclave. Make it with `open_ledger_link`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, _Deliver] = {}
        self._connection: EnclaveConnection | None = None
        self._lost = False

    @property
    def alive(self) -> bool:
        """False once the connection broke."""
        return not self._lost

    async def lost(self) -> None:
        """Wait until the connection breaks."""
        if self._connection is not None:
            await self._connection.ended.wait()

    async def open(self, port: int) -> None:
        """Connect to a ledger enclave on 127.0.0.1. Raises: OSError."""
        self._connection = await connect_to_enclave(port, self._receive, self._lose)

    async def ask(self, request: LedgerRequest, kind: type[_R], *, timeout_s: float = REPLY_TIMEOUT_S) -> _R:
        """The reply. Raises: LedgerLost; LedgerRefused with the ledger enclave's reason."""
        reply = await self.ask_any(request, timeout_s=timeout_s)
        if not isinstance(reply, kind):
            raise LedgerLost(f"ledger enclave answered {type(reply).__name__}")
        return reply

    async def ask_any(self, request: LedgerRequest, *, timeout_s: float = REPLY_TIMEOUT_S) -> LedgerReply:
        """The reply, of any kind. Raises: LedgerLost; LedgerRefused."""
        replied: asyncio.Future[LedgerReply | None] = self._loop.create_future()

        def deliver(reply: LedgerReply | None) -> None:
            if not replied.done():
                replied.set_result(reply)

        self._post(request, deliver)
        try:
            async with asyncio.timeout(timeout_s):
                reply = await replied
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
        self._post(SealLedger(), replies.put_nowait)
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
        answer: asyncio.Future[bytes] = self._loop.create_future()

        def deliver(reply: LedgerReply | None) -> None:
            if not answer.done():
                answer.set_result(reply.sealed if isinstance(reply, SessionAnswer) else b"")

        self._post(SessionQuestion(sealed), deliver)
        return answer

    async def close(self) -> None:
        """Close the connection; questions in flight get no answer."""
        self._lose()
        if self._connection is not None:
            self._connection.close()

    def _post(self, request: LedgerRequest, deliver: _Deliver) -> None:
        if self._lost or self._connection is None:
            deliver(None)
            return
        call = next(self._numbers)
        self._connection.send(encode_request(call, request))
        self._waiting[call] = deliver

    def _receive(self, frame: bytes) -> None:
        call, reply = decode_reply(frame)
        deliver = self._waiting.get(call)
        if deliver is None:
            return
        if not isinstance(reply, SealedPart) or reply.last:
            del self._waiting[call]
        deliver(reply)

    def _lose(self) -> None:
        self._lost = True
        waiting, self._waiting = self._waiting, {}
        for deliver in waiting.values():
            deliver(None)


async def open_ledger_link(port: int) -> LedgerLink:
    """Connect to a ledger enclave on 127.0.0.1. Raises: LedgerLost."""
    link = LedgerLink()
    try:
        await link.open(port)
    except OSError as error:
        raise LedgerLost(f"ledger enclave not reachable on port {port}: {error.strerror or error}") from error
    return link
