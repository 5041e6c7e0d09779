"""What a simulation records is what the judge goes by: valid as long as nothing read has changed, and no longer."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloister.embedded.errors import SimulationFailed
from cloister.embedded.private_data import PrivateState
from cloister.embedded.simulation import Simulation
from cloister.fabric.block import parse_block
from cloister.network import embedded_options
from cloister.testing.definitions import ForgedDefinition, collection
from cloister.trusted.ledger.codes import Code
from support.ordered import Ordered, ordering

NAME, PRIVATE = "main", "shared"
EVERYBODY = "OR('Org1MSP.member', 'Org2MSP.member')"
KEYS = [f"k{number:02}" for number in range(70)]
"""More than fifty: whole ranges are summarised."""
Step = Callable[[Simulation], object]
TRANSACTIONS = 150


def random_step(chance: random.Random) -> Step:
    """One access."""
    key, other, value = chance.choice(KEYS[::9]), chance.choice(KEYS), chance.randbytes(3)
    start, end = sorted((key, other))
    count = chance.choice((1, 3, 60, 100))  # a peer fetches at least one
    return chance.choice(
        [
            lambda simulation: simulation.get(NAME, key),
            lambda simulation: simulation.put(NAME, key, value),
            lambda simulation: simulation.put(NAME, key, b""),
            lambda simulation: _take(simulation, start, end, count),
            lambda simulation: _take(simulation, "", "", 1000),
            lambda simulation: simulation.get_private_hash(NAME, PRIVATE, key),
            lambda simulation: simulation.put_private(NAME, PRIVATE, key, value),
            lambda simulation: simulation.put_private(NAME, PRIVATE, key, b"", purge=True),
            lambda simulation: simulation.metadata(NAME, key),
        ]
    )


def _fill(simulation: Simulation) -> None:
    for key in KEYS:
        simulation.put(NAME, key, b"v")


def _take(simulation: Simulation, start: str, end: str, count: int) -> None:
    scan = simulation.scan(NAME, start, end)
    for _ in range(count):
        if scan.next() is None:
            return


def simulate(ordered: Ordered, steps: list[Step]) -> Any:
    """The results on what is committed now."""
    private = ordered.ledger.private["Org1MSP"]
    simulation = Simulation("id", ordered.ledger.state, private, ordered.ledger.definitions)
    for step in steps:
        step(simulation)
    return simulation.results()


async def commit(ordered: Ordered, results: Any) -> Code:
    """The verdict on a transaction with these results, alone in its block."""
    number = ordered.ledger.height
    envelope = ordered.cast.draft(chaincode=NAME, results=results.public.SerializeToString()).build()
    await ordered.send([envelope])
    await ordered.ledger.wait_for_block(number)
    return Code(parse_block(ordered.ledger.block(number)).metadata[2][0])


async def define(ordered: Ordered) -> None:
    definition = ForgedDefinition(NAME, collections=[collection(PRIVATE, EVERYBODY)])
    await ordered.send([ordered.cast.draft(definition.write(), chaincode="_lifecycle").build()])
    await ordered.ledger.wait_for_block(1)


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_transaction_is_valid_exactly_as_long_as_it_would_read_the_same(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    seen: Counter[Code] = Counter()
    async with ordering(tmp_path, embedded_options(batch_timeout="1ms", max_messages=1)) as ordered:
        await define(ordered)
        assert await commit(ordered, simulate(ordered, [_fill])) is Code.VALID
        for _ in range(TRANSACTIONS):
            steps = [random_step(chance) for _ in range(chance.randint(1, 5))]
            before = simulate(ordered, steps)
            for _ in range(chance.choice((0, 0, 1, 2))):
                await commit(ordered, simulate(ordered, [random_step(chance) for _ in range(2)]))
            unchanged = simulate(ordered, steps).public == before.public
            verdict = await commit(ordered, before)
            assert (verdict is Code.VALID) == unchanged
            seen[verdict] += 1
    assert set(seen) == {Code.VALID, Code.MVCC_READ_CONFLICT, Code.PHANTOM_READ_CONFLICT}


async def test_what_a_peer_refuses_while_it_simulates(tmp_path: Path) -> None:
    async with ordering(tmp_path, embedded_options(batch_timeout="1ms")) as ordered:
        await define(ordered)

        def fresh() -> Simulation:
            return Simulation("id", ordered.ledger.state, PrivateState(), ordered.ledger.definitions)

        with pytest.raises(SimulationFailed, match="not defined in the collection config"):
            fresh().put_private(NAME, "nowhere", "k", b"v")
        simulation = fresh()
        simulation.scan_private(NAME, PRIVATE, "", "")
        with pytest.raises(SimulationFailed, match="Writes are not allowed"):
            simulation.put(NAME, "k", b"v")
        simulation = fresh()
        simulation.scan(NAME, "", "", paginated=True)
        with pytest.raises(SimulationFailed, match="Writes are not allowed"):
            simulation.put_private(NAME, PRIVATE, "k", b"v")
        simulation = fresh()
        simulation.put(NAME, "k", b"v")
        for refused in (
            lambda: simulation.scan(NAME, "", "", paginated=True),
            lambda: simulation.scan_private(NAME, PRIVATE, "", ""),
        ):
            with pytest.raises(SimulationFailed, match="only in a read-only transaction"):
                refused()
        simulation.scan(NAME, "", "")  # a plain range is fine
