from __future__ import annotations

from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from cloister.contract.server.grpc_headers import MAX_STATUS_CHARACTERS, Status, refusal, trailers

header_bytes = st.sampled_from([b":method", b":path", b"te", b"content-type", b"POST", b"trailers"]) | st.binary()


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_texts_travel_as_printable_ascii_and_come_back(text: str) -> None:
    (_, code), (_, message) = trailers(Status.INTERNAL, text)
    assert code == b"13"
    assert all(0x20 <= character < 0x7F for character in message)
    assert unquote(message.decode()) == text[:MAX_STATUS_CHARACTERS]


def test_texts_that_are_no_unicode_travel_too() -> None:
    assert trailers(Status.INTERNAL, "bad \ud800 text")[1][1] == b"bad ? text"


@given(st.lists(st.tuples(header_bytes, header_bytes)))
def test_any_headers_are_answered_or_a_call(headers: list[tuple[bytes, bytes]]) -> None:
    answer = refusal(headers)
    assert answer is None or answer[0][0] == b":status"
