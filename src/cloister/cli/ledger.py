"""`cloister ledger`: judge a Fabric ledger without believing the peer that wrote it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloister.errors import MalformedInput

from .presentation import print_json, talk
from .target import is_hash, read_file

if TYPE_CHECKING:
    from cloister.ledger.verify import Report

EXIT_DIFFERENCES = 1
EXIT_HALTED = 4
_SHOWN = 20


@click.group()
def ledger() -> None:
    """Judge a Fabric ledger without believing the peer that wrote it."""


@ledger.command()
@click.option("--genesis", help="Block 0 that you trust, as file, or its header hash: else block 0 found is trusted.")
@click.option("--channel", help="Which ledger, if the folder holds several.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.argument("path", type=click.Path(path_type=Path))
def verify(*, genesis: str | None, channel: str | None, as_json: bool, path: Path) -> int:
    """Recompute every verdict of the ledger at PATH from its genesis block on.

    PATH is a folder of serialised blocks (*.block, any names), a peer's own ledger directory
    (ledgersData/chains/chains/CHANNEL), or one above it. Where a block carries the peer's verdicts and commit hash,
    every difference is reported.

    Exit code 0: all judged, no difference; 1: the peer's verdicts differ; 4: a block must not be accepted.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from cloister.ledger.sources import open_source
    from cloister.ledger.verify import verify_ledger

    source = open_source(path, channel)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed} blocks"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=talk, disable=as_json, transient=True) as progress:
        task = progress.add_task("judging", total=source.count)
        report = verify_ledger(
            source.blocks(), genesis_hash=_genesis_hash(genesis), progress=lambda _: progress.advance(task)
        )
    if as_json:
        print_json(_document(report))
    else:
        _show(source.description, report)
    if report.halted:
        return EXIT_HALTED
    return EXIT_DIFFERENCES if report.differences else 0


def _genesis_hash(genesis: str | None) -> bytes | None:
    from cloister.fabric.block import parse_block

    if genesis is None:
        return None
    if is_hash(genesis):
        return bytes.fromhex(genesis)
    block = parse_block(read_file(Path(genesis)))
    if block.number != 0:
        raise MalformedInput(f"{genesis}: expected block 0, got block {block.number}", field="genesis")
    return block.header_hash


def _document(report: Report) -> dict[str, Any]:
    return {
        "channel": report.channel,
        "clean": report.clean,
        "blocks": [
            {
                "number": block.number,
                "hash": block.header_hash.hex(),
                "verdicts": [code.name for code in block.codes],
                "transaction_ids": list(block.transaction_ids),
                "commit_hash": block.commit_hash.hex() if block.commit_hash is not None else None,
            }
            for block in report.blocks
        ],
        "differences": [asdict(difference) for difference in report.differences],
        "verdicts": dict(sorted(report.codes.items())),
        "halted": report.halted or None,
        "halted_reason": report.halted_reason or None,
        "keys": report.keys,
        "state_fingerprint": report.fingerprint.hex(),
    }


def _show(description: str, report: Report) -> None:
    last = report.blocks[-1]
    click.echo(f"{description}: channel {report.channel}")
    click.echo(f"judged    {len(report.blocks)} blocks, up to {last.number} with hash {last.header_hash.hex()}")
    for name, count in sorted(report.codes.items(), key=lambda item: -item[1]):
        click.echo(f"          {count:8} {name}")
    click.echo(f"state     {report.keys} keys, fingerprint {report.fingerprint.hex()}")
    for difference in report.differences[:_SHOWN]:
        where = f"block {difference.block}" + (
            f" transaction {difference.index}" if difference.index is not None else ""
        )
        click.echo(f"DIFFERENT {where}: judged {difference.judged}, the peer says {difference.peer}")
    if len(report.differences) > _SHOWN:
        click.echo(f"          … and {len(report.differences) - _SHOWN} more")
    if report.halted:
        click.echo(f"REFUSED   {report.halted} ({report.halted_reason})")
    elif not report.differences:
        click.echo("result    nothing to object to")
