"""Every verdict, every commit hash and the whole state equal a real peer's, on a ledger made to make them differ."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloister.errors import RemoteFailed
from cloister.ledger.sources import open_source
from cloister.network import Network, NetworkOptions
from cloister.testing.cases import UNREACHABLE, Case
from cloister.testing.comparison import Bench, define_chaincode, open_bench, play_catalogue, play_mixtures
from cloister.testing.config_story import play_configurations
from cloister.testing.forge import rwset
from cloister.testing.orderer_story import play_orderers
from cloister.trusted.ledger.codes import Code
from cloister.trusted.ledger.errors import LedgerHalted

pytestmark = pytest.mark.fabric


def silent(message: str) -> None:
    del message


@pytest.fixture(scope="module")
async def bench(fabric_binaries: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    network = Network.up(tmp_path_factory.mktemp("comparison") / "net", NetworkOptions(batch_timeout="100ms"))
    try:
        async with open_bench(network) as opened:
            await define_chaincode(opened)
            yield opened
    finally:
        network.down()


async def test_single_defects_get_the_verdict_that_the_catalogue_states(bench: Bench) -> None:
    await play_catalogue(bench, silent)
    await bench.wait()
    assert bench.comparison.surprises == []


async def test_random_mixtures_and_changing_configurations_and_then_everything_is_equal(bench: Bench) -> None:
    await play_mixtures(bench, seed=1, transactions=600, progress=silent)
    await play_configurations(bench, silent)
    await play_orderers(bench, silent)
    found = await bench.finish()
    assert found.surprises == []
    assert found.differences == []
    assert found.state_differences == []
    reached = {name for name, count in found.verdicts.items() if count}
    wanted = {code.name for code in Code if code not in UNREACHABLE} | {"MVCC_READ_CONFLICT", "PHANTOM_READ_CONFLICT"}
    assert wanted <= reached
    assert (found.keys > 100, found.forged > 9) == (True, True)


async def test_a_wrong_expectation_and_a_wrong_state_would_be_found(bench: Bench) -> None:
    """The comparison's own twin: it does see what is not equal."""
    place = ("main", ""), b"first"
    entry = bench.judge.state.get(*place)
    assert entry is not None
    case = Case("wrong", (bench.cast.draft(("main", rwset(writes=[("first", b"v")]))).build(),), (Code.BAD_RWSET,))
    before = list(bench.comparison.surprises)
    await bench.expect(case)
    assert bench.comparison.surprises[len(before) :] != []
    bench.comparison.surprises[:] = before
    bench.judge.state.put(*place, entry._replace(metadata=(("m", b"v"),)))
    found = await bench.finish()
    assert [item.key for item in found.state_differences] == ["first"]
    found.state_differences.clear()


async def test_a_block_that_only_one_of_both_refuses_would_be_found(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = bench.orderer.make([bench.cast.put("x").build()])
    before = list(bench.comparison.surprises)
    await bench.expect_refusal("sound", sound)
    assert bench.comparison.surprises[len(before) :] == ["sound: accepted by the judge"]
    bench.comparison.surprises[:] = before
    monkeypatch.setattr("cloister.testing.comparison.TIMEOUT_S", 0.5)
    bench.judge.min_orderer_signatures = 2
    with pytest.raises(RemoteFailed, match="sound: the peer does not refuse"):
        await bench.expect_refusal("sound", sound)
    bench.judge.min_orderer_signatures = 0
    bench.judge.follow(sound)


async def test_the_command_over_the_peers_own_ledger_and_snapshot(bench: Bench) -> None:
    await bench.wait()
    folder = bench.network.organisations[0].folder / "peer" / "data"
    newest = max(
        (folder / "snapshots" / "completed" / bench.network.channel).iterdir(), key=lambda item: int(item.name)
    )

    def run(*arguments: str) -> tuple[int, dict[str, object]]:
        command = [sys.executable, "-m", "cloister", "ledger", "verify", "--json", str(folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout)

    code, told = run("--genesis", str(bench.network.genesis_block_path), "--snapshot", str(newest))
    assert (code, told["clean"], told["state_differences"]) == (0, True, [])
    assert len(told["blocks"]) == bench.judge.height  # type: ignore[arg-type]
    damaged = newest / "public_state.data"
    content = damaged.read_bytes()
    damaged.write_bytes(content.replace(b"wide", b"WIDE", 1))
    code, told = run("--snapshot", str(newest))
    damaged.write_bytes(content)
    assert code == 1
    assert len(told["state_differences"]) == 1  # type: ignore[arg-type]
    code, told = run("--snapshot", str(folder))
    assert code == 7


async def test_a_removed_orderers_signature_is_refused(bench: Bench) -> None:
    """The orderers' story ended with another ordering organisation alone; the first one still has its keys."""
    await bench.wait()
    removed = bench.orderer.make([bench.cast.put("x").build()], signers=[bench.cast.orderer])
    with pytest.raises(LedgerHalted, match="BlockValidation"):
        bench.judge.follow(removed)
    assert bench.judge.follow(bench.orderer.make([bench.cast.put("x").build()])).codes == (Code.VALID,)


def test_block_files_cut_short_are_read_as_far_as_they_go(bench: Bench, tmp_path: Path) -> None:
    source = open_source(bench.network.organisations[0].folder / "peer" / "data")
    whole = list(source.blocks())
    file = next(source.folder.glob("blockfile_*"))
    (tmp_path / file.name).write_bytes(file.read_bytes()[:-100])
    assert list(open_source(tmp_path).blocks()) == whole[:-1]
