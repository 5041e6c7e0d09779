"""Asking an organisation's ledger service: what its hosts and `cloister ledger status` do."""

from __future__ import annotations

import asyncio
import json
from typing import Any, TypeVar

from cloister.errors import MalformedInput, UsageError
from cloister.wire.stream import FrameBuffer, wrap_frame

from .errors import LedgerLost
from .messages import (
    REPLIES,
    REQUESTS,
    BlockFound,
    Document,
    EnclaveAt,
    EnvelopeFound,
    FetchEnvelope,
    FetchTransaction,
    FindEnclave,
    GetServiceStatus,
    GetSuspects,
    NotKnown,
    ServiceFailed,
    ServiceReply,
    ServiceRequest,
)

_CHUNK_BYTES = 256 * 1024
TIMEOUT_S = 15.0
_R = TypeVar("_R", bound=ServiceReply)


class LedgerServiceClient:
    """One connection. Make it with `open_ledger_service`. Raises, all methods: LedgerLost."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._buffer = FrameBuffer()
        self._asking = asyncio.Lock()
        self.alive = True
        """False once the connection broke."""

    async def enclave_port(self) -> int:
        """The loopback port of the ledger enclave."""
        return (await self._ask(FindEnclave(), EnclaveAt)).port

    async def fetch(self, transaction_id: str) -> bytes | None:
        """The block (serialised `common.Block`) that holds a transaction; None if it is not known yet."""
        reply = await self._ask_any(FetchTransaction(transaction_id))
        if isinstance(reply, NotKnown):
            return None
        return _expected(reply, BlockFound).block

    async def fetch_envelope(self, transaction_id: str) -> bytes | None:
        """The transaction's envelope, or its block if the service does not have that at hand; None: not known yet."""
        reply = await self._ask_any(FetchEnvelope(transaction_id))
        if isinstance(reply, NotKnown):
            return None
        return reply.envelope if isinstance(reply, EnvelopeFound) else _expected(reply, BlockFound).block

    async def status(self) -> dict[str, Any]:
        """Facts about the service and its enclave; see docs/ledger.md."""
        found: dict[str, Any] = _document(await self._ask(GetServiceStatus(), Document), dict)
        return found

    async def suspects(self) -> list[dict[str, Any]]:
        """What no result statement covers: chaincode, key, parameter, block, transaction_id."""
        found: list[dict[str, Any]] = _document(await self._ask(GetSuspects(), Document), list)
        return found

    async def close(self) -> None:
        """Close the connection."""
        self.alive = False
        self._writer.close()

    async def _ask(self, request: ServiceRequest, kind: type[_R]) -> _R:
        return _expected(await self._ask_any(request), kind)

    async def _ask_any(self, request: ServiceRequest) -> ServiceReply:
        async with self._asking:
            try:
                self._writer.write(wrap_frame(REQUESTS.encode(request)))
                frame = await asyncio.wait_for(self._frame(), TIMEOUT_S)
                _, reply = REPLIES.decode(frame)
            except (OSError, TimeoutError, MalformedInput) as error:
                await self.close()
                raise LedgerLost("ledger service lost: its connection broke", hint="retry") from error
            except asyncio.CancelledError:
                await self.close()  # else the next question would get this one's reply
                raise
        if isinstance(reply, ServiceFailed):
            raise LedgerLost(f"ledger service lost: {reply.message}", hint="see `cloister ledger status`")
        return reply

    async def _frame(self) -> bytes:
        while True:
            chunk = await self._reader.read(_CHUNK_BYTES)
            if not chunk:
                raise MalformedInput("stream ended", field="frame")
            for frame in self._buffer.feed(chunk):
                return frame


def _expected(reply: ServiceReply, kind: type[_R]) -> _R:
    if not isinstance(reply, kind):
        raise LedgerLost(f"ledger service lost: it answered {type(reply).__name__}")
    return reply


def _document(reply: Document, kind: type) -> Any:
    try:
        found = json.loads(reply.text)
    except ValueError as error:
        raise LedgerLost("ledger service lost: it answered no JSON") from error
    if not isinstance(found, kind):
        raise LedgerLost("ledger service lost: it answered other JSON than expected")
    return found


async def open_ledger_service(address: str) -> LedgerServiceClient:
    """Connect to host:port. Raises: LedgerLost, UsageError."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"ledger service: expected host:port, got {address!r}")
    try:
        reader, writer = await asyncio.open_connection(host, int(port))
    except OSError as error:
        raise LedgerLost(
            f"ledger service not reachable at {address}: {error.strerror or error}",
            hint="start it: cloister ledger run --config ledger.toml",
        ) from error
    return LedgerServiceClient(reader, writer)
