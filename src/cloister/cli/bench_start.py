"""`cloister bench start`: how long a newcomer waits, on the embedded network and on real Fabric."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .presentation import print_json, status_line, working_folder

if TYPE_CHECKING:
    from cloister.bench.figures import Figure


@click.command()
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="How often to measure.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Make the networks in this folder [default: a temporary one, removed].",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def start(*, rounds: int, directory: Path | None, as_json: bool) -> int:
    """Seconds to the first committed transaction and for the demo, embedded beside real Fabric.

    Runs what a user types: `network up`, `chaincode deploy --plain`, `submit --plain`, and `demo auction`, by turns on
    both kinds of network. Fabric's programs must be there already: see `cloister fabric install`.
    """
    from cloister.bench.start import bench_start

    with working_folder(directory, "cloister-bench-") as folder, status_line(quiet=as_json) as show:
        found = bench_start(folder, rounds=rounds, progress=show)
    if as_json:
        print_json({item.kind: asdict(item) for item in found})
        return 0
    click.echo(f"{'seconds, median (lowest to highest)':38}" + "".join(f"{item.kind:24}" for item in found))
    for name, what in (
        ("up", "cloister network up"),
        ("deploy", "cloister chaincode deploy --plain"),
        ("submit", "cloister submit --plain"),
        ("first", "to the first committed transaction"),
        ("demo", "cloister demo auction"),
    ):
        click.echo(f"{what:38}" + "".join(f"{_seconds(getattr(item, name)):24}" for item in found))
    return 0


def _seconds(value: Figure) -> str:
    return f"{value.median:.1f} ({value.lowest:.1f} to {value.highest:.1f})"
