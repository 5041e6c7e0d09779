from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.contract import InvalidKey, create_composite_key, split_composite_key
from cloister.contract.keys import checked_key, partial_composite_range, simple_range

parts = st.text(st.characters(exclude_characters="\x00\U0010ffff", exclude_categories=["Cs"]), min_size=1)


@given(parts, st.lists(parts))
def test_split_is_the_inverse_of_create(object_type: str, attributes: list[str]) -> None:
    assert split_composite_key(create_composite_key(object_type, attributes)) == (object_type, attributes)


@given(parts, st.lists(parts), parts)
def test_a_partial_range_holds_longer_keys_of_its_prefix(object_type: str, attributes: list[str], more: str) -> None:
    start, end = partial_composite_range(object_type, attributes)
    key = create_composite_key(object_type, [*attributes, more])
    assert start.encode() < key.encode() < end.encode()


@given(parts, parts)
def test_a_partial_range_leaves_out_other_object_types(first: str, second: str) -> None:
    start, end = partial_composite_range(first, [])
    inside = start.encode() <= create_composite_key(second, ["a"]).encode() < end.encode()
    assert inside == (first == second)


def test_the_format_is_fabrics() -> None:
    assert create_composite_key("owner", ["a", "b"]) == "\x00owner\x00a\x00b\x00"


@pytest.mark.parametrize("part", ["", "a\x00b", "a\U0010ffff", "\ud800"])
def test_parts_that_would_be_ambiguous_are_refused(part: str) -> None:
    with pytest.raises(InvalidKey):
        create_composite_key(part, [])
    with pytest.raises(InvalidKey):
        create_composite_key("type", [part])


def test_attributes_given_as_one_string_are_refused() -> None:
    with pytest.raises(InvalidKey):
        create_composite_key("type", "abc")


@pytest.mark.parametrize("key", ["", "plain", "\x00"])
def test_other_keys_do_not_split(key: str) -> None:
    assert split_composite_key(key) == (None, [])


def test_an_open_range_leaves_out_composite_keys() -> None:
    assert simple_range("", "") == ("\x01", "")


@pytest.mark.parametrize("bounds", [("\x00a", ""), ("", "\x00a")])
def test_composite_bounds_of_a_plain_range_are_refused(bounds: tuple[str, str]) -> None:
    with pytest.raises(InvalidKey):
        simple_range(*bounds)


@pytest.mark.parametrize("key", ["", "\udfff", None, b"bytes"])
def test_keys_that_cannot_be_written_are_refused(key: object) -> None:
    with pytest.raises(InvalidKey):
        checked_key(key)
