"""`cloister checkpoint`: how far a channel was, and whether two clients were shown the same one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .presentation import print_json
from .target import read_file, state_folder

if TYPE_CHECKING:
    from cloister.client.credentials import Trust
    from cloister.client.fork_proof import Fork

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
@click.option("--policy", type=click.Path(path_type=Path), help="Your appraisal policy, JSON: to prove what is found.")
@click.option("--genesis", help="With --policy: the channel's block 0, file or header hash.")
@click.option(
    "--measurement", "measurements", multiple=True, help="With --policy: a measurement you trust, hex; repeatable."
)
@click.option("--contract", help="With --policy: or the contract that you trust, FILE.py.")
@click.option("--ledger-measurement", help="The ledger enclave's, hex (default: this version's own).")
@click.option("--registry", default="registry", show_default=True, help="Name of the enclave registry chaincode.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.argument("first", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("second", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def compare(
    *,
    policy: Path | None,
    genesis: str | None,
    measurements: tuple[str, ...],
    contract: str | None,
    ledger_measurement: str | None,
    registry: str,
    as_json: bool,
    first: Path,
    second: Path,
) -> int:
    """Compare two clients' files of one channel (`cloister checkpoint show` says where they are).

    One height with two hashes: the orderers, or whoever can sign for them, showed two chains. With --policy and what
    you trust, the statements that enclaves signed about it are verified: then the fork is proven, whoever brought the
    files. Needs no network. Exit code 0: no contradiction, 1: a fork, proven or not.
    """
    from cloister.client.checkpoints import load_known
    from cloister.client.fork_proof import find_forks

    trust = None
    if policy is not None:
        trust = _trust(policy, genesis, measurements, contract, ledger_measurement, registry)
    ours, theirs = load_known(first), load_known(second)
    found, common = find_forks(ours, theirs, trust), len(set(ours.checkpoints) & set(theirs.checkpoints))
    if as_json:
        print_json({"common_heights": common, "forks": [_document(fork) for fork in found]})
        return EXIT_FORK if found else 0
    for fork in found:
        click.echo(f"FORK at height {fork.height}: {fork.first.hex()} and {fork.second.hex()}")
        proven = "proven: attested enclaves signed both" if fork.proven else f"not proven: {fork.why}"
        click.echo(f"  {proven}")
    if not common:
        click.echo("no height in common: nothing is known; call a query from both clients and compare again")
    elif not found:
        click.echo(f"equal at all {common} heights in common")
    return EXIT_FORK if found else 0


def _document(fork: Fork) -> dict[str, object]:
    return {
        "height": fork.height,
        "first": fork.first.hex(),
        "second": fork.second.hex(),
        "proven": fork.proven,
        "why": fork.why,
    }


def _trust(
    policy: Path,
    genesis: str | None,
    measurements: tuple[str, ...],
    contract: str | None,
    ledger_measurement: str | None,
    registry: str,
) -> Trust:
    from cloister.client.credentials import Trust
    from cloister.trusted.attest.policy import parse_policy

    from .target import genesis_hash_of, ledger_measurement_of, measurements_of

    if genesis is None:
        raise click.UsageError("--policy needs --genesis: which channel is it?")
    return Trust(
        policy=parse_policy(read_file(policy)),
        genesis_hash=genesis_hash_of(genesis),
        measurements=measurements_of(measurements, contract),
        ledger_measurements=frozenset({ledger_measurement_of(ledger_measurement)}),
        registry=registry,
    )


def _folder() -> Path:
    return state_folder() / "checkpoints"
