"""`cloister repair` touches what was asked for, and nothing that was there before unless it is named."""

from __future__ import annotations

import pytest

from cloister.cli.presentation import parse_key, show_key
from cloister.cli.repair import choose
from cloister.client.repair import BEFORE, Suspect
from cloister.errors import UsageError

FIRST, SECOND = "aa" * 32, "bb" * 32


def suspect(key: str, transaction_id: str, *, parameter: bool = False) -> Suspect:
    return Suspect("vault", key, parameter, 7, transaction_id, b"", 0)


LISTED = [
    suspect("a", FIRST),
    suspect("a", SECOND, parameter=True),
    suspect("b", SECOND),
    suspect("old", BEFORE),
]


@pytest.mark.parametrize(
    ("transactions", "keys", "chosen"),
    [
        ([], [], [0, 1, 2]),
        ([FIRST], [], [0, 1]),  # value and endorsement parameter of a key go together
        ([SECOND], ["b"], [2]),
        ([], ["old"], [3]),
        ([BEFORE], [], [3]),
    ],
)
def test_what_is_chosen(transactions: list[str], keys: list[str], chosen: list[int]) -> None:
    assert choose(LISTED, "vault", transactions, keys) == [LISTED[number] for number in chosen]


@pytest.mark.parametrize(("transactions", "keys"), [(["cc" * 32], []), ([], ["c"])])
def test_what_is_not_listed_is_told(transactions: list[str], keys: list[str]) -> None:
    with pytest.raises(UsageError, match="not among the suspects of vault"):
        choose(LISTED, "vault", transactions, keys)


@pytest.mark.parametrize("key", ["plain", "\0bid\0ann\0", 'with "quotes" and \\', "größer", "\x1b[31m"])
def test_stored_names_survive_the_command_line(key: str) -> None:
    shown = show_key(key)
    assert parse_key(shown) == key
    assert shown.isprintable()


def test_a_key_that_cannot_be_read_is_told() -> None:
    with pytest.raises(UsageError, match="key"):
        parse_key('"')
