"""`cloister bench`: measurements on this machine, each beside something real in the same run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloister.errors import EnvironmentFailed, UsageError

from .bench_failures import failures
from .bench_honest import honest
from .bench_micro import micro
from .bench_soak import soak
from .bench_start import start
from .presentation import print_json, status_line, tell, working_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloister.bench.figures import Figure
    from cloister.bench.ledger import LedgerFigures


@click.group()
def bench() -> None:
    """Measure on this machine, beside something real in the same run."""


bench.add_command(failures)
bench.add_command(honest)
bench.add_command(micro)
bench.add_command(soak)
bench.add_command(start)


@bench.command()
@click.option("--transactions", type=click.IntRange(min=1), default=10_000, show_default=True, help="Ledger's length.")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="How often to measure.")
@click.option(
    "--keys", type=click.IntRange(min=1), default=100_000, show_default=True, help="Keys to take the memory of."
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the recorded ledger in this folder, or use the one there [default: a temporary one, removed].",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def ledger(*, transactions: int, rounds: int, keys: int, directory: Path | None, as_json: bool) -> int:
    """How fast the judge is, beside a real peer and beside bare signature checks.

    Records a ledger of honest transactions, each with a client's signature and two endorsements, through a real
    orderer. Then, round by round: a fresh peer joins the channel and catches up; the judge judges the same blocks, and
    by turns with it as many P-256 verifications are made and nothing else. Ratios are taken within each round, so that
    other load on the machine disturbs them less.

    Exit code 0 whether the aims are reached or not: the output says so.
    """
    from cloister.bench.ledger import bench_ledger

    with working_folder(directory, "cloister-bench-") as folder, status_line(quiet=as_json) as show:
        found = bench_ledger(folder, transactions=transactions, rounds=rounds, keys=keys, progress=show)
    if as_json:
        print_json(_document(found))
    else:
        _show(found)
    return 0


@bench.command()
@click.option("--quick", is_flag=True, help="Only the main ratios: under a minute.")
@click.option("--clients", "client_text", default="1,2,4,8,16,32,64,128", show_default=True, help="How many at a time.")
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Turns of each server.")
@click.option("--seconds", type=click.FloatRange(min=0.1), default=2.0, show_default=True, help="Length of a turn.")
@click.option(
    "--batch-timeout",
    "timeouts",
    multiple=True,
    help="The orderer's, a Go duration; several for several networks [default: 100ms, then Fabric's own 2s; "
    "beside Node, 10ms for bids].",
)
@click.option(
    "--install-others",
    is_flag=True,
    help="Install what to compare with into the cache: fabric-chaincode-python (PyPI), the Node shim (npm).",
)
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Write JSON, table and SVG there.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the networks' files in this folder [default: a temporary one, removed].",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def overhead(
    *,
    quick: bool,
    client_text: str,
    rounds: int,
    seconds: float,
    timeouts: Sequence[str],
    output: Path | None,
    directory: Path | None,
    install_others: bool,
    as_json: bool,
) -> int:
    """What confidentiality costs: the same contract, confidential and plain, by turns on the same peers.

    Starts a real Fabric network of two organisations, deploys the samples on every server, and lets clients call them,
    each as soon as its last call has ended. Within a round every server has one turn; ratios are taken round by round.
    While a server without ledger enclaves has its turn, the ledger enclaves are paused.

    Latencies are told to the verified endorsement, to the commit status and to the opened outcome, and hold for the
    batch timeout and block size that stand beside them: with Fabric's own two seconds any overhead is hidden.

    Exit code 0 whether the aims are reached or not: the output says so.
    """
    from cloister.bench.overhead import plans
    from cloister.bench.overhead.report import document
    from cloister.bench.overhead.run import run
    from cloister.bench.overhead.servers import CONFIDENTIAL, PLAIN
    from cloister.bench.overhead.written import table, write

    others, not_compared = _others(install=install_others)
    servers = (PLAIN, CONFIDENTIAL, *others)
    plan = plans.quick(servers)
    if not quick:
        plan = plans.whole(
            servers,
            clients=_counts(client_text),
            rounds=rounds,
            seconds=seconds,
            timeouts=tuple(timeouts),
        )
    with working_folder(directory, "cloister-bench-") as folder, status_line(quiet=as_json) as show:
        result = run(folder, plan, progress=show)
    found = document(result, plan, not_compared)
    if output is not None:
        write(output, result, plan, found)
    if as_json:
        print_json(found)
    else:
        click.echo(table(found))
    return 0


def _others(*, install: bool) -> tuple[list[str], dict[str, str]]:
    """Other chaincode servers that take part, and why the rest does not."""
    from cloister.bench.others import NODE, OFFICIAL, find_other, install_other

    present, missing = [], {}
    for name in (NODE, OFFICIAL):
        try:
            _ = install_other(name, progress=tell) if install else find_other(name)
            present.append(name)
        except EnvironmentFailed as failure:
            missing[name] = f"{failure.message} ({failure.hint})" if failure.hint else failure.message
    return present, missing


def _counts(text: str) -> tuple[int, ...]:
    found = tuple(int(item) for item in text.split(",") if item.strip().isdigit())
    if not found or min(found) < 1 or len(found) != len(text.split(",")):
        raise UsageError(f"--clients: expected numbers such as 1,16,64, got {text!r}")
    return found


def _document(found: LedgerFigures) -> dict[str, Any]:
    from cloister.bench.ledger import AIM_PEER, AIM_RAW

    aims = {
        "judge_to_peer": {"aim": AIM_PEER, "reached": found.reaches_peer},
        "judge_to_raw": {"aim": AIM_RAW, "reached": found.reaches_raw},
    }
    return {**asdict(found), "aims": aims}


def _show(found: LedgerFigures) -> None:
    from cloister.bench.ledger import AIM_PEER, AIM_RAW

    click.echo(
        f"ledger    {found.transactions} transactions in {found.blocks} blocks, {found.signatures} signatures; "
        f"{found.cores} cores, {found.rounds} rounds"
    )
    click.echo("          median (lowest to highest)")
    click.echo(f"judge     {_rate(found.judge)}")
    click.echo(f"peer      {_rate(found.peer)}   a fresh one of Fabric {found.fabric_version}")
    click.echo(f"raw       {_rate(found.raw)}   as many P-256 verifications and nothing else")
    click.echo(f"judge/peer {_ratio(found.judge_to_peer)}: {_verdict(AIM_PEER, reached=found.reaches_peer)}")
    click.echo(f"judge/raw  {_ratio(found.judge_to_raw)}: {_verdict(AIM_RAW, reached=found.reaches_raw)}")
    memory = found.memory
    click.echo(
        f"memory    {memory.per_key:.0f} bytes per key, {memory.per_transaction:.0f} bytes per transaction id, "
        f"with {memory.count} of each"
    )


def _rate(value: Figure) -> str:
    return f"{value.median:6.0f} transactions/s ({value.lowest:.0f} to {value.highest:.0f})"


def _ratio(value: Figure) -> str:
    return f"{value.median:.2f} ({value.lowest:.2f} to {value.highest:.2f})"


def _verdict(aim: float, *, reached: bool) -> str:
    return f"the aim of {aim} is {'reached' if reached else 'NOT reached'}"
