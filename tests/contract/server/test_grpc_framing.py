from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.contract.server.grpc_framing import PREFIX_BYTES, MessageReader, message_prefix
from cloister.contract.server.grpc_headers import Refused, Status

MAX = 30


@given(st.lists(st.binary(max_size=MAX)), st.integers(1, 100))
def test_messages_come_out_as_they_went_in_however_they_are_cut(messages: list[bytes], size: int) -> None:
    whole = b"".join(message_prefix(len(message)) + message for message in messages)
    reader = MessageReader(MAX)
    read = [item for start in range(0, len(whole), size) for item in reader.feed(whole[start : start + size])]
    assert (read, reader.buffered) == (messages, 0)


@given(st.lists(st.binary(max_size=60)))
def test_no_bytes_do_anything_but_work_or_get_refused(pieces: list[bytes]) -> None:
    reader = MessageReader(MAX)
    for piece in pieces:
        try:
            messages = reader.feed(piece)
        except Refused:
            return
        assert all(len(message) <= MAX for message in messages)
        assert reader.buffered < MAX + PREFIX_BYTES


@pytest.mark.parametrize(
    ("flags", "length", "status"),
    [
        (0, MAX + 1, Status.RESOURCE_EXHAUSTED),
        (0, 2**32 - 1, Status.RESOURCE_EXHAUSTED),
        (1, 1, Status.UNIMPLEMENTED),
        (2, 1, Status.INTERNAL),
        (255, 1, Status.INTERNAL),
    ],
)
def test_messages_are_refused_by_their_prefix(flags: int, length: int, status: Status) -> None:
    with pytest.raises(Refused) as refused:
        MessageReader(MAX).feed(struct.pack(">BI", flags, length))
    assert refused.value.status is status
