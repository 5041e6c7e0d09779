"""Clients of the server's HTTP/2 half: the client side of `h2`, which checks what it is sent."""

from __future__ import annotations

import asyncio
import ssl
import struct
from typing import Self, TypeVar

from fabric_protos.peer.chaincode_shim_pb2 import ChaincodeMessage
from h2 import events as http2
from h2.config import H2Configuration
from h2.connection import H2Connection

from cloister.contract.server.grpc_connection import Event, GrpcConnection, MessageReceived

_ACCEPTED = (ChaincodeMessage.REGISTERED, ChaincodeMessage.READY)
E = TypeVar("E", bound=http2.Event)

CALL = [
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "localhost"),
    (":path", "/protos.Chaincode/Connect"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]
"""Headers of a call that is accepted."""


def prefixed(message: bytes, flags: int = 0) -> bytes:
    """A message as gRPC puts it on a stream."""
    return struct.pack(">BI", flags, len(message)) + message


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """An HTTP/2 frame, whatever is in it."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream_id) + payload


class Http2Client:
    """Client and server without a network, and what each of them has seen."""

    def __init__(self, max_message_bytes: int = 100 << 20) -> None:
        self.server = GrpcConnection(max_message_bytes)
        self.http2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.http2.initiate_connection()
        self.seen: list[Event] = []
        self.received: list[http2.Event] = []
        self.exchange()

    @property
    def messages(self) -> list[bytes]:
        """What the server took from the client, of all streams."""
        return [event.message for event in self.seen if isinstance(event, MessageReceived)]

    def exchange(self, *, reads: bool = True) -> None:
        """Carry bytes both ways until neither side has any; if the client `reads`, it gives credit for them."""
        busy = True
        while busy:
            sent = self.http2.data_to_send()
            if sent:
                self.seen += self.server.receive(sent)
            answered = self.server.output()
            if answered:
                self._receive(answered, reads=reads)
            busy = bool(sent or answered)

    def call(self, headers: list[tuple[str, str]] | None = None, *, ends: bool = False) -> int:
        """Begin a call; its stream id."""
        stream_id = self.http2.get_next_available_stream_id()
        self.http2.send_headers(stream_id, headers or CALL, end_stream=ends)
        self.exchange()
        return stream_id

    def send(self, stream_id: int, data: bytes, *, reads: bool = True) -> int:
        """Send bytes on a stream for as long as there is credit. Returns how many."""
        sent = 0
        while sent < len(data):
            size = min(self.http2.local_flow_control_window(stream_id), self.http2.max_outbound_frame_size)
            if not size:
                break
            self.http2.send_data(stream_id, data[sent : sent + size])
            sent += len(data[sent : sent + size])
            self.exchange(reads=reads)
        return sent

    def data(self, stream_id: int) -> bytes:
        """What the client has received on a stream."""
        return b"".join(
            event.data or b""
            for event in self.received
            if isinstance(event, http2.DataReceived) and event.stream_id == stream_id
        )

    def headers(self, stream_id: int) -> dict[str, str]:
        """Headers and trailers that the client has received on a stream."""
        found: dict[str, str] = {}
        for event in self.received:
            if isinstance(event, http2.ResponseReceived | http2.TrailersReceived) and event.stream_id == stream_id:
                found |= {str(name): str(value) for name, value in event.headers or ()}
        return found

    def got(self, kind: type[http2.Event]) -> list[http2.Event]:
        """The client's events of one kind."""
        return [event for event in self.received if isinstance(event, kind)]

    def read(self) -> None:
        """Give credit for everything that was received without."""
        for event in self.got(http2.DataReceived):
            assert isinstance(event, http2.DataReceived)
            self._give_credit(event)
        self.exchange()

    def _receive(self, data: bytes, *, reads: bool) -> None:
        events = self.http2.receive_data(data)
        self.received += events
        for event in events:
            if reads and isinstance(event, http2.DataReceived):
                self._give_credit(event)

    def _give_credit(self, event: http2.DataReceived) -> None:
        self.http2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)


class SocketClient:
    """A client on a real connection, which does with it what peers do not."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.http2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.http2.initiate_connection()
        self.reader = reader
        self.writer = writer
        self._events: list[http2.Event] = []

    @classmethod
    async def dial(cls, address: str, tls: ssl.SSLContext | None = None) -> Self:
        host, _, port = address.rpartition(":")
        client = cls(*await asyncio.open_connection(host, int(port), ssl=tls))
        client.write()
        return client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    def call(self) -> int:
        """Begin a call; its stream id."""
        stream_id = self.http2.get_next_available_stream_id()
        self.http2.send_headers(stream_id, CALL)
        self.write()
        return stream_id

    async def register(self) -> int:
        """Begin a stream and accept the chaincode's registration; its id."""
        stream_id = self.call()
        await self.next(http2.DataReceived)
        self.send(stream_id, *(ChaincodeMessage(type=kind).SerializeToString() for kind in _ACCEPTED))
        return stream_id

    def send(self, stream_id: int, *messages: bytes) -> None:
        """Send messages that fit into a frame and the window."""
        self.http2.send_data(stream_id, b"".join(map(prefixed, messages)))
        self.write()

    async def message(self) -> bytes:
        """Read the next message, giving credit for it; it must be the only stream's and begin with the next frame."""
        received = bytearray()
        while len(received) < 5 or len(received) < 5 + int.from_bytes(received[1:5]):
            event = await self.next(http2.DataReceived)
            received += event.data or b""
            self.http2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
            self.write()
        return bytes(received[5:])

    def write(self) -> None:
        """Send what `http2` has to send."""
        self.writer.write(self.http2.data_to_send())

    async def next(self, kind: type[E]) -> E:
        """Read up to an event of this kind. Raises: ConnectionError at the connection's end; TimeoutError."""
        async with asyncio.timeout(10):
            while True:
                while self._events:
                    event = self._events.pop(0)
                    if isinstance(event, kind):
                        return event
                data = await self.reader.read(65536)
                if not data:
                    raise ConnectionError("the server ended the connection")
                self._events += self.http2.receive_data(data)
                self.write()

    async def ended(self) -> None:
        """Wait until the server has closed the connection. Raises: TimeoutError."""
        async with asyncio.timeout(10):
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionError:
                return
