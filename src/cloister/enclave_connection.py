"""A connection to an enclave, as a host and a ledger service have it: whole frames out and in. Untrusted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from cloister.errors import MalformedInput
from cloister.wire.stream import FrameBuffer, wrap_frame


class EnclaveConnection(asyncio.Protocol):
    """Hands each frame to `receive`, in order, and calls `lost` once when the connection is over.

    `receive` may raise MalformedInput: a stream that is not understood is as good as broken. What one turn of the event
    loop has to say leaves in one write.
    """

    def __init__(self, receive: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        self.ended = asyncio.Event()
        self._receive = receive
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._buffer = FrameBuffer()
        self._outgoing: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    def send(self, frame: bytes) -> None:
        """Send a frame; it is dropped if the connection is over. Raises: MalformedInput if it is too long."""
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(wrap_frame(frame))

    def close(self) -> None:
        """Send what is to be sent, if the enclave takes it, and end the connection."""
        self._flush()
        if self._transport is not None:
            self._transport.close()
        self.ended.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._buffer.feed(data):
                self._receive(frame)
        except MalformedInput:
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None
        self.ended.set()
        self._lost()

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if outgoing and self._transport is not None:
            self._transport.write(b"".join(outgoing))


async def connect_to_enclave(
    port: int, receive: Callable[[bytes], None], lost: Callable[[], None]
) -> EnclaveConnection:
    """Connect to 127.0.0.1. Raises: OSError."""
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: EnclaveConnection(receive, lost), "127.0.0.1", port
    )
    return connection
