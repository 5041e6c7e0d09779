"""Listening sockets and the connections accepted on them, of which there are only so many at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable

from .errors import ServerNotStarted
from .transport import PeerConnection

MAX_CONNECTIONS = 128
"""Those in their TLS handshake included. A peer has one."""
HANDSHAKE_S = 10.0
ACCEPT_RETRY_S = 1.0
_KEEPALIVE_S = 60
"""After so long without a packet the kernel asks whether the peer's machine is still there."""

log = logging.getLogger(__name__)


class Listener:
    """Accepts connections and keeps them until they are closed. For one use."""

    def __init__(self, make_connection: Callable[[], PeerConnection], tls: ssl.SSLContext | None) -> None:
        self.connections: set[PeerConnection] = set()
        self._make_connection = make_connection
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._handshakes: set[asyncio.Task[None]] = set()
        self._serving: set[asyncio.Task[None]] = set()  # handshakes too

    async def open(self, host: str, port: int) -> int:
        """Listen on all addresses of `host`; the actual port. Raises: ServerNotStarted."""
        try:
            found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, address in sorted({(item[0], str(item[4][0])) for item in found}):
                self._sockets.append(_listening_socket(family, address, port))
                port = self._sockets[0].getsockname()[1]
        except OSError as error:
            self.stop_accepting()
            raise ServerNotStarted(
                f"cannot listen on {host}:{port}: {error.strerror}", hint="the port may be in use"
            ) from error
        for item in self._sockets:
            self._loop.add_reader(item, self._accept, item)
        return port

    def stop_accepting(self) -> None:
        """Close the listening sockets; connections go on."""
        for item in self._sockets:
            self._loop.remove_reader(item)
            item.close()
        self._sockets.clear()

    async def close(self, timeout_s: float) -> None:
        """Wait until all connections are closed; after `timeout_s` drop them, and those still in their handshake."""
        if self._serving:
            _, late = await asyncio.wait(self._serving, timeout=timeout_s)
            for connection in self.connections:
                connection.abort()
            for task in self._handshakes:
                task.cancel()
            if late:
                await asyncio.wait(late)

    def _accept(self, listening: socket.socket) -> None:
        """Take one connection. Not `sock_accept`: cancelled at the wrong moment, that leaves what it took open."""
        try:
            accepted, _ = listening.accept()
        except (BlockingIOError, ConnectionError):  # a client gone again
            return
        except OSError as error:  # no file descriptor left
            log.warning("connection not accepted: %s", error.strerror)
            self._loop.remove_reader(listening)
            self._loop.call_later(ACCEPT_RETRY_S, self._accept_again, listening)
            return
        if len(self._serving) >= MAX_CONNECTIONS:
            log.warning("connection refused: there are %d already", MAX_CONNECTIONS)
            accepted.close()
            return
        task = self._loop.create_task(self._serve(accepted))
        for tasks in (self._handshakes, self._serving):
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        task.add_done_callback(lambda _: accepted.close())  # cancelled before its first step, nothing else does

    def _accept_again(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            self._loop.add_reader(listening, self._accept, listening)

    async def _serve(self, accepted: socket.socket) -> None:
        connection = self._make_connection()
        timeout_s = HANDSHAKE_S if self._tls else None
        try:
            _configure(accepted)
            await self._loop.connect_accepted_socket(
                lambda: connection, accepted, ssl=self._tls, ssl_handshake_timeout=timeout_s
            )
        except OSError as error:  # those of TLS among them
            log.warning("connection refused: TLS handshake failed (%s)", getattr(error, "reason", "") or "broken off")
            return
        finally:
            self._handshakes.difference_update({asyncio.current_task()})
        self.connections.add(connection)
        await connection.closed.wait()
        self.connections.discard(connection)


def _listening_socket(family: int, address: str, port: int) -> socket.socket:
    both = address == "::" and socket.has_dualstack_ipv6()
    listening = socket.create_server((address, port), family=family, dualstack_ipv6=both)
    listening.setblocking(False)
    return listening


def _configure(accepted: socket.socket) -> None:
    accepted.setblocking(False)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does so only for sockets it made itself
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    with contextlib.suppress(AttributeError):  # not every system can be told when
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_S)
