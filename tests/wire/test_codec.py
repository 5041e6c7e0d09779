"""Every message of every protocol: one encoding per value, nothing else decodes, nothing but MalformedInput escapes."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.errors import MalformedInput
from cloister.trusted.protocol import questions
from cloister.wire import codec as codec_module
from cloister.wire import ledger_messages, messages
from cloister.wire.codec import Codec
from cloister.wire.framing import encode_frame, u32

TEXT, BYTES = st.text(max_size=12), st.binary(max_size=24)
NUMBER = st.integers(0, 2**64 - 1)
STRATEGIES: dict[str, st.SearchStrategy[Any]] = {
    "bytes": BYTES,
    "str": TEXT,
    "int": NUMBER,
    "bytes | None": st.one_of(st.none(), BYTES),
    "tuple[tuple[str, bytes], ...]": st.lists(st.tuples(TEXT, BYTES), max_size=4).map(tuple),
    "tuple[tuple[int, bytes], ...]": st.lists(st.tuples(NUMBER, BYTES), max_size=4).map(tuple),
    "tuple[str, ...]": st.lists(TEXT, max_size=4).map(tuple),
    "tuple[bytes, ...]": st.lists(BYTES, max_size=4).map(tuple),
}
Encode: TypeAlias = Callable[[int, Any], bytes]
Decode: TypeAlias = Callable[[bytes], tuple[int, Any]]
PROTOCOLS: dict[str, tuple[Any, Encode, Decode]] = {
    "host": (messages.HostMessage, messages.encode_host_message, messages.decode_host_message),
    "enclave": (messages.EnclaveMessage, messages.encode_enclave_message, messages.decode_enclave_message),
    "request": (ledger_messages.LedgerRequest, ledger_messages.encode_request, ledger_messages.decode_request),
    "reply": (ledger_messages.LedgerReply, ledger_messages.encode_reply, ledger_messages.decode_reply),
    "question": (
        questions.Question,
        lambda call, message: questions.QUESTIONS.encode(message),
        lambda encoded: (0, questions.QUESTIONS.decode(encoded)[1]),
    ),
    "answer": (
        questions.Answer,
        lambda call, message: questions.ANSWERS.encode(message),
        lambda encoded: (0, questions.ANSWERS.decode(encoded)[1]),
    ),
}


def kinds(union: Any) -> list[type[Any]]:
    """The members of a union, nested ones too."""
    found: list[type[Any]] = []
    for item in get_args(union):
        found.extend(kinds(item) or [item])
    return found


def message_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    return st.builds(kind, *[STRATEGIES[str(field.type)] for field in dataclasses.fields(kind)])


@pytest.mark.parametrize("name", PROTOCOLS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_message_comes_back(name: str, data: st.DataObject) -> None:
    union, encode, decode = PROTOCOLS[name]
    for kind in kinds(union):
        message = data.draw(message_of(kind))
        call = data.draw(NUMBER)
        encoded = encode(call, message)
        number, found = decode(encoded)
        assert found == message
        assert encode(number, found) == encoded
        assert number in (call, 0)


@pytest.mark.parametrize("name", PROTOCOLS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_whatever_decodes_encodes_back_to_the_same_bytes(name: str, data: st.DataObject) -> None:
    union, encode, decode = PROTOCOLS[name]
    kind = data.draw(st.sampled_from(kinds(union)))
    damaged = bytearray(encode(0, data.draw(message_of(kind))))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    content = bytes(damaged)[: data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))]
    with contextlib.suppress(MalformedInput):
        number, message = decode(content)
        assert encode(number, message) == content


@given(st.binary(max_size=200))
def test_any_bytes_are_malformed_or_a_message(content: bytes) -> None:
    for _, encode, decode in PROTOCOLS.values():
        with contextlib.suppress(MalformedInput):
            number, message = decode(content)
            assert encode(number, message) == content


def test_a_message_of_one_protocol_does_not_pass_in_another() -> None:
    encoded = ledger_messages.encode_request(1, ledger_messages.GetLedgerStatus())
    for decode in (ledger_messages.decode_reply, messages.decode_host_message, messages.decode_enclave_message):
        with pytest.raises(MalformedInput):
            decode(encoded)
    with pytest.raises(MalformedInput):
        questions.ANSWERS.decode(questions.QUESTIONS.encode(questions.AskKey("k")))


def test_wrong_shapes_are_malformed() -> None:
    codec: Codec[Any] = ledger_messages._REQUESTS
    for fields in ((b"",), (b"", b"\xff"), (b"", b"", b"")):
        with pytest.raises(MalformedInput):
            codec.decode(encode_frame(b"FindTransaction", fields), before=1)
    odd = encode_frame(b"", [b"key"])
    rows = encode_frame(b"RowsAnswer", (bytes(8), odd, b"", b""))
    with pytest.raises(MalformedInput):
        messages.decode_host_message(rows)
    for presence in (b"", b"\2", b"\0x"):
        with pytest.raises(MalformedInput):
            messages.decode_host_message(encode_frame(b"ValueAnswer", (bytes(8), presence, b"")))
    assert messages.decode_host_message(encode_frame(b"ValueAnswer", (bytes(8), b"\1", b"")))[1].value == b""  # type: ignore[union-attr]


def test_e1_a_huge_announced_tuple_is_refused_without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = u32(0) + u32(2**32 - 1)
    with pytest.raises(MalformedInput):
        ledger_messages.decode_request(encode_frame(b"NextBlocks", (bytes(8), bomb)))
    monkeypatch.setattr(codec_module, "MAX_ROWS", 5)
    six, five = (encode_frame(b"NextBlocks", (bytes(8), encode_frame(b"", [b""] * number))) for number in (6, 5))
    with pytest.raises(MalformedInput):
        ledger_messages.decode_request(six)
    assert ledger_messages.decode_request(five) == (0, ledger_messages.NextBlocks((b"",) * 5))
