"""`cloister bench honest`: many clients, nobody lies; any integrity error is one too many."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from .presentation import print_json, status_line, working_folder

EXIT_NOT_CLEAN = 1


@click.command()
@click.option(
    "--transactions", type=click.IntRange(min=1), default=10_000, show_default=True, help="Until so many are committed."
)
@click.option("--clients", type=click.IntRange(min=1), default=32, show_default=True, help="That work at once.")
@click.option(
    "--idle",
    "idle_s",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    help="Seconds without a block, first.",
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Make the network in this new folder and leave its files there [default: a temporary one, removed].",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def honest(*, transactions: int, clients: int, idle_s: float, directory: Path | None, as_json: bool) -> int:
    """Many clients at once on a real network where nobody lies: count every error that there must not be.

    Clients move money between accounts and read balances and totals while the channel goes on. Fabric's own conflicts
    between concurrent transactions are counted apart.

    Exit code 0: no other error, and every total was one that the channel had at some height; 1: see `errors`.
    """
    from cloister.bench.honest import bench_honest

    with working_folder(directory, "cloister-bench-") as folder, status_line(quiet=as_json) as show:
        report = asyncio.run(
            bench_honest(folder, transactions=transactions, clients=clients, idle_s=idle_s, progress=show)
        )
    if as_json:
        print_json(report.document())
    else:
        rate = report.transactions / report.seconds if report.seconds else 0.0
        click.echo(
            f"committed {report.transactions} transactions of {report.clients} clients in {report.seconds:.0f} s "
            f"({rate:.1f}/s), {report.queries} queries answered"
        )
        click.echo(f"conflicts {report.conflicts}: Fabric's own, between concurrent transactions")
        for kind, count in report.fabric.most_common():
            click.echo(f"          {kind}: {count}, Fabric's own too")
        click.echo(f"errors    {sum(report.errors.values()) or 'none'}")
        for kind, count in report.errors.most_common():
            click.echo(f"          {kind}: {count}")
        for message in report.messages:
            click.echo(f"          {message}")
        click.echo(f"totals    {f'{report.impossible} that cannot be' if report.impossible else 'all as they must be'}")
    return 0 if report.clean else EXIT_NOT_CLEAN
