"""Chaincode-as-a-service: peers dial `/protos.Chaincode/Connect` and call the chaincode over that stream.

Any number of peers and of calls at a time. After a peer's restart it dials again by itself. A wrong chaincode id makes
a peer's calls hang until their deadline; the log says so. Nothing that a transaction holds is ever logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator
from typing import Any

import grpc

from cloister.errors import UsageError

from .errors import ServerNotStarted, StreamViolated
from .session import Handler, PeerSession
from .stream import MAX_MESSAGE_BYTES
from .tls import ServerTls

SERVICE = "protos.Chaincode"
DEFAULT_GRACE_S = 10.0
STREAM_END_S = 1.0
"""How long streams may take to end once their calls have."""

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Peers ping every minute also when idle, which gRPC would punish by ending the connection.
    ("grpc.http2.min_ping_interval_without_data_ms", 5000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    # A second server on the same port must fail, not get every other connection.
    ("grpc.so_reuseport", 0),
)

log = logging.getLogger(__name__)


class ChaincodeServer:
    """Serves one chaincode.

    `handler` runs every call, initialisation too. `chaincode_id` is the package id (label:hash) that the peer has
    installed. `address` is host:port, port 0 for a free one. Without `tls` the connection is in clear.
    """

    def __init__(
        self, handler: Handler, chaincode_id: str, address: str = "127.0.0.1:0", tls: ServerTls | None = None
    ) -> None:
        if not chaincode_id:
            raise UsageError("chaincode id missing", hint="it is the package id that `peer lifecycle chaincode` prints")
        self._handler = handler
        self._chaincode_id = chaincode_id
        self._address = _checked_address(address)
        self._tls = tls
        self._server: Any = None
        self._sessions: set[PeerSession] = set()
        self._stopping = False

    @property
    def address(self) -> str:
        """host:port, with the actual port once started."""
        return self._address

    async def start(self) -> None:
        """Listen; also again after a stop.

        Raises: ServerNotStarted if the address is in use or key and certificate do not fit together.
        """
        server = grpc.aio.server(options=_OPTIONS)
        handler = grpc.stream_stream_rpc_method_handler(self._connect)  # frames stay bytes, ours to parse
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Connect": handler}),))
        try:
            if self._tls is None:
                port = server.add_insecure_port(self._address)
            else:
                port = server.add_secure_port(self._address, self._tls.credentials())
        except (RuntimeError, ValueError) as error:
            raise ServerNotStarted(
                f"cannot listen on {self._address}",
                hint="the port may be in use, or the TLS key and certificate may not fit together",
            ) from error
        self._server, self._stopping = server, False
        self._address = f"{self._address.rpartition(':')[0]}:{port}"
        await server.start()
        log.info("chaincode server listens on %s (%s)", self._address, "TLS" if self._tls else "plain")

    async def stop(self, grace_s: float = DEFAULT_GRACE_S) -> None:
        """Stop: calls in flight may finish for `grace_s` seconds, new ones are answered with status 503."""
        if self._server is None:
            return
        self._stopping = True
        for session in self._sessions:
            session.stopping = True
        calls = {call for session in self._sessions for call in session.calls}
        unfinished = (await asyncio.wait(calls, timeout=grace_s))[1] if calls else set()
        server, self._server = self._server, None
        for session in self._sessions:
            session.end()
        await server.stop(STREAM_END_S)  # at once when the last stream has ended
        for call in unfinished:
            call.cancel()
        if unfinished:
            log.warning("%d calls were cut off after %g seconds", len(unfinished), grace_s)
            await asyncio.wait(unfinished)

    async def serve_forever(self, grace_s: float = DEFAULT_GRACE_S) -> None:
        """Start, serve until SIGINT or SIGTERM (or cancellation), stop."""
        async with _termination() as terminated:  # before anybody can see that the server listens
            await self.start()
            try:
                await terminated.wait()
                log.info("chaincode server stops")
            finally:
                await self.stop(grace_s)

    async def _connect(self, _requests: Any, context: Any) -> None:
        """One stream, as gRPC calls it."""
        session = PeerSession(context, self._chaincode_id, self._handler)
        session.stopping = self._stopping
        self._sessions.add(session)
        try:
            await session.run()
        except StreamViolated as violation:
            log.warning("stream ended: %s", violation.message)
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, violation.message)
        finally:
            self._sessions.discard(session)


@contextlib.asynccontextmanager
async def _termination() -> AsyncIterator[asyncio.Event]:
    """An event that SIGINT and SIGTERM set. Outside the main thread there are no signals to wait for."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    installed = []
    for number in signals:
        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
            loop.add_signal_handler(number, event.set)
            installed.append(number)
    try:
        yield event
    finally:
        for number in installed:
            loop.remove_signal_handler(number)


def _checked_address(address: str) -> str:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"address refused: expected host:port, got {address!r}")
    return f"{host or '127.0.0.1'}:{port}"
