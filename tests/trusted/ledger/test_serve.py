"""E1: what hosts send over a socket, or do not read from it, costs them their connection at most."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Generator, Iterator

import pytest

from cloister.testing.channel import Channel
from cloister.trusted.ledger import serve
from cloister.trusted.ledger.enclave import LedgerEnclave
from cloister.trusted.ledger.identities import SignatureChecker
from cloister.wire.framing import u32
from cloister.wire.ledger_messages import (
    GetLedgerStatus,
    LedgerReply,
    LedgerRequest,
    LedgerStatus,
    SealedPart,
    SealLedger,
    decode_reply,
    encode_request,
)
from cloister.wire.stream import MAX_FRAME_BYTES, FrameBuffer, wrap_frame
from support.ledger_enclaves import caught_up, new_enclave


@pytest.fixture(scope="module")
def channel() -> Channel:
    channel = Channel()
    channel.prepare()
    return channel


@pytest.fixture
def enclave(channel: Channel) -> LedgerEnclave:
    return caught_up(channel)


@pytest.fixture
def port(enclave: LedgerEnclave) -> Iterator[int]:
    with served(enclave) as port:
        yield port


@contextlib.contextmanager
def served(enclave: LedgerEnclave) -> Iterator[int]:
    listener = serve.open_listener()
    accepting = threading.Thread(target=_accept, args=(enclave, listener), daemon=True)
    accepting.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    accepting.join(5)
    listener.close()


def _accept(enclave: LedgerEnclave, listener: socket.socket) -> None:
    try:
        serve._accept(enclave, listener)
    except OSError:
        return  # the test is over


def connect(port: int) -> socket.socket:
    return socket.create_connection((serve.LOOPBACK, port), timeout=10)


def ask(connection: socket.socket, call: int, request: LedgerRequest) -> LedgerReply:
    connection.sendall(wrap_frame(encode_request(call, request)))
    buffer = FrameBuffer()
    while chunk := connection.recv(1 << 16):
        for frame in buffer.feed(chunk):
            number, reply = decode_reply(frame)
            assert number == call
            return reply
    raise ConnectionError("closed")


def test_requests_are_answered_in_turn_with_their_numbers(port: int) -> None:
    with connect(port) as connection:
        for call in (1, 7, 2**64 - 1):
            assert isinstance(ask(connection, call, GetLedgerStatus()), LedgerStatus)


@pytest.mark.parametrize(
    "garbage", [u32(MAX_FRAME_BYTES + 1), wrap_frame(b"garbage"), wrap_frame(b""), b"GET / HTTP/1.1\r\n\r\n"]
)
def test_e1_garbage_costs_the_connection_and_nothing_else(port: int, garbage: bytes) -> None:
    with connect(port) as other, connect(port) as connection:
        connection.sendall(garbage)
        assert connection.recv(1) == b""
        assert isinstance(ask(other, 1, GetLedgerStatus()), LedgerStatus)


def test_e1_half_a_frame_waits_and_harms_nobody(port: int) -> None:
    with connect(port) as half, connect(port) as other:
        half.sendall(u32(100) + b"x")
        assert isinstance(ask(other, 1, GetLedgerStatus()), LedgerStatus)


class _Endless(LedgerEnclave):
    """Its checkpoint has no end; `given_up`: the lock that is held while it is sent is free again."""

    def handle(self, message: LedgerRequest) -> Generator[LedgerReply, None, None]:
        try:
            while True:
                yield SealedPart(bytes(1 << 20), 0)
        finally:
            self.given_up.set()

    given_up: threading.Event


def test_e1_a_host_that_does_not_read_its_checkpoint_loses_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """No block is followed while a checkpoint is sent."""
    monkeypatch.setattr(serve, "SEND_S", 0.2)
    enclave = _Endless(platform=new_enclave()._platform, checker=SignatureChecker(), random_bytes=bytes)
    enclave.given_up = threading.Event()
    with served(enclave) as port, connect(port) as stalled:
        stalled.sendall(wrap_frame(encode_request(1, SealLedger())))
        assert enclave.given_up.wait(10)
