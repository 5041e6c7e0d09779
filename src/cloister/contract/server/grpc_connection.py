"""One client's HTTP/2 connection as a gRPC server sees it: bytes in, events out; messages in, bytes out. No I/O, no clock.

HTTP/2 itself is the library `h2`: framing, HPACK, stream states, flow control arithmetic, SETTINGS and PING answers. Here
is what gRPC adds, and the limits. Of a connection are bounded: calls at a time and in all (MAX_STREAMS,
MAX_STREAMS_EVER: against rapid resets, the client is asked to dial again), header lists (MAX_HEADER_LIST_BYTES, at least
32 of them per header; RFC 9113 6.5.2), CONTINUATION frames per header block (64, by `h2`), messages and bytes of
incomplete messages, frames without content per read (MAX_IDLE_FRAMES). What a client does not read is bounded by what
the server's calls produce: of a stream with much unsent output no more input is taken (QUEUE_BYTES).
Source: RFC 9113; gRPC's PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from h2 import events as http2
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

from .errors import ConnectionViolated
from .grpc_framing import PREFIX_BYTES, MessageReader, message_prefix
from .grpc_headers import RESPONSE, Headers, Refused, Status, refusal, trailers

MAX_STREAMS = 16
"""At a time. A peer has one."""
MAX_STREAMS_EVER = 1000
MAX_HEADER_LIST_BYTES = 16 * 1024
MAX_IDLE_FRAMES = 512
"""PING, SETTINGS, PRIORITY, empty and unknown frames in one `receive`."""
WINDOW_BYTES = 4 * 1024 * 1024
"""Per stream; what is received is taken at once, so that this only covers what is under way."""
QUEUE_BYTES = 16 * 1024 * 1024
OUTPUT_BYTES = 256 * 1024
"""DATA per `output`, so that one long message does not hold up everything else."""

_LARGEST_WINDOW = 2**31 - 1
_DEFAULT_WINDOW = 65535


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """A client calls `Connect`."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """One whole message of a stream."""

    stream_id: int
    message: bytes


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The client sends no more, or broke the call off, or the call was refused; may come twice for one stream."""

    stream_id: int


Event = StreamOpened | MessageReceived | StreamEnded


@dataclass(slots=True)
class _Stream:
    reader: MessageReader
    outgoing: bytearray = field(default_factory=bytearray)
    trailers: Headers | None = None
    client_ended: bool = False
    withheld: int = 0
    """Bytes received that the client must not yet replace by others."""


