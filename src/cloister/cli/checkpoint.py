"""`cloister checkpoint`: how far a channel was, and whether two clients were shown the same one."""

from __future__ import annotations

from pathlib import Path

import click

from .presentation import print_json
from .target import state_folder

EXIT_FORK = 1


@click.group()
def checkpoint() -> None:
    """Show and compare the checkpoints that enclaves have signed for clients."""


@checkpoint.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def show(*, as_json: bool) -> None:
    """The highest checkpoint of every channel that this client knows."""
    from cloister.client.checkpoints import highest_of, load_checkpoints

    found = {path.stem: highest_of(load_checkpoints(path)) for path in sorted(_folder().glob("*.json"))}
    if as_json:
        print_json({name: {"height": item.height, "block_hash": item.block_hash.hex()} for name, item in found.items()})
        return
    for name, item in found.items():
        click.echo(f"genesis {name}: height {item.height}, block hash {item.block_hash.hex()}")
    click.echo(f"files in {_folder()}" if found else "none yet")


@checkpoint.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.argument("first", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("second", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def compare(*, as_json: bool, first: Path, second: Path) -> int:
    """Compare two clients' files of one channel (`cloister checkpoint show` says where they are).

    One height with two hashes: the orderers, or whoever can sign for them, showed two chains. Exit code 0: no
    contradiction, 1: a fork.
    """
    from cloister.client.checkpoints import forks, load_checkpoints

    ours, theirs = load_checkpoints(first), load_checkpoints(second)
    found, common = forks(ours, theirs), len(set(ours) & set(theirs))
    if as_json:
        print_json(
            {
                "common_heights": common,
                "forks": [{"height": h, "first": a.hex(), "second": b.hex()} for h, a, b in found],
            }
        )
    else:
        for height, one, other in found:
            click.echo(f"FORK at height {height}: {one.hex()} and {other.hex()}")
        if not common:
            click.echo("no height in common: nothing is known; call a query from both clients and compare again")
        elif not found:
            click.echo(f"equal at all {common} heights in common")
    return EXIT_FORK if found else 0


def _folder() -> Path:
    return state_folder() / "checkpoints"
