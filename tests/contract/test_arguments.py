from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import enum
from typing import Any, Literal, NotRequired, Optional, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.contract import InvalidArgument
from cloister.contract.arguments import parse_argument
from cloister.contract.results import encode_result


@dataclasses.dataclass
class Bid:
    bidder: str
    value: int
    tags: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Auction:
    name: str
    best: Bid | None
    bids: dict[str, Bid]


class Options(TypedDict):
    limit: int
    note: NotRequired[str]


class Plain:
    def __init__(self, name: str, size: int = 1) -> None:
        self.name = name
        self.size = size


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("argument", "hint", "value"),
    [
        (b"text", str, "text"),
        (b"", str, ""),
        (b'"quoted"', str, '"quoted"'),
        (b"\xff\x00", bytes, b"\xff\x00"),
        (b"5", int, 5),
        (b"-5", int, -5),
        (b"", int, 0),
        (b"1.5", float, 1.5),
        (b"2", float, 2.0),
        (b"", float, 0.0),
        (b"true", bool, True),
        (b"False", bool, False),
        (b"1", bool, True),
        (b"", bool, False),
        (b"anything", Any, "anything"),
        (b"anything", object, "anything"),
        (b"[1, 2]", list[int], [1, 2]),
        (b'[1, "a"]', list, [1, "a"]),
        (b'{"a": 1}', dict[str, int], {"a": 1}),
        (b'{"a": [1]}', dict, {"a": [1]}),
        (b'[1, "a"]', tuple[int, str], (1, "a")),
        (b"[1, 2]", tuple[int, ...], (1, 2)),
        (b"", int | None, None),
        (b"null", Optional[Bid], None),  # noqa: UP045  (both spellings must work)
        (b"7", Optional[int], 7),  # noqa: UP045
        (b"", str | None, ""),
        (b"7", int | str, 7),
        (b"seven", int | str, "seven"),
        (b"red", Colour, Colour.RED),
        (b"b", Literal["a", "b"], "b"),
        (b"2", Literal[1, 2], 2),
        (b"2026-01-02T03:04:05Z", dt.datetime, dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)),
        (b"2026-01-02", dt.date, dt.date(2026, 1, 2)),
        (b'{"bidder": "a", "value": 1}', Bid, Bid("a", 1)),
        (b'{"limit": 1}', Options, {"limit": 1}),
        (b'{"limit": 1, "note": "n"}', Options, {"limit": 1, "note": "n"}),
        (
            b'{"name": "n", "best": null, "bids": {"a": {"bidder": "a", "value": 1, "tags": ["t"]}}}',
            Auction,
            Auction("n", None, {"a": Bid("a", 1, ["t"])}),
        ),
    ],
)
def test_arguments_become_values_of_the_declared_type(argument: bytes, hint: Any, value: Any) -> None:
    parsed = parse_argument(argument, hint)
    assert parsed == value
    assert type(parsed) is type(value)


def test_a_plain_class_is_built_by_its_constructor() -> None:
    plain = parse_argument(b'{"name": "n"}', Plain)
    assert (type(plain), plain.name, plain.size) == (Plain, "n", 1)


@pytest.mark.parametrize(
    ("argument", "hint", "field", "message"),
    [
        (b"x", int, "", "expected int, got other text"),
        (b"1.5", int, "", "expected int, got other text"),
        (b" 1", int, "", "expected int, got other text"),
        (b"1_000", int, "", "expected int, got other text"),
        (b"9" * 5000, int, "", "expected int, got other text"),
        (b"nan", float, "", "expected float, got other text"),
        (b"1e999", float, "", "expected float, got other text"),
        (b"maybe", bool, "", "expected bool, got other text"),
        (b"\xff", str, "", "expected str, got bytes that are not UTF-8"),
        (b"", list[int], "", "expected list[int] as JSON, got text that is not JSON"),
        (b"{", Bid, "", "expected Bid as JSON, got text that is not JSON"),
        (b"NaN", list[float], "", "expected list[float] as JSON, got text that is not JSON"),
        (b"[" * 100_000, list, "", "expected list as JSON, got text that is not JSON"),
        (b"5", list[int], "", "expected list[int], got an integer"),
        (b"[true]", list[int], "[0]", "expected int, got true or false"),
        (b"[1, [2]]", list[int], "[1]", "expected int, got a list"),
        (b"[1]", tuple[int, int], "", "expected 2 items, got 1"),
        (b'{"a": "1"}', dict[str, int], "{}", "expected int, got text"),
        (b'{"bidder": "a"}', Bid, "value", "expected int, got nothing"),
        (b'{"bidder": "a", "value": 1, "x": 1}', Bid, "", "expected the fields of Bid, got an unknown one"),
        (b'{"bidder": null, "value": 1}', Bid, "bidder", "expected str, got null"),
        (b'{"limit": 1.0}', Options, "limit", "expected int, got a number"),
        (b"blue", Colour, "", "expected Colour as JSON, got text that is not JSON"),
        (b'"blue"', Colour, "", "expected one of the values of Colour, got another"),
        (b"yesterday", dt.datetime, "", "expected datetime, got other text"),
        (b'{"a": 1}', list[int] | int, "", "expected list[int] or int, got an object"),
    ],
)
def test_other_arguments_are_refused_with_path_and_kind(argument: bytes, hint: Any, field: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_argument(argument, hint)
    assert (caught.value.field, caught.value.message) == (field, message)


@pytest.mark.parametrize("hint", [str, int, float, bool, bytes, list[int], dict[str, int], Bid, Options, dt.datetime])
@given(argument=st.binary())
def test_no_bytes_do_anything_but_parse_or_be_refused(hint: Any, argument: bytes) -> None:
    with contextlib.suppress(InvalidArgument):
        parse_argument(argument, hint)


bids = st.builds(Bid, st.text(), st.integers(), st.lists(st.text()))


@given(st.builds(Auction, st.text(), st.none() | bids, st.dictionaries(st.text(), bids)))
def test_a_structure_survives_the_way_out_and_back(auction: Auction) -> None:
    assert parse_argument(encode_result(auction), Auction) == auction


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_survive_the_way_out_and_back(number: float) -> None:
    assert parse_argument(encode_result(number), type(number)) == number
