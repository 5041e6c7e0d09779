"""One client's connection on an event loop: a socket, the gRPC connection on it, a session for each of its streams.

Everything that one turn of the loop wants to send goes out in one write. While the socket takes no more, nothing is
read; the windows of HTTP/2 bound each stream apart from that (`grpc_connection`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import cast

from .errors import ConnectionViolated, StreamViolated
from .grpc_connection import OUTPUT_BYTES, Event, GrpcConnection, MessageReceived, StreamOpened
from .grpc_headers import Status
from .session import PeerSession
from .stream import MAX_MESSAGE_BYTES

READ_BYTES = 64 * 1024
IDLE_S = 30.0
"""How long a connection may be without a call, from its beginning on."""
PING_DELAY_S = 0.05
"""Until PINGs are answered (`grpc_frames` says why). Peers take a connection for dead after 20 s."""

OpenSession = Callable[["Stream"], PeerSession]

log = logging.getLogger(__name__)


class PeerConnection(asyncio.BufferedProtocol):
    """Serves one connection. `closed` is set when it is over."""

    def __init__(self, open_session: OpenSession) -> None:
        self.closed = asyncio.Event()
        self._open_session = open_session
        self._loop = asyncio.get_running_loop()
        self._grpc = GrpcConnection(MAX_MESSAGE_BYTES)
        self._sessions: dict[int, PeerSession] = {}
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._transport: asyncio.Transport | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._answering: asyncio.TimerHandle | None = None
        self._flush_due = False
        self._write_blocked = False

    def announce_end(self) -> None:
        """Tell the client to make no further calls here; close once there are none."""
        self._grpc.announce_end()
        self.flush_soon()

    def end(self) -> None:
        """End all calls and, once everything is sent, the connection."""
        self.announce_end()
        for session in self._sessions.values():
            session.end()

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # What the session's streams need

    def send(self, stream_id: int, message: bytes) -> None:
        """Queue a message of a stream."""
        self._grpc.send(stream_id, message)
        self.flush_soon()

    def finish(self, stream_id: int, status: Status, text: str) -> None:
        """End a stream after its queued messages."""
        self._grpc.finish(stream_id, status, text)
        self.flush_soon()

    def flush_soon(self) -> None:
        """Write at the end of this turn of the loop, after the tasks that are due have run."""
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            log.warning("connection refused: the client does not offer HTTP/2 (ALPN h2)")
            self._transport.abort()
            return
        self._watch_idle()
        self._flush()

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        try:
            events = self._grpc.receive(self._buffer[:nbytes])
        except ConnectionViolated as violation:
            log.warning("connection ended: %s", violation.message)
            self._flush()
            return
        for event in events:
            self._handle(event)
        if self._answering is None and self._grpc.pings:
            self._answering = self._loop.call_later(PING_DELAY_S, self._answer_pings)
        self.flush_soon()

    def eof_received(self) -> None:
        """Close the connection, as asyncio does by itself."""

    def pause_writing(self) -> None:
        self._write_blocked = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._write_blocked = False
        if self._transport is not None:
            self._transport.resume_reading()
        self.flush_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        for timer in (self._idle, self._answering):
            if timer is not None:
                timer.cancel()
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
        self.closed.set()

    def _handle(self, event: Event) -> None:
        session = self._sessions.get(event.stream_id)
        if isinstance(event, MessageReceived):
            if session is not None:
                self._pass_on(session, event)
        elif isinstance(event, StreamOpened):
            session = self._open_session(Stream(self, event.stream_id))
            self._sessions[event.stream_id] = session
            session.start()
            self._watch_idle()
        else:
            self._grpc.finish(event.stream_id)
            self._drop(event.stream_id)

    def _pass_on(self, session: PeerSession, event: MessageReceived) -> None:
        try:
            session.receive(event.message)
        except StreamViolated as violation:
            log.warning("stream ended: %s", violation.message)
            self._grpc.finish(event.stream_id, Status.INVALID_ARGUMENT, violation.message)
            self._drop(event.stream_id)

    def _drop(self, stream_id: int) -> None:
        session = self._sessions.pop(stream_id, None)
        if session is not None:
            session.close()

    def _flush(self) -> None:
        self._flush_due = False
        transport = self._transport
        if transport is None or transport.is_closing() or self._write_blocked:
            return
        data = self._grpc.output()
        if data:
            transport.write(data)
        if len(data) >= OUTPUT_BYTES:
            self.flush_soon()
        elif self._grpc.finished:
            transport.close()
        elif not self._grpc.open_streams and self._idle is None:
            self._watch_idle()

    def _answer_pings(self) -> None:
        self._answering = None
        self._grpc.answer_pings()
        self._flush()

    def _watch_idle(self) -> None:
        """Start the timer if there is no call, else stop it."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if not self._grpc.open_streams:
            self._idle = self._loop.call_later(IDLE_S, self.announce_end)


class Stream:
    """A session's stream: its way out."""

    __slots__ = ("_connection", "_stream_id")

    def __init__(self, connection: PeerConnection, stream_id: int) -> None:
        self._connection = connection
        self._stream_id = stream_id

    def send(self, message: bytes) -> None:
        """Queue a message; it is dropped if the stream is over."""
        self._connection.send(self._stream_id, message)

    def finish(self, status: Status = Status.OK, text: str = "") -> None:
        """End the stream after its queued messages."""
        self._connection.finish(self._stream_id, status, text)
