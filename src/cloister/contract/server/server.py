"""Chaincode-as-a-service: peers dial `/protos.Chaincode/Connect` and call the chaincode over that stream.

Any number of peers and of calls at a time. After a peer's restart it dials again by itself. A wrong chaincode id makes
a peer's calls hang until their deadline; the log says so. Nothing that a transaction holds is ever logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import weakref
from collections.abc import AsyncIterator

from cloister.errors import UsageError

from .listener import Listener
from .session import Handler, PeerSession
from .tls import ServerTls
from .transport import PeerConnection, Stream

DEFAULT_GRACE_S = 10.0
STREAM_END_S = 1.0
"""How long connections may take to end once their calls have."""

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
        self._listener: Listener | None = None
        # A session lives as long as its connection, or a call of it that has not noticed the connection's end.
        self._sessions: weakref.WeakSet[PeerSession] = weakref.WeakSet()

    @property
    def address(self) -> str:
        """host:port, with the actual port once started."""
        return self._address

    async def start(self) -> None:
        """Listen; also again after a stop.

        Raises: ServerNotStarted if the address is in use or key and certificate do not fit together.
        """
        listener = Listener(self._make_connection, self._tls.context() if self._tls else None)
        host, _, port = self._address.rpartition(":")
        self._address = f"{host}:{await listener.open(host.strip('[]'), int(port))}"
        self._listener = listener
        log.info("chaincode server listens on %s (%s)", self._address, "TLS" if self._tls else "plain")

    async def stop(self, grace_s: float = DEFAULT_GRACE_S) -> None:
        """Stop: calls in flight may finish for `grace_s` seconds, new ones are answered with status 503."""
        if self._listener is None:
            return
        listener, self._listener = self._listener, None
        for session in self._sessions:
            session.stopping = True
        for connection in listener.connections:
            connection.announce_end()
        listener.stop_accepting()
        calls = {call for session in self._sessions for call in session.calls}
        unfinished = (await asyncio.wait(calls, timeout=grace_s))[1] if calls else set()
        for connection in listener.connections:
            connection.end()
        await listener.close(STREAM_END_S)  # at once when the last connection is closed
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

    def _make_connection(self) -> PeerConnection:
        return PeerConnection(self._open_session)

    def _open_session(self, stream: Stream) -> PeerSession:
        session = PeerSession(stream, self._chaincode_id, self._handler)
        self._sessions.add(session)
        return session


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
