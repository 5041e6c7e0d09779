"""The ledger enclave's sockets: any number of hosts at a time on 127.0.0.1, one thread each.

Trust level: trusted. Every byte received is the attacker's: a malformed frame costs the connection, never the enclave.
The process ends when standard input does: that is how it learns that the host that started it is gone.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading

from cloister.errors import MalformedInput
from cloister.wire.ledger_messages import LedgerReply, decode_request, encode_reply
from cloister.wire.stream import FrameBuffer, wrap_frame

from .enclave import LedgerEnclave

MAX_CONNECTIONS = 64
LOOPBACK = "127.0.0.1"
SEND_S = 60.0
"""How long a host may take to read one reply, in seconds."""
_CHUNK_BYTES = 256 * 1024


def open_listener(port: int = 0) -> socket.socket:
    """A listening socket on loopback; port 0 takes a free one."""
    return socket.create_server((LOOPBACK, port), backlog=MAX_CONNECTIONS)


def serve(enclave: LedgerEnclave, listener: socket.socket) -> None:
    """Serve until standard input ends; then the process ends at once, with whatever is in flight."""
    threading.Thread(target=_accept, args=(enclave, listener), daemon=True).start()
    while os.read(sys.stdin.fileno(), 1):
        pass


def _accept(enclave: LedgerEnclave, listener: socket.socket) -> None:
    slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
    while True:
        connection, _ = listener.accept()
        if not slots.acquire(blocking=False):
            connection.close()
            continue
        threading.Thread(target=_serve_one, args=(enclave, connection, slots), daemon=True).start()


def _serve_one(enclave: LedgerEnclave, connection: socket.socket, slots: threading.BoundedSemaphore) -> None:
    try:
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            buffer = FrameBuffer()
            chunk = memoryview(bytearray(_CHUNK_BYTES))  # one for all: a new one of this size is mapped anew each time
            while received := connection.recv_into(chunk):
                for frame in buffer.feed(chunk[:received]):
                    _answer(enclave, connection, frame)
    except (MalformedInput, OSError):
        pass  # the connection is lost, and nothing else
    finally:
        slots.release()


def _answer(enclave: LedgerEnclave, connection: socket.socket, frame: bytes) -> None:
    """A host that does not read loses its connection: while a checkpoint is sent no block is followed."""
    call, request = decode_request(frame)
    with contextlib.closing(enclave.handle(request)) as replies:
        for reply in replies:
            connection.settimeout(SEND_S)
            connection.sendall(_encoded(call, reply))
            connection.settimeout(None)


def _encoded(call: int, reply: LedgerReply) -> bytes:
    return wrap_frame(encode_reply(call, reply))
