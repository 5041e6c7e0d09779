from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from typing import Any

import pytest

from cloister.contract import InvalidResult, KeyValue
from cloister.contract.results import encode_result


@dataclasses.dataclass
class Inner:
    at: dt.datetime


@dataclasses.dataclass
class Outer:
    name: str
    inner: list[Inner]


class Plain:
    def __init__(self) -> None:
        self.name = "n"
        self._hidden = 1


class Colour(enum.Enum):
    RED = "red"


AT = dt.datetime(2026, 1, 2, 3, 4, 5, 6, dt.timezone(dt.timedelta(hours=2)))


@pytest.mark.parametrize(
    ("result", "payload"),
    [
        (None, b""),
        ("text", b"text"),
        (b"\xff", b"\xff"),
        (bytearray(b"a"), b"a"),
        (5, b"5"),
        (1.0, b"1.0"),
        (True, b"true"),
        ([1, "a", None], b'[1, "a", null]'),
        ((1, 2), b"[1, 2]"),
        ({"b": 1, "a": True}, b'{"b": 1, "a": true}'),
        ({"a": b"text"}, b'{"a": "text"}'),
        (AT, b"2026-01-02T01:04:05.000006Z"),
        (dt.date(2026, 1, 2), b"2026-01-02"),
        (Outer("n", [Inner(AT)]), b'{"name": "n", "inner": [{"at": "2026-01-02T01:04:05.000006Z"}]}'),
        (Plain(), b'{"name": "n"}'),
        (Colour.RED, b"red"),
        ([Colour.RED], b'["red"]'),
        ("ü", "ü".encode()),
        (["ü"], b'["\\u00fc"]'),
    ],
)
def test_results_become_payloads(result: Any, payload: bytes) -> None:
    assert encode_result(result) == payload


@pytest.mark.parametrize(
    "result", [{1, 2}, {1: "a"}, float("nan"), [float("inf")], [b"\xff"], object(), "\ud800", Outer, len]
)
def test_results_without_a_form_are_refused(result: Any) -> None:
    with pytest.raises(InvalidResult):
        encode_result(result)


def test_rows_of_a_range_are_objects_with_the_names_of_their_fields() -> None:
    rows = [KeyValue("basic", "k", b"v")]
    assert encode_result(rows) == b'[{"namespace": "basic", "key": "k", "value": "v"}]'
    assert len({*rows, KeyValue("basic", "k", b"v")}) == 1


def test_a_result_that_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(InvalidResult):
        encode_result(loop)
