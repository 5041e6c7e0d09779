"""gRPC's length-prefixed messages: one byte of flags, four bytes of length (big-endian), the message. No I/O.

Source: gRPC's PROTOCOL-HTTP2.md (Length-Prefixed-Message) and compression.md.
"""

from __future__ import annotations

import struct

from .grpc_headers import Refused, Status

_PREFIX = struct.Struct(">BI")
PREFIX_BYTES = _PREFIX.size


def message_prefix(length: int) -> bytes:
    """The five bytes before an uncompressed message of `length` bytes."""
    return _PREFIX.pack(0, length)


class MessageReader:
    """Cuts one stream's bytes into messages of at most `max_bytes` bytes each."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    @property
    def buffered(self) -> int:
        """Bytes of a message that is not complete yet."""
        return len(self._buffer)

    def feed(self, data: bytes | memoryview) -> list[bytes]:
        """The messages that `data` completes. Raises: Refused; then the stream must end."""
        if not self._buffer:
            messages, used = self._cut(data)
            self._buffer += data[used:]
            return messages
        self._buffer += data
        messages, used = self._cut(self._buffer)
        del self._buffer[:used]
        return messages

    def _cut(self, data: bytes | bytearray | memoryview) -> tuple[list[bytes], int]:
        """Whole messages at the beginning of `data`, and how many bytes they take."""
        messages: list[bytes] = []
        start, available = 0, len(data)
        with memoryview(data) as view:
            while available - start >= PREFIX_BYTES:
                flags, length = _PREFIX.unpack_from(data, start)
                self._check(flags, length)
                end = start + PREFIX_BYTES + length
                if end > available:
                    break
                messages.append(bytes(view[start + PREFIX_BYTES : end]))
                start = end
        return messages, start

    def _check(self, flags: int, length: int) -> None:
        if flags == 1:
            raise Refused(Status.UNIMPLEMENTED, "compressed messages are not supported")
        if flags:
            raise Refused(Status.INTERNAL, "message has unknown flags")
        if length > self._max_bytes:
            raise Refused(Status.RESOURCE_EXHAUSTED, f"message too large: {length} of at most {self._max_bytes} bytes")
