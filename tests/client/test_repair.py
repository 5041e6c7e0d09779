"""Where the last covered value stands: found by its hash, wherever a lying hint points to."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest

from cloister.client.repair import Repair, Suspect, batches, parse_suspects, plan_repairs
from cloister.errors import MalformedInput, RemoteFailed
from cloister.testing.channel import CHAINCODE, PARAMETER, Channel
from cloister.testing.forge import rwset

ROGUE = "ab" * 32


@pytest.fixture(scope="module")
def channel() -> Channel:
    """Block 1 writes "k" and "j", block 2 an endorsement parameter of "k", block 3 "k" of another chaincode."""
    channel = Channel()
    channel.add(channel.put(("k", b"value"), ("j", b"other")))
    channel.add(channel.draft((CHAINCODE, rwset(metadata=[("k", PARAMETER)]))))
    channel.add(channel.put(("k", b"wanted"), chaincode="elsewhere"))
    return channel


def suspect(key: str, content: bytes | None, block: int, *, parameter: bool = False) -> Suspect:
    covered = hashlib.sha256(content).digest() if content is not None else b""
    return Suspect(CHAINCODE, key, parameter, 9, ROGUE, covered, block)


async def plan(channel: Channel, *suspects: Suspect) -> tuple[tuple[Repair, ...], list[int]]:
    """(what is to be done, which blocks were read)."""
    read: list[int] = []

    async def fetch(number: int) -> bytes:
        read.append(number)
        return channel.blocks[number]

    return await plan_repairs(fetch, suspects, advance=lambda more: None), read


async def test_the_block_that_the_hint_names_is_enough(channel: Channel) -> None:
    (found,), read = await plan(channel, suspect("k", b"value", 1))
    assert (found.value, found.parameter, found.found, read) == (b"value", b"", (1,), [1])


async def test_a_hint_at_the_keys_other_half_leads_back_to_the_value(channel: Channel) -> None:
    value, parameter = suspect("k", b"value", 2), suspect("k", PARAMETER, 2, parameter=True)
    (found,), read = await plan(channel, value, parameter)
    assert (found.value, found.parameter, found.found) == (b"value", PARAMETER, (1, 2))
    assert read == [2, 1]
    assert found.action == "restore the value, restore the endorsement parameter"


async def test_what_was_absent_needs_no_block(channel: Channel) -> None:
    (found,), read = await plan(channel, suspect("planted", None, 0))
    assert (found.value, found.action, read) == (b"", "delete the value", [])


async def test_each_key_gets_its_own(channel: Channel) -> None:
    found, read = await plan(channel, suspect("j", b"other", 3), suspect("k", b"value", 1))
    assert [(item.key, item.value) for item in found] == [("j", b"other"), ("k", b"value")]
    assert read == [3, 1]


async def test_what_is_in_no_block_is_told(channel: Channel) -> None:
    """Neither the same name elsewhere nor the same value under another key will do."""
    for wanted in (b"wanted", b"other"):
        with pytest.raises(RemoteFailed, match="in no block"):
            await plan(channel, suspect("k", wanted, 3))


def test_a_list_that_is_none_is_malformed() -> None:
    with pytest.raises(MalformedInput):
        parse_suspects([{"chaincode": CHAINCODE, "key": "k"}], CHAINCODE)
    assert parse_suspects([{"chaincode": "elsewhere"}], CHAINCODE) == ()


@pytest.mark.parametrize(
    ("sizes", "cut"),
    [([], []), ([1], [1]), ([1] * 250, [100, 100, 50]), ([600_000] * 3, [1, 1, 1]), ([1, 5_000_000, 1], [1, 1, 1])],
)
def test_what_does_not_fit_into_one_transaction_makes_several(sizes: Sequence[int], cut: list[int]) -> None:
    repairs = [Repair(str(number), (), bytes(size), b"", ()) for number, size in enumerate(sizes)]
    found = list(batches(repairs))
    assert [len(batch) for batch in found] == cut
    assert [item for batch in found for item in batch] == repairs
