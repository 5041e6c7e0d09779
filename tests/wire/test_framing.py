"""The canonical encoding: exactly one per value, nothing else decodes, nothing but MalformedInput escapes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.errors import MalformedInput
from cloister.wire.framing import begin_frame, decode_frame, encode_frame, frame_field

fields = st.lists(st.binary(max_size=40), max_size=8)
tags = st.binary(max_size=20)


@given(tags, fields)
def test_decode_is_the_inverse_of_encode(tag: bytes, values: list[bytes]) -> None:
    assert decode_frame(tag, encode_frame(tag, values)) == tuple(values)


@given(tags, fields, tags, fields)
def test_no_two_records_share_an_encoding(tag: bytes, values: list[bytes], tag2: bytes, values2: list[bytes]) -> None:
    same = (tag, values) == (tag2, values2)
    assert (encode_frame(tag, values) == encode_frame(tag2, values2)) == same


@given(tags, st.binary(max_size=200))
def test_whatever_decodes_encodes_back_to_the_same_bytes(tag: bytes, encoded: bytes) -> None:
    try:
        values = decode_frame(tag, encoded)
    except MalformedInput:
        return
    assert encode_frame(tag, values) == encoded


@given(tags, fields, st.data())
def test_cut_or_longer_records_are_refused(tag: bytes, values: list[bytes], data: st.DataObject) -> None:
    encoded = encode_frame(tag, values)
    cut = data.draw(st.integers(min_value=0, max_value=len(encoded) - 1))
    for broken in (encoded[:cut], encoded + b"\0"):
        with pytest.raises(MalformedInput):
            decode_frame(tag, broken)


def test_a_huge_field_count_is_refused_without_memory() -> None:
    with pytest.raises(MalformedInput):
        decode_frame(b"t", encode_frame(b"t", [])[:-4] + b"\xff\xff\xff\xff")


@given(tags, fields, fields)
def test_a_frame_begun_and_continued_is_the_frame(tag: bytes, first: list[bytes], rest: list[bytes]) -> None:
    begun = begin_frame(tag, len(first) + len(rest), first)
    assert b"".join([begun, *map(frame_field, rest)]) == encode_frame(tag, [*first, *rest])
