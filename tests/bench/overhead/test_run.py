"""One tiny real run: both servers on one real network, all the way to the document."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cloister.bench.overhead.drive import COMMIT, REVEAL, Done, Times, call_all, take_turn
from cloister.bench.overhead.report import document
from cloister.bench.overhead.run import Cell, Plan, run
from cloister.bench.overhead.servers import CONFIDENTIAL, PLAIN
from cloister.bench.overhead.work import BID, Call, evaluation
from cloister.errors import CloisterError, RemoteFailed
from cloister.gateway import EndorseError


def silent(message: str) -> None:
    del message


@pytest.mark.fabric
def test_plain_and_confidential_by_turns_on_one_real_network(fabric_binaries: None, tmp_path: Path) -> None:
    cells = (Cell(BID, 4, COMMIT), Cell(evaluation(3), 1, REVEAL))
    plan = Plan((PLAIN, CONFIDENTIAL), cells, 2, 0.2, ("100ms",))
    found = document(run(tmp_path / "networks", plan, progress=silent), plan, {})
    assert [cell["work"] for cell in found["cells"]] == ["auction submit", "auction eval 3"]
    for cell in found["cells"]:
        for name in plan.servers:
            server = cell["servers"][name]
            assert server["errors"] == {}
            assert server["calls"] >= 2
            stages = server["milliseconds"]
            assert 0 < stages["endorsed"]["p50"] < stages["committed"]["p50"] <= stages["revealed"]["p50"]
            assert server["ledger_bytes_per_call"] > 1000
            assert server["cpu_milliseconds_per_call"]["peers"] > 0
    assert 0 < found["throughput_ratio_confidential_to_plain"]["4"] < 3
    revealed = found["cells"][1]["servers"][CONFIDENTIAL]["milliseconds"]
    assert revealed["committed"]["p50"] < revealed["revealed"]["p50"]


async def test_clients_call_again_at_once_and_what_fails_is_counted_not_hidden() -> None:
    running = most = 0

    async def caller(call: Call, until: str, client: int) -> Done:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        if client == 0:
            raise RemoteFailed("the peer is away")
        return Done(Times(0.0, 1.0, 1.0, 1.0), b"OK" if client == 1 else b"NO")

    turn = await take_turn(caller, BID, clients=3, seconds=0.0, until=REVEAL, seed=1, least=5)
    assert most == 3
    assert len(turn.times) == 5
    assert turn.errors == {"RemoteFailed: the peer is away": 5, "CloisterError: submit answered b'NO'": 5}


async def test_a_preparation_waits_for_a_peer_that_is_a_block_behind() -> None:
    tried: list[str] = []

    async def caller(call: Call, until: str, client: int) -> Done:
        tried.append(call.function)
        if len(tried) == 1:
            raise EndorseError("the auction house is not initialised", transaction_id="")
        return Done(Times(0.0), b"OK")

    await call_all(caller, [Call("create", ())], clients=1)
    assert tried == ["create", "create"]


async def test_a_preparation_that_fails_ends_the_run() -> None:
    async def caller(call: Call, until: str, client: int) -> Done:
        return Done(Times(0.0), b"AUCTION_NOT_EXISTING")

    with pytest.raises(CloisterError, match="AUCTION_NOT_EXISTING"):
        await call_all(caller, [Call("submit", ())], clients=2)
