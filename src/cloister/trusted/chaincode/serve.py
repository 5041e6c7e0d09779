"""The one module of the enclave that touches a socket: frames from a host in, frames to it out, one host at a time.

Trust level: trusted. TCP on 127.0.0.1, because an enclave under Gramine can reach nothing else. Every byte received is
the attacker's. A malformed frame costs the connection, never the enclave. The process ends when standard input does:
that is how it learns that the host that started it is gone.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from collections.abc import Callable

from cloister.errors import MalformedInput
from cloister.wire.messages import Abandon, Refusal, decode_host_message, encode_enclave_message
from cloister.wire.stream import MAX_FRAME_BYTES, FrameBuffer, wrap_frame

from .confinement import confined
from .enclave import Enclave

_CHUNK_BYTES = 256 * 1024
LOOPBACK = "127.0.0.1"


def open_listener(port: int = 0) -> socket.socket:
    """A listening socket on loopback; port 0 takes a free one."""
    listener = socket.create_server((LOOPBACK, port), backlog=1)
    listener.setblocking(True)
    return listener


def serve(enclave: Enclave, listener: socket.socket) -> None:
    """Serve until standard input ends."""
    wait = _waiter(listener)
    while wait():
        connection, _ = listener.accept()
        with connection:
            if not _serve_connection(enclave, connection):
                return
        enclave.drop_tasks()


def _serve_connection(enclave: Enclave, connection: socket.socket) -> bool:
    """Serve one connection to its end; False if standard input ended meanwhile."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = FrameBuffer()
    chunk = memoryview(bytearray(_CHUNK_BYTES))  # one for all: a new one of this size is mapped anew each time
    wait = _waiter(connection)
    while wait():
        try:
            received = connection.recv_into(chunk)
            if not received:
                return True
            replies = [_reply(enclave, frame) for frame in buffer.feed(chunk[:received])]
            connection.sendall(b"".join(replies))
        except (MalformedInput, OSError):
            return True
    return False


def _waiter(source: socket.socket) -> Callable[[], bool]:
    """What waits until there is something to be read, and says False if standard input has ended instead."""
    stdin, awaited = sys.stdin.fileno(), source.fileno()
    poll = select.poll()
    poll.register(stdin, select.POLLIN)
    poll.register(awaited, select.POLLIN)

    def wait() -> bool:
        while True:
            ready = [descriptor for descriptor, _ in poll.poll()]
            if stdin in ready and not os.read(stdin, 1):
                return False
            if awaited in ready:
                return True

    return wait


def _reply(enclave: Enclave, frame: bytes) -> bytes:
    call, message = decode_host_message(frame)
    with confined():
        reply = enclave.handle(call, message)
    if reply is None:
        return b""
    try:
        encoded = encode_enclave_message(call, reply)
    except ValueError:  # text of a contract's that has no encoding
        return _instead(enclave, call, "internal")
    return wrap_frame(encoded) if len(encoded) <= MAX_FRAME_BYTES else _instead(enclave, call, "too-large")


def _instead(enclave: Enclave, call: int, reason: str) -> bytes:
    """A refusal in the place of what cannot be sent."""
    with confined():
        enclave.handle(call, Abandon())
    return wrap_frame(encode_enclave_message(call, Refusal(reason, "")))
