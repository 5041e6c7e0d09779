from __future__ import annotations

import contextlib
from typing import Any

import pytest
from fabric_protos.peer import proposal_response_pb2
from hypothesis import given
from hypothesis import strategies as st

from cloister.contract import Response, error, success
from cloister.contract.response import as_response, decode_response
from cloister.errors import MalformedInput


@given(st.integers(0, 2**31 - 1), st.text(st.characters(exclude_categories=["Cs"])), st.binary())
def test_decode_is_the_inverse_of_encode(status: int, message: str, payload: bytes) -> None:
    response = Response(status, message, payload)
    assert decode_response(response.encode()) == response


@given(st.binary())
def test_other_bytes_decode_or_are_refused(encoded: bytes) -> None:
    with contextlib.suppress(MalformedInput):
        assert isinstance(decode_response(encoded), Response)


def test_a_negative_status_is_refused() -> None:
    encoded = proposal_response_pb2.Response(status=-1).SerializeToString()
    with pytest.raises(MalformedInput):
        decode_response(encoded)


@pytest.mark.parametrize("payload", [b"text", bytearray(b"text"), "text"])
def test_success_and_error_have_fabrics_codes(payload: Any) -> None:
    assert success(payload) == Response(200, "", b"text")
    assert success() == Response(200)
    assert error("no") == Response(500, "no")


@pytest.mark.parametrize("fields", [("200",), (200, b"m"), (200, "", "p"), (-1,), (2**31,)])
def test_what_cannot_be_sent_cannot_be_made(fields: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Response(*fields)


def test_generated_responses_are_taken_too() -> None:
    assert as_response(proposal_response_pb2.Response(status=201, payload=b"p")) == Response(201, "", b"p")
    assert as_response("text") is None