class GrpcConnection:
    """See the module. After ConnectionViolated, send what `output` still gives and close."""

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._http2 = _server_connection()
        self._streams: dict[int, _Stream] = {}
        self._streams_ever = 0
        self._last_stream_id = 0
        self._farewell = b""
        self._ending = False
        self._terminated = False
        self._idle_frames = 0  # in the present `receive`
        self._handlers: dict[type[http2.Event], Callable[[Any], list[Event]]] = {
            http2.DataReceived: self._on_data,
            http2.RequestReceived: self._on_request,
            http2.StreamEnded: self._on_end,
            http2.StreamReset: self._on_reset,
            http2.ConnectionTerminated: self._on_termination,
        }

    @property
    def open_streams(self) -> int:
        """Calls that are not over; one whose last bytes are not sent is not."""
        return len(self._streams)

    @property
    def finished(self) -> bool:
        """Whether nothing can happen here any more: the connection is to be closed once all output is sent."""
        return self._terminated or (self._ending and not self._streams)

    def receive(self, data: bytes | memoryview) -> list[Event]:
        """Take bytes from the client. Raises: ConnectionViolated, and nothing else for any bytes."""
        try:
            received = self._http2.receive_data(data)
        except H2Error as error:
            self._terminated = True
            raise ConnectionViolated(f"client violates HTTP/2: {type(error).__name__}") from error
        events: list[Event] = []
        self._idle_frames = 0
        for item in received:
            handler = self._handlers.get(type(item))
            if handler is None:
                self._idle_frames += 1
            else:
                events += handler(item)
        if self._idle_frames > MAX_IDLE_FRAMES or self._streams_ever > 2 * MAX_STREAMS_EVER:
            self._http2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            self._terminated = True
            raise ConnectionViolated("client floods the connection")
        return events

    def send(self, stream_id: int, message: bytes) -> None:
        """Queue a message; it is dropped if the call is over."""
        stream = self._streams.get(stream_id)
        if stream is not None and stream.trailers is None:
            stream.outgoing += message_prefix(len(message))
            stream.outgoing += message

    def finish(self, stream_id: int, status: Status = Status.OK, text: str = "") -> None:
        """End a call once its queued messages are sent; nothing if it is over."""
        stream = self._streams.get(stream_id)
        if stream is not None and stream.trailers is None:
            stream.trailers = trailers(status, text)
            stream.reader = MessageReader(0)

    def announce_end(self) -> None:
        """Tell the client to make no further calls here; the present ones go on (GOAWAY, RFC 9113 6.8)."""
        if not self._ending:
            self._ending = True
            # By hand, since h2 takes a connection for closed once it has sent a GOAWAY frame.
            self._farewell = GoAwayFrame(0, last_stream_id=self._last_stream_id).serialize()

    def output(self) -> bytes:
        """Bytes for the client, a moderate number at a time: call it until there are none."""
        budget = OUTPUT_BYTES
        while budget > 0 and not self._terminated:
            sent = sum([self._send_frame(*item, budget) for item in list(self._streams.items())])
            if not sent:
                break
            budget -= sent
        data, self._farewell = self._http2.data_to_send() + self._farewell, b""
        return data

    def _send_frame(self, stream_id: int, stream: _Stream, budget: int) -> int:
        """Send one DATA frame of a stream, or its trailers after the last one. Returns the number of message bytes."""
        size = len(stream.outgoing)
        if size:
            window = self._http2.local_flow_control_window(stream_id)
            size = max(0, min(size, window, self._http2.max_outbound_frame_size, budget))
        if size:
            self._http2.send_data(stream_id, memoryview(stream.outgoing)[:size])
            del stream.outgoing[:size]
            if stream.withheld and len(stream.outgoing) <= QUEUE_BYTES:
                self._acknowledge(stream_id, stream, 0)
        if stream.trailers is not None and not stream.outgoing:
            del self._streams[stream_id]
            self._answer(stream_id, stream.trailers, client_ended=stream.client_ended)
        return size

    def _answer(self, stream_id: int, headers: Headers, *, client_ended: bool) -> None:
        """Send the last headers of a stream; the client need not send the rest of its own data."""
        self._http2.send_headers(stream_id, headers, end_stream=True)
        if not client_ended:
            self._http2.reset_stream(stream_id, ErrorCodes.NO_ERROR)

    def _acknowledge(self, stream_id: int, stream: _Stream, size: int) -> None:
        """Let the client send as much again as was received, unless it does not read what it asked for."""
        stream.withheld += size
        if len(stream.outgoing) <= QUEUE_BYTES:
            self._http2.acknowledge_received_data(stream.withheld, stream_id)
            stream.withheld = 0

    def _on_request(self, item: http2.RequestReceived) -> list[Event]:
        self._streams_ever += 1
        try:
            accepted = self._accept(item.stream_id, item.headers, client_ended=item.stream_ended is not None)
        except H2Error:
            accepted = False  # broken off by the client, later in the bytes that h2 has read already
        return [StreamOpened(item.stream_id)] if accepted else []

    def _accept(self, stream_id: int, headers: Headers, *, client_ended: bool) -> bool:
        if self._ending:
            self._http2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
            return False
        self._last_stream_id = stream_id
        if self._streams_ever >= MAX_STREAMS_EVER:
            self.announce_end()
        answer = refusal(headers)
        if answer is not None:
            self._answer(stream_id, answer, client_ended=client_ended)
            return False
        self._http2.send_headers(stream_id, RESPONSE)
        self._streams[stream_id] = _Stream(MessageReader(self._max_message_bytes))
        return True

    def _on_data(self, item: http2.DataReceived) -> list[Event]:
        stream_id, size = item.stream_id, item.flow_controlled_length
        stream = self._streams.get(stream_id)
        if stream is None:
            self._http2.acknowledge_received_data(size, stream_id)
            return []
        self._acknowledge(stream_id, stream, size)
        self._idle_frames += not item.data
        if stream.trailers is not None:
            return []  # nobody listens any more
        try:
            messages = stream.reader.feed(item.data)
            self._check_incomplete(stream)
        except Refused as refused:
            self.finish(stream_id, refused.status, refused.text)
            return [StreamEnded(stream_id)]
        return [MessageReceived(stream_id, message) for message in messages]

    def _check_incomplete(self, stream: _Stream) -> None:
        if stream.reader.buffered:
            incomplete = sum(other.reader.buffered for other in self._streams.values())
            if incomplete > 2 * (self._max_message_bytes + PREFIX_BYTES):
                raise Refused(Status.RESOURCE_EXHAUSTED, "too many large messages at a time on one connection")

    def _on_end(self, item: http2.StreamEnded) -> list[Event]:
        stream = self._streams.get(item.stream_id)
        if stream is None:
            return []
        stream.client_ended = True
        if stream.reader.buffered:
            self.finish(item.stream_id, Status.INTERNAL, "message cut off")
        return [StreamEnded(item.stream_id)]

    def _on_reset(self, item: http2.StreamReset) -> list[Event]:
        return [] if self._streams.pop(item.stream_id, None) is None else [StreamEnded(item.stream_id)]

    def _on_termination(self, _item: http2.ConnectionTerminated) -> list[Event]:
        self._terminated = True
        ended: list[Event] = [StreamEnded(stream_id) for stream_id in self._streams]
        self._streams.clear()
        return ended


def _server_connection() -> H2Connection:
    connection = H2Connection(H2Configuration(client_side=False, header_encoding=None))
    # As initial values they hold at once; given by `update_settings` only from the client's acknowledgement on.
    connection.local_settings = Settings(
        client=False,
        initial_values={
            SettingCodes.INITIAL_WINDOW_SIZE: WINDOW_BYTES,
            SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
            SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEADER_LIST_BYTES,
        },
    )
    connection.decoder.max_header_list_size = MAX_HEADER_LIST_BYTES
    connection.initiate_connection()
    # Streams bound what is under way; together they never fill the connection's own window.
    connection.increment_flow_control_window(_LARGEST_WINDOW - _DEFAULT_WINDOW)
    return connection
