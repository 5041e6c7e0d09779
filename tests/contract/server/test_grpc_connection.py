from __future__ import annotations

import struct

import pytest
from h2 import events as http2
from h2.errors import ErrorCodes
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.contract.server.errors import ConnectionViolated
from cloister.contract.server.grpc_connection import (
    ACKNOWLEDGE_BYTES,
    MAX_HEADER_LIST_BYTES,
    MAX_PINGS,
    MAX_STREAMS,
    MAX_STREAMS_EVER,
    QUEUE_BYTES,
    WINDOW_BYTES,
    GrpcConnection,
    MessageReceived,
    StreamEnded,
    StreamOpened,
)
from cloister.contract.server.grpc_headers import Status
from support.http2_client import CALL, Http2Client, frame, prefixed

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = frame(4, 0, 0, b"")
DATA, HEADERS, PRIORITY, RST_STREAM, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 5, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4


def headers_frame(stream_id: int, headers: list[tuple[str, str]] = CALL, flags: int = END_HEADERS) -> bytes:
    return frame(HEADERS, flags, stream_id, Encoder().encode(headers))


def test_a_call_passes_messages_both_ways_and_ends_with_its_status() -> None:
    client = Http2Client()
    stream = client.call()
    client.send(stream, prefixed(b"one") + prefixed(b"") + prefixed(b"three"))
    client.server.send(stream, b"answer")
    client.server.finish(stream)
    client.server.send(stream, b"too late")
    client.exchange()
    assert client.seen == [StreamOpened(stream), *(MessageReceived(stream, item) for item in (b"one", b"", b"three"))]
    assert client.data(stream) == prefixed(b"answer")
    headers = client.headers(stream)
    assert (headers[":status"], headers["content-type"], headers["grpc-status"]) == ("200", "application/grpc", "0")
    assert "grpc-message" not in headers
    assert client.server.open_streams == 0


def test_a_client_that_ends_its_half_still_gets_answers() -> None:
    client = Http2Client()
    stream = client.call(ends=True)
    assert client.seen == [StreamOpened(stream), StreamEnded(stream)]
    client.server.send(stream, b"answer")
    client.server.finish(stream)
    client.exchange()
    assert client.data(stream) == prefixed(b"answer")
    assert client.headers(stream)["grpc-status"] == "0"
    assert not client.got(http2.StreamReset)


def test_messages_far_larger_than_the_windows_pass_both_ways() -> None:
    client = Http2Client()
    stream = client.call()
    message = bytes(range(256)) * (40 << 10)
    assert client.send(stream, prefixed(message)) == len(message) + 5
    client.server.send(stream, message)
    client.exchange()
    assert client.messages == [message]
    assert client.data(stream) == prefixed(message)


def test_no_more_is_sent_than_the_client_s_window_and_the_rest_once_it_reads() -> None:
    client = Http2Client()
    stream = client.call()
    client.server.send(stream, bytes(200_000))
    client.server.finish(stream)
    client.exchange(reads=False)
    assert len(client.data(stream)) == 65535
    assert "grpc-status" not in client.headers(stream)
    client.read()
    assert client.data(stream) == prefixed(bytes(200_000))
    assert client.headers(stream)["grpc-status"] == "0"


def test_a_stream_that_is_not_read_does_not_hold_up_another() -> None:
    client = Http2Client()
    client.http2.increment_flow_control_window(1 << 20)
    stuck, other = client.call(), client.call()
    client.server.send(stuck, bytes(200_000))
    client.exchange(reads=False)
    client.server.send(other, b"answer")
    client.exchange(reads=False)
    assert client.data(other) == prefixed(b"answer")


def test_a_client_that_does_not_read_what_it_asked_for_cannot_go_on_asking() -> None:
    client = Http2Client()
    stream = client.call()
    client.server.send(stream, bytes(QUEUE_BYTES + WINDOW_BYTES))
    request = prefixed(bytes(2 * WINDOW_BYTES))
    sent = client.send(stream, request, reads=False)
    assert sent <= WINDOW_BYTES
    client.read()  # now it reads: there is credit again, for all of it
    assert client.send(stream, request[sent:]) == len(request) - sent
    assert len(client.messages) == 1


