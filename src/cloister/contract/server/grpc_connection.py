"""One client's HTTP/2 connection as a gRPC server sees it: bytes and messages in, events and bytes out. No I/O.

HTTP/2 itself is the library `h2`: frames, header compression, states of streams, arithmetic of windows, SETTINGS. Only
the DATA of calls passes it by (`grpc_frames`), and the client's windows for that are counted here. Else here is what
gRPC adds, and limits. Bounded for a connection are: calls at a time and in all (against rapid resets; the client is
told to dial again), header lists, messages and bytes of incomplete ones, length of frames and frames in one read
(`grpc_frames`); by `h2`, CONTINUATION frames of a header block (64). A client that does not read what it asked for can
send no more than its window either (QUEUE_BYTES). A client's GOAWAY ends its calls too, since `h2` takes the
connection for closed then; peers send it only as they hang up.
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
from .grpc_frames import FrameGate, window_update
from .grpc_framing import PREFIX_BYTES, MessageReader, message_prefix
from .grpc_headers import RESPONSE, Headers, Refused, Status, refusal, trailers

MAX_STREAMS = 16
"""Calls at a time. A peer has one."""
MAX_STREAMS_EVER = 1000
MAX_HEADER_LIST_BYTES = 16 * 1024
"""Names, values and 32 bytes for each header (RFC 9113 6.5.2), so that there are never more than 512."""
MAX_PINGS = 64
"""Unanswered at a time; of more, all are answered at once."""
WINDOW_BYTES = 4 * 1024 * 1024
"""Per stream. What is received is taken at once, so that this covers no more than what is under way."""
ACKNOWLEDGE_BYTES = WINDOW_BYTES // 4
QUEUE_BYTES = 16 * 1024 * 1024
"""Unsent messages of a stream, above which nothing that is received on it is acknowledged."""
OUTPUT_BYTES = 256 * 1024
"""DATA per `output`, so that one long message does not hold up everything else."""
MAX_REASON_CHARACTERS = 200

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
    has_length: bool = False
    """Whether the client told how much DATA there is: then h2 sees it, to count."""
    outgoing: bytearray = field(default_factory=bytearray)
    trailers: Headers | None = None
    client_ended: bool = False
    unacknowledged: int = 0
    """Bytes received that the client may not replace by others yet."""
    known_to_h2: int = 0
    """Those of them that h2 has counted, too."""


class GrpcConnection:
    """See the module. After ConnectionViolated, send what `output` still gives and close."""

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._http2 = _server_connection()
        self._gate = FrameGate(self._takes_data)
        self._streams: dict[int, _Stream] = {}
        self._sending: dict[int, _Stream] = {}  # those with something to send
        self._streams_ever = 0
        self._last_stream_id = 0
        self._unacknowledged = 0  # bytes of all streams that h2 has not counted
        self._credit = self._http2.data_to_send()  # frames before those of h2: after the first ones, of windows
        self._own_output = b""  # frames after those of h2
        self._ending = False
        self._terminated = False
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

    @property
    def pings(self) -> int:
        """How many PINGs wait for `answer_pings`."""
        return len(self._gate.pings)

    def receive(self, data: bytes | memoryview) -> list[Event]:
        """Take bytes from the client. Raises: ConnectionViolated, and nothing else for any bytes."""
        events: list[Event] = []
        if self._terminated:
            return events
        try:
            for stream_id, piece in self._gate.admit(data):
                if stream_id:
                    events += self._take_data(stream_id, piece)
                else:
                    events += self._take_frames(piece)
        except H2Error as error:
            self._terminate()
            raise ConnectionViolated(f"client violates HTTP/2: {_reason(error)}") from error
        except ConnectionViolated:
            self._terminate()
            self._http2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            raise
        if self.pings > MAX_PINGS:
            self.answer_pings()
        return events

    def send(self, stream_id: int, message: bytes) -> None:
        """Queue a message; it is dropped if the call is over."""
        stream = self._streams.get(stream_id)
        if stream is not None and stream.trailers is None:
            stream.outgoing += message_prefix(len(message))
            stream.outgoing += message
            self._sending[stream_id] = stream

    def finish(self, stream_id: int, status: Status = Status.OK, text: str = "") -> None:
        """End a call once its queued messages are sent; nothing if it is over."""
        stream = self._streams.get(stream_id)
        if stream is not None and stream.trailers is None:
            stream.trailers = trailers(status, text)
            stream.reader = MessageReader(0)
            self._sending[stream_id] = stream

    def announce_end(self) -> None:
        """Tell the client to make no further calls here; the present ones go on (GOAWAY, RFC 9113 6.8)."""
        if not self._ending:
            self._ending = True
            # By hand, since h2 takes a connection for closed once it has sent a GOAWAY frame.
            self._own_output += GoAwayFrame(last_stream_id=self._last_stream_id).serialize()

    def answer_pings(self) -> None:
        """Answer the PINGs received so far; to be called some milliseconds after them (`grpc_frames` says why)."""
        self._own_output += self._gate.answers()

    def output(self) -> bytes:
        """Bytes for the client, a moderate number at a time: if there are OUTPUT_BYTES, call it again."""
        budget = OUTPUT_BYTES
        while self._sending and budget > 0:
            sent = sum([self._send_frame(*item, budget) for item in list(self._sending.items())])
            if not sent:
                break
            budget -= sent
        data = self._credit + self._http2.data_to_send() + self._own_output
        self._credit = self._own_output = b""
        return data

    def _send_frame(self, stream_id: int, stream: _Stream, budget: int) -> int:
        """Send one DATA frame of a stream, or its trailers after the last one. Returns the number of message bytes."""
        outgoing = stream.outgoing
        size = 0
        if outgoing:
            window = self._http2.local_flow_control_window(stream_id)
            size = max(0, min(len(outgoing), window, self._http2.max_outbound_frame_size, budget))
        if size:
            self._http2.send_data(stream_id, memoryview(outgoing)[:size])
            del outgoing[:size]
            self._acknowledge(stream_id, stream)
        if not outgoing:
            del self._sending[stream_id]
            if stream.trailers is not None:
                del self._streams[stream_id]
                self._answer(stream_id, stream.trailers, client_ended=stream.client_ended)
        return size

    def _answer(self, stream_id: int, headers: Headers, *, client_ended: bool) -> None:
        """Send the last headers of a stream; the client need not send the rest of its own data."""
        self._http2.send_headers(stream_id, headers, end_stream=True)
        if not client_ended:
            self._http2.reset_stream(stream_id, ErrorCodes.NO_ERROR)

    def _acknowledge(self, stream_id: int, stream: _Stream) -> None:
        """Let the client send as much again as was received, unless it does not read what it asked for."""
        if (
            stream.unacknowledged < ACKNOWLEDGE_BYTES
            or len(stream.outgoing) > QUEUE_BYTES
            or stream.trailers is not None
        ):
            return
        if stream.known_to_h2:
            self._http2.acknowledge_received_data(stream.known_to_h2, stream_id)
        if stream.unacknowledged > stream.known_to_h2:
            self._credit += window_update(stream_id, stream.unacknowledged - stream.known_to_h2)
        stream.unacknowledged = stream.known_to_h2 = 0

    def _takes_data(self, stream_id: int) -> bool:
        """Whether this is a call on which the client may still send, and h2 need not count what."""
        stream = self._streams.get(stream_id)
        return stream is not None and not stream.client_ended and not stream.has_length

    def _take_data(self, stream_id: int, data: bytes | memoryview) -> list[Event]:
        """DATA that h2 does not see. What holds a client up is its stream's window, never the connection's."""
        self._unacknowledged += len(data)
        if self._unacknowledged >= ACKNOWLEDGE_BYTES:
            self._credit += window_update(0, self._unacknowledged)
            self._unacknowledged = 0
        stream = self._streams.get(stream_id)
        return [] if stream is None else self._receive_data(stream_id, stream, data, len(data))

    def _take_frames(self, data: bytes | memoryview) -> list[Event]:
        events: list[Event] = []
        if self._terminated:
            return events
        for item in self._http2.receive_data(data):
            handler = self._handlers.get(type(item))
            if handler is not None:
                events += handler(item)
        return events

    def _on_request(self, item: http2.RequestReceived) -> list[Event]:
        self._streams_ever += 1
        try:
            accepted = self._accept(item.stream_id, item.headers, client_ended=item.stream_ended is not None)
        except H2Error:
            accepted = False  # broken off by the client, later in the bytes that h2 has read already
        return [StreamOpened(item.stream_id)] if accepted else []

    def _accept(self, stream_id: int, headers: Headers, *, client_ended: bool) -> bool:
        if self._streams_ever > 2 * MAX_STREAMS_EVER:
            raise ConnectionViolated("client goes on making calls after it was told to dial again")
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
        has_length = any(name == b"content-length" for name, _ in headers)
        self._streams[stream_id] = _Stream(MessageReader(self._max_message_bytes), has_length)
        return True

    def _on_data(self, item: http2.DataReceived) -> list[Event]:
        """DATA that ends its stream, has padding, is counted, or comes for a call that is over."""
        stream_id, size = item.stream_id, item.flow_controlled_length
        stream = self._streams.get(stream_id)
        if stream is None:
            self._http2.acknowledge_received_data(size, stream_id)
            return []
        stream.known_to_h2 += size
        return self._receive_data(stream_id, stream, item.data, size)

    def _receive_data(self, stream_id: int, stream: _Stream, data: bytes | memoryview, size: int) -> list[Event]:
        """`size`: what the client's window counts, padding and all."""
        stream.unacknowledged += size
        if stream.unacknowledged > WINDOW_BYTES:
            raise ConnectionViolated("client sends more than its window allows")
        self._acknowledge(stream_id, stream)
        if stream.trailers is not None:
            return []  # nobody listens any more
        try:
            messages = stream.reader.feed(data)
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
        self._sending.pop(item.stream_id, None)
        return [] if self._streams.pop(item.stream_id, None) is None else [StreamEnded(item.stream_id)]

    def _on_termination(self, _item: http2.ConnectionTerminated) -> list[Event]:
        ended: list[Event] = [StreamEnded(stream_id) for stream_id in self._streams]
        self._terminate()
        return ended

    def _terminate(self) -> None:
        self._terminated = True
        self._streams.clear()
        self._sending.clear()


def _reason(error: H2Error) -> str:
    """What `h2` says, and not too much of what it quotes from the client."""
    return f"{type(error).__name__} {ascii(str(error))[:MAX_REASON_CHARACTERS]}"


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
