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
        self._sockets: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._serving: set[asyncio.Task[None]] = set()

    async def open(self, host: str, port: int) -> int:
        """Listen on all addresses of `host`; the actual port. Raises: ServerNotStarted."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, address in sorted({(item[0], str(item[4][0])) for item in found}):
                self._sockets.append(_listening_socket(family, address, port))
                port = self._sockets[0].getsockname()[1]
        except OSError as error:
            self._close_sockets()
            raise ServerNotStarted(
                f"cannot listen on {host}:{port}: {error.strerror}", hint="the port may be in use"
            ) from error
        self._accepting = [loop.create_task(self._accept(item)) for item in self._sockets]
        return port

    async def stop_accepting(self) -> None:
        """Close the listening sockets; connections go on."""
        for task in self._accepting:
            task.cancel()
        if self._accepting:
            await asyncio.wait(self._accepting)
        self._close_sockets()

    async def close(self, timeout_s: float) -> None:
        """Wait until all connections are closed; after `timeout_s` drop them, and those still in their handshake."""
        if self._serving:
            _, late = await asyncio.wait(self._serving, timeout=timeout_s)
            for connection in self.connections:
                connection.abort()
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    def _close_sockets(self) -> None:
        for item in self._sockets:
            item.close()
        self._sockets.clear()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listening)
            except OSError as error:  # no file descriptor left, or a client gone again
                log.warning("connection not accepted: %s", error.strerror)
                await asyncio.sleep(ACCEPT_RETRY_S)
                continue
            if len(self._serving) >= MAX_CONNECTIONS:
                log.warning("connection refused: there are %d already", MAX_CONNECTIONS)
                accepted.close()
                continue
            task = loop.create_task(self._serve(accepted))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    async def _serve(self, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        connection = self._make_connection()
        timeout_s = HANDSHAKE_S if self._tls else None
        try:
            _configure(accepted)
            await loop.connect_accepted_socket(
                lambda: connection, accepted, ssl=self._tls, ssl_handshake_timeout=timeout_s
            )
        except OSError as error:  # those of TLS among them
            log.warning("connection refused: TLS handshake failed (%s)", getattr(error, "reason", "") or "broken off")
            accepted.close()
            return
        self.connections.add(connection)
        try:
            await connection.closed.wait()
        finally:
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