@pytest.mark.parametrize("padding", [None, 100], ids=["bare", "padded"])
def test_a_client_gets_credit_for_what_the_server_took_and_is_refused_beyond_it(padding: int | None) -> None:
    client = Http2Client()
    stream = client.call()
    message = prefixed(bytes(10_000 - 5))
    for _ in range(3 * WINDOW_BYTES // len(message)):  # the client's half of h2 refuses to send without credit
        client.http2.send_data(stream, message, pad_length=padding)
        client.exchange()
    client.server.send(stream, bytes(QUEUE_BYTES + WINDOW_BYTES))  # never read: no more credit from here on
    more = frame(DATA, 0, stream, message) if padding is None else frame(DATA, 8, stream, b"\0" + message)
    with pytest.raises(ConnectionViolated, match=r"window|FlowControlError"):
        list(map(client.server.receive, [more] * (2 * WINDOW_BYTES // len(message))))


def test_the_last_message_may_come_with_the_end_of_its_half() -> None:
    client = Http2Client()
    stream = client.call()
    client.send(stream, prefixed(b"first"))
    client.http2.send_data(stream, prefixed(b"last"), end_stream=True)
    client.exchange()
    assert client.messages == [b"first", b"last"]
    assert client.seen[-1] == StreamEnded(stream)
    assert client.server.receive(frame(DATA, 0, stream, prefixed(b"too late"))) == [StreamEnded(stream)]


@pytest.mark.parametrize("short", [0, 1], ids=["true", "untrue"])
def test_a_length_that_a_client_tells_beforehand_counts_all_data(short: int) -> None:
    client = Http2Client()
    messages = prefixed(b"first"), prefixed(b"last")
    stream = client.call([*CALL, ("content-length", str(sum(map(len, messages)) - short))])
    assert client.server.receive(frame(DATA, 0, stream, messages[0])) == [MessageReceived(stream, b"first")]
    last = frame(DATA, END_STREAM, stream, messages[1])
    if short:
        with pytest.raises(ConnectionViolated, match="InvalidBodyLength"):
            client.server.receive(last)
    else:
        assert client.server.receive(last) == [MessageReceived(stream, b"last"), StreamEnded(stream)]


def test_what_comes_for_a_call_that_was_ended_meanwhile_is_passed_over() -> None:
    client = Http2Client()
    stream, other = client.call(), client.call()
    whole = frame(DATA, 0, stream, prefixed(b"message"))
    client.server.receive(whole[:-3])
    client.server.finish(stream)
    client.server.output()
    assert client.server.receive(whole[-3:] + frame(DATA, 0, other, prefixed(b"other"))) == [
        MessageReceived(other, b"other")
    ]


def test_nothing_is_said_of_a_stream_after_its_end() -> None:
    client = Http2Client()
    stream = client.call()
    message = frame(DATA, 0, stream, prefixed(bytes(16379)))
    client.server.receive(message * (ACKNOWLEDGE_BYTES // 16384))
    client.server.finish(stream)
    sent = _frames(client.server.output())
    kinds = [kind for kind, stream_id in sent if stream_id == stream]
    assert kinds == [WINDOW_UPDATE, HEADERS, RST_STREAM]


def _frames(output: bytes) -> list[tuple[int, int]]:
    """Kind and stream of each frame."""
    found = []
    while output:
        found.append((output[3], int.from_bytes(output[5:9])))
        output = output[9 + int.from_bytes(output[:3]) :]
    return found


def replaced(name: str, value: str | None) -> list[tuple[str, str]]:
    """A call's headers with another value for one, or without it."""
    return [(key, new) for key, old in CALL if (new := value if key == name else old) is not None]


@pytest.mark.parametrize(
    ("name", "value", "status", "grpc_status"),
    [
        (":path", "/protos.Chaincode/Other", "200", "12"),
        (":path", "/protos.ChaincodeSupport/Register", "200", "12"),
        (":method", "GET", "405", None),
        ("content-type", "application/json", "415", None),
        ("content-type", "application/grpc+json", "415", None),
        ("content-type", None, "415", None),
        ("te", None, "400", None),
    ],
)
def test_requests_that_are_no_call_are_refused_and_the_connection_goes_on(
    name: str, value: str | None, status: str, grpc_status: str | None
) -> None:
    client = Http2Client()
    refused = client.call(replaced(name, value))
    headers = client.headers(refused)
    assert (headers[":status"], headers.get("grpc-status")) == (status, grpc_status)
    assert client.seen == []
    assert client.call(replaced("content-type", "application/grpc+proto; charset=x")) == refused + 2
    assert client.seen == [StreamOpened(refused + 2)]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (prefixed(b"compressed", flags=1), Status.UNIMPLEMENTED),
        (prefixed(b"m", flags=2), Status.INTERNAL),
        (struct.pack(">BI", 0, 1001), Status.RESOURCE_EXHAUSTED),
        (struct.pack(">BI", 0, 2**32 - 1), Status.RESOURCE_EXHAUSTED),
    ],
)
def test_messages_that_cannot_be_taken_end_their_stream_alone(sent: bytes, status: Status) -> None:
    client = Http2Client(max_message_bytes=1000)
    stream, other = client.call(), client.call()
    client.send(stream, sent)
    assert client.headers(stream)["grpc-status"] == str(int(status))
    assert client.headers(stream)["grpc-accept-encoding"] == "identity"
    client.send(other, prefixed(bytes(1000)))
    assert client.seen[-2:] == [StreamEnded(stream), MessageReceived(other, bytes(1000))]


def test_a_message_cut_off_by_the_end_of_its_stream_is_an_error() -> None:
    client = Http2Client()
    stream = client.call()
    client.send(stream, prefixed(b"message")[:-1])
    client.http2.end_stream(stream)
    client.exchange()
    assert client.headers(stream)["grpc-status"] == str(int(Status.INTERNAL))
    assert client.messages == []


def test_incomplete_messages_of_a_connection_are_bounded_together() -> None:
    client = Http2Client(max_message_bytes=1000)
    for _ in range(2):
        client.send(client.call(), prefixed(bytes(1000))[:-1])
    third = client.call()
    client.send(third, prefixed(bytes(1000))[:-1])
    assert client.headers(third)["grpc-status"] == str(int(Status.RESOURCE_EXHAUSTED))


@pytest.mark.parametrize("status_text", ["", "plain text", "100 % \u00e4 \U0001f600\n", "x" * 5000])
def test_a_status_carries_its_text(status_text: str) -> None:
    client = Http2Client()
    stream = client.call()
    client.server.finish(stream, Status.INVALID_ARGUMENT, status_text)
    client.exchange()
    headers = client.headers(stream)
    assert headers["grpc-status"] == "3"
    assert headers.get("grpc-message", "").isascii()
    assert len(headers.get("grpc-message", "")) <= 3000


def test_a_call_broken_off_by_the_client_ends_once() -> None:
    client = Http2Client()
    stream = client.call()
    client.server.send(stream, bytes(1 << 20))
    client.http2.reset_stream(stream, ErrorCodes.CANCEL)
    client.exchange()
    assert client.seen == [StreamOpened(stream), StreamEnded(stream)]
    client.server.send(stream, b"nobody")
    client.server.finish(stream)
    client.exchange()
    assert client.server.open_streams == 0


def test_a_call_broken_off_in_the_same_bytes_is_none() -> None:
    client = Http2Client()
    reset = frame(RST_STREAM, 0, 1, struct.pack(">I", 8))
    assert StreamOpened(1) not in client.server.receive(headers_frame(1) + reset)
    assert client.server.open_streams == 0
    assert client.server.receive(headers_frame(3)) == [StreamOpened(3)]


def test_pings_are_answered_when_asked_for_and_a_flood_at_once() -> None:
    client = Http2Client()
    client.http2.ping(b"12345678")
    client.exchange()
    assert not client.got(http2.PingAckReceived)
    client.server.answer_pings()
    client.exchange()
    (answer,) = client.got(http2.PingAckReceived)
    assert isinstance(answer, http2.PingAckReceived)
    assert answer.ping_data == b"12345678"
    for number in range(MAX_PINGS + 1):
        client.http2.ping(number.to_bytes(8))
    client.exchange()
    assert (client.server.pings, len(client.got(http2.PingAckReceived))) == (0, MAX_PINGS + 2)


def test_after_the_announced_end_present_calls_go_on_and_new_ones_do_not() -> None:
    client = Http2Client()
    stream = client.call()
    client.server.announce_end()
    (goaway,) = _goaways(client.server.output())
    assert goaway == (stream, ErrorCodes.NO_ERROR)
    assert client.server.receive(headers_frame(3)) == []
    assert frame(RST_STREAM, 0, 3, struct.pack(">I", ErrorCodes.REFUSED_STREAM)) in client.server.output()
    assert client.server.receive(frame(DATA, 0, stream, prefixed(b"more"))) == [MessageReceived(stream, b"more")]
    assert not client.server.finished
    client.server.finish(stream)
    client.server.output()
    assert client.server.finished


def _goaways(output: bytes) -> list[tuple[int, int]]:
    """Last stream id and error code of each GOAWAY."""
    found = []
    while output:
        length, kind = int.from_bytes(output[:3]), output[3]
        if kind == GOAWAY:
            found.append(struct.unpack(">II", output[9:17]))
        output = output[9 + length :]
    return found


def test_a_client_that_hangs_up_ends_its_calls() -> None:
    client = Http2Client()
    stream = client.call()
    client.http2.close_connection()
    client.exchange()
    assert client.seen[-1] == StreamEnded(stream)
    assert client.server.finished


def test_rapid_resets_are_told_to_dial_again_and_then_refused() -> None:
    client = Http2Client()
    reset = struct.pack(">I", 8)
    for number in range(MAX_STREAMS_EVER):
        client.server.receive(headers_frame(2 * number + 1))
        client.server.receive(frame(RST_STREAM, 0, 2 * number + 1, reset))
    assert _goaways(client.server.output()) == [(2 * MAX_STREAMS_EVER - 1, ErrorCodes.NO_ERROR)]
    for number in range(MAX_STREAMS_EVER, 2 * MAX_STREAMS_EVER):
        client.server.receive(headers_frame(2 * number + 1))
    with pytest.raises(ConnectionViolated, match="goes on making calls"):
        client.server.receive(headers_frame(4 * MAX_STREAMS_EVER + 1))


def test_calls_at_a_time_are_bounded() -> None:
    client = Http2Client()
    for _ in range(MAX_STREAMS):
        client.call()
    with pytest.raises(ConnectionViolated, match="TooManyStreams"):
        client.server.receive(headers_frame(2 * MAX_STREAMS + 1))


@pytest.mark.parametrize("size", [MAX_HEADER_LIST_BYTES, 1 << 20])
def test_header_lists_are_bounded(size: int) -> None:
    """Whole or compressed: an entry in the client's table is repeated at one byte each (an HPACK bomb)."""
    encoder = Encoder()
    block = encoder.encode([*CALL, ("x", "v" * 3000)])
    repeated = encoder.encode([("x", "v" * 3000)]) * (size // 3000)
    client = Http2Client()
    with pytest.raises(ConnectionViolated):
        client.server.receive(frame(HEADERS, END_HEADERS, 1, block + repeated))
    assert Http2Client().server.receive(frame(HEADERS, END_HEADERS, 1, block)) == [StreamOpened(1)]


def test_a_flood_of_continuations_is_refused() -> None:
    client = Http2Client()
    begun = frame(HEADERS, 0, 1, b"")
    client.server.receive(begun + 60 * frame(CONTINUATION, 0, 1, b""))
    with pytest.raises(ConnectionViolated, match="continuation"):
        client.server.receive(10 * frame(CONTINUATION, 0, 1, b""))


@pytest.mark.parametrize(
    "sent",
    [
        frame(DATA, 0, 0, b"on no stream"),
        frame(DATA, 0, 1, b"on an idle stream"),
        frame(DATA, 0, 1, bytes(16385))[:9],
        frame(RST_STREAM, 0, 1, bytes(4)),
        frame(RST_STREAM, 0, 0, bytes(4)),
        frame(WINDOW_UPDATE, 0, 0, bytes(4)),
        frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**31 - 1)),
        frame(WINDOW_UPDATE, 0, 1, b"odd"),
        frame(PING, 0, 0, b"short"),
        frame(PING, 0, 1, bytes(8)),
        frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4)),
        frame(CONTINUATION, END_HEADERS, 1, b""),
        frame(4, 0, 0, b"odd"),
        frame(4, 1, 0, bytes(6)),
        frame(4, 0, 0, struct.pack(">HI", 4, 2**31)),
        frame(4, 0, 0, struct.pack(">HI", 5, 1)),
        headers_frame(2),
        frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff"),
        headers_frame(1, [("no", "pseudo headers")]),
        headers_frame(1, [*CALL, ("UPPER", "case")]),
        headers_frame(1, [*CALL, ("content-length", "x")]),
        SETTINGS * 5000,
    ],
    ids=range(22),
)
def test_malformed_frames_end_the_connection_with_a_reason(sent: bytes) -> None:
    client = Http2Client()
    with pytest.raises(ConnectionViolated) as violated:
        client.server.receive(sent)
    assert "\n" not in violated.value.message
    assert violated.value.message.startswith("client ")
    assert client.server.finished
    assert len(_goaways(client.server.output())) == 1
    assert client.server.receive(SETTINGS) == []


stream_ids = st.sampled_from([0, 1, 1, 1, 2, 3, 3, 5, 2**31 - 1, 2**31 + 1])
headers = st.builds(
    lambda name, value: Encoder().encode(replaced(name, value)),
    st.sampled_from([name for name, _ in CALL] + ["x"]),
    st.none() | st.sampled_from([value for _, value in CALL]) | st.text("aA\x00 :/", max_size=5),
)
numbers = st.sampled_from([0, 1, 8, 100, 2**31 - 1, 2**31, 2**32 - 1]).map(lambda number: struct.pack(">I", number))
settings_payload = st.builds(struct.pack, st.just(">HI"), st.integers(0, 9), st.sampled_from([0, 1, 16384, 2**31 - 1]))
messages = st.builds(prefixed, st.binary(max_size=40), st.sampled_from([0, 0, 0, 1, 255]))
payloads = (
    st.binary(max_size=30) | headers | numbers | settings_payload | messages | messages.map(lambda item: item[:7])
)
frames = st.builds(frame, st.integers(0, 11), st.sampled_from([0, 1, 4, 5, 8, 0x20, 0x2D, 255]), stream_ids, payloads)
likely = (
    st.builds(lambda stream_id, block, flags: frame(HEADERS, flags, stream_id, block), stream_ids, headers, st.just(4))
    | st.builds(headers_frame, stream_ids)
    | st.builds(lambda stream_id, message: frame(DATA, 0, stream_id, message), stream_ids, messages)
    | st.builds(lambda stream_id, number: frame(RST_STREAM, 0, stream_id, number), stream_ids, numbers)
    | st.builds(lambda stream_id, number: frame(WINDOW_UPDATE, 0, stream_id, number), stream_ids, numbers)
    | st.builds(lambda payload: frame(4, 0, 0, payload), settings_payload)
)
answers = st.tuples(st.sampled_from(["send", "finish", "announce_end", "pings"]), st.sampled_from([1, 3, 5]))


@settings(max_examples=300, deadline=None)
@given(st.lists(frames | likely | st.binary(max_size=20) | answers, max_size=20), st.integers(1, 60))
def test_no_bytes_do_anything_but_work_or_violate(sent: list[bytes | tuple[str, int]], chunk: int) -> None:
    server = GrpcConnection(100)
    server.receive(PREFACE + SETTINGS)
    opened: set[int] = set()
    for item in sent:
        if isinstance(item, tuple):
            _act(server, *item)
            continue
        try:
            for start in range(0, len(item), chunk):
                for event in server.receive(item[start : start + chunk]):
                    assert isinstance(event, StreamOpened) == (event.stream_id not in opened)
                    opened.add(event.stream_id)
        except ConnectionViolated:
            assert server.finished
            assert server.open_streams == 0
        assert server.open_streams <= MAX_STREAMS
        server.output()


def _act(server: GrpcConnection, action: str, stream_id: int) -> None:
    match action:
        case "send":
            server.send(stream_id, bytes(70_000))
        case "finish":
            server.finish(stream_id)
        case "announce_end":
            server.announce_end()
        case _:
            server.answer_pings()


@given(st.lists(st.binary(max_size=50), max_size=6), st.lists(st.integers(1, 80), min_size=1))
def test_it_does_not_matter_how_the_bytes_are_cut(sent: list[bytes], sizes: list[int]) -> None:
    ping = frame(PING, 0, 0, b"12345678")
    whole = PREFACE + SETTINGS + headers_frame(1) + b"".join(frame(DATA, 0, 1, prefixed(m)) + ping for m in sent)
    server = GrpcConnection(100)
    seen = []
    position = turn = 0
    while position < len(whole):
        size = sizes[turn % len(sizes)]
        seen += server.receive(whole[position : position + size])
        position, turn = position + size, turn + 1
    assert seen == [StreamOpened(1), *(MessageReceived(1, message) for message in sent)]
    assert server.pings == len(sent)
