"""The service's own socket, on loopback, for the organisation's hosts and administrators."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from cloister.errors import CloisterError, EnvironmentFailed, MalformedInput
from cloister.wire.stream import FrameBuffer, wrap_frame

from .messages import REPLIES, REQUESTS, ServiceFailed, ServiceReply, ServiceRequest

_CHUNK_BYTES = 64 * 1024
Answer = Callable[[ServiceRequest], Awaitable[ServiceReply]]
log = logging.getLogger(__name__)


class ControlServer:
    """Answers each request in order; a malformed frame costs its connection, nothing else."""

    def __init__(self, listen: tuple[str, int], answer: Answer) -> None:
        self._listen = listen
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def port(self) -> int:
        """Where it listens; 0 before `start`."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server is not None else 0

    async def start(self) -> None:
        """Raises: EnvironmentFailed if the address is taken."""
        host, port = self._listen
        try:
            self._server = await asyncio.start_server(self._serve, host, port)
        except OSError as error:
            raise EnvironmentFailed(
                f"{host}:{port}: {error.strerror}", hint="is another ledger service running? change [service] listen"
            ) from error

    async def stop(self) -> None:
        """Close the socket and all connections."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        buffer = FrameBuffer()
        try:
            while chunk := await reader.read(_CHUNK_BYTES):
                for frame in buffer.feed(chunk):
                    writer.write(wrap_frame(REPLIES.encode(await self._reply(frame))))
                    await writer.drain()
        except MalformedInput:
            log.warning("a connection sent something that is no request; closed")
        except OSError:
            pass  # the other side is gone
        finally:
            self._writers.discard(writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _reply(self, frame: bytes) -> ServiceReply:
        _, request = REQUESTS.decode(frame)
        try:
            return await self._answer(request)
        except CloisterError as error:
            return ServiceFailed(error.message)
