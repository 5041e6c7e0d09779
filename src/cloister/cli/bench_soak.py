"""`cloister bench soak`: load for minutes, with kills."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from .presentation import print_json, status_line, working_folder

EXIT_NOT_CLEAN = 1


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0.1), default=5.0, show_default=True, help="How long in all.")
@click.option("--clients", type=click.IntRange(min=1), default=8, show_default=True, help="That work at once.")
@click.option(
    "--kill-every",
    "kill_every_s",
    type=click.FloatRange(min=0.5),
    default=8.0,
    show_default=True,
    help="Seconds between two kills, in the first half.",
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Make the network in this new folder and leave its files there [default: a temporary one, removed].",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def soak(*, minutes: float, clients: int, kill_every_s: float, directory: Path | None, as_json: bool) -> int:
    """Mixed load while hosts, enclaves and peers are killed and come back.

    Every client counts up a counter of its own. In the end each counter must be exactly the number of its valid
    transactions: nothing lost, nothing doubled. In the second half nothing is killed, and memory must be flat.

    Exit code 1 if anything is not as it must be.
    """
    from cloister.bench.soak import bench_soak

    with working_folder(directory, "cloister-soak-") as folder, status_line(quiet=as_json) as show:
        report = bench_soak(folder, seconds=60 * minutes, clients=clients, kill_every_s=kill_every_s, progress=show)
    if as_json:
        document = {**asdict(report), "growing": report.growing, "clean": report.clean}
        print_json({"format": "cloister/bench/soak/1", **document})
        return 0 if report.clean else EXIT_NOT_CLEAN
    click.echo(f"{report.transactions} transactions and {report.reads} reads in {report.seconds:.0f} s")
    for title, counts in (("", report.kills), ("a call failed: ", report.failures)):
        for what, count in sorted(counts.items()):
            click.echo(f"{count:6} times {title}{what}")
    click.echo(f"{report.unknown:6} transactions whose end a client did not learn; the peer was asked")
    for name, (before, after) in report.memory.items():
        click.echo(f"{before / 1e6:6.1f} → {after / 1e6:.1f} MB {name}")
    for text in report.wrong:
        click.echo(f"WRONG {text}")
    for name in report.growing:
        click.echo(f"GROWS {name}")
    click.echo("nothing lost, nothing doubled, memory flat" if report.clean else "NOT clean")
    return 0 if report.clean else EXIT_NOT_CLEAN
