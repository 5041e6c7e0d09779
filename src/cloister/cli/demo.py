"""`cloister demo`: whole examples."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from .presentation import print_json, silent, talk, tell, warn_simulation, working_folder

if TYPE_CHECKING:
    from cloister.demo.auction import Played, Script
    from cloister.demo.peer_view import PeerView
    from cloister.demo.search import SearchResult
    from cloister.network import Network

_HEX_SHOWN = 48
_HITS_SHOWN = 8


@click.group()
def demo() -> None:
    """Run a whole example and show what a peer can see."""


@demo.command()
@click.option("--plain", is_flag=True, help="The same contract as ordinary chaincode: the search finds everything.")
@click.option(
    "--network",
    "kind",
    type=click.Choice(["embedded", "fabric"]),
    default="embedded",
    show_default=True,
    help="One Python process, or Fabric's own programs (see `cloister fabric install`).",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the network's files in this folder [default: a temporary one, removed].",
)
def auction(*, plain: bool, kind: str, as_json: bool, directory: Path | None) -> None:
    """A sealed-bid auction on a network started for it.

    Three bidders of two organisations bid, a fourth comes too late, the auction closes, the winner is told. Then every
    file and log that the network wrote is searched for the bids, the bidders, key names and function names.
    """
    from cloister.demo.auction import CHAINCODE, new_script, play
    from cloister.demo.peer_view import view_transaction
    from cloister.demo.search import search_folder

    progress = silent if as_json else tell
    started = time.monotonic()
    if not as_json and not plain:
        warn_simulation()
    script = new_script()
    with _network(directory, kind, quiet=as_json) as network:
        played = asyncio.run(play(network, script, plain=plain, progress=progress))
        view = view_transaction(network, played.bid_transaction, CHAINCODE)
        network.down()  # so that everything is on disk that will ever be
        progress("searching everything that the network wrote")
        found = search_folder(network.folder, script.needles())
        if as_json:
            print_json(_document(network, script, played, view, found, plain=plain, seconds=time.monotonic() - started))
        else:
            _show(script, played, view, found, plain=plain)


@contextlib.contextmanager
def _network(directory: Path | None, kind: str, *, quiet: bool) -> Iterator[Network]:
    """A network for the demo alone; stopped at the end, and removed unless its folder was named."""
    from cloister.network import Network, NetworkOptions, embedded_options
    from cloister.network.options import EMBEDDED

    options = embedded_options() if kind == EMBEDDED else NetworkOptions()
    with working_folder(directory, "cloister-demo-") as folder:
        network: Network | None = None
        try:
            network = Network.up(folder, options, progress=silent if quiet else tell)
            yield network
        finally:
            if network is not None:
                network.down()


def _document(
    network: Network,
    script: Script,
    played: Played,
    view: PeerView,
    found: SearchResult,
    *,
    plain: bool,
    seconds: float,
) -> dict[str, Any]:
    return {
        "network": network.layout.options.kind,
        "fabric_version": network.layout.fabric_version,
        "confidential": not plain,
        "simulation": not plain,
        "winner": played.winner,
        "late_bid": played.late_answer,
        "bids": len(script.bids),
        "plaintext_hits": [asdict(hit) for hit in found.hits],
        "searched": {"files": found.files, "bytes": found.bytes_searched, "for": sorted(script.needles())},
        "peer_sees": {
            "transaction_id": view.transaction_id,
            "block": played.block_number,
            "arguments": [argument.hex() for argument in view.arguments],
            "response": view.response.hex(),
            "writes": [{"key": key.hex(), "value": value.hex()} for key, value in view.writes],
            "database": {"file": view.database_file, "bytes": view.database_bytes.hex()},
        },
        "seconds": round(seconds, 1),
    }


def _show(script: Script, played: Played, view: PeerView, found: SearchResult, *, plain: bool) -> None:
    click.echo()
    bids = Table("organisation", "bidder", "bid", title="What the bidders know", title_justify="left")
    for bid in script.bids:
        bids.add_row(bid.organisation, bid.bidder, str(bid.value))
    bids.add_row(script.late.organisation, script.late.bidder, f"{script.late.value} → {played.late_answer}")
    talk.print(bids)
    click.echo(f"winner: {played.winner['bidder']} with {played.winner['value']}")
    talk.print(_peer_table(played, view))
    _show_search(found, plain=plain)


def _peer_table(played: Played, view: PeerView) -> Table:
    title = f"What an administrator of a peer sees of the first bid (block {played.block_number})"
    table = Table("where", "bytes", title=title, title_justify="left")
    table.add_row("transaction", view.transaction_id)
    for position, argument in enumerate(view.arguments):
        table.add_row(f"block: argument {position}", _hex(argument))
    table.add_row("block: response", _hex(view.response))
    for key, value in view.writes:
        table.add_row("block: key written", _hex(key))
        table.add_row("block: value written", _hex(value))
    table.add_row(f"on disk: {view.database_file}", _hex(view.database_bytes))
    return table


def _show_search(found: SearchResult, *, plain: bool) -> None:
    looked = f"{found.files} files, {found.bytes_searched / 1e6:.1f} MB"
    if not found.hits:
        click.echo(f"plaintext found in what the network wrote: none ({looked})")
        return
    click.echo(f"plaintext found in what the network wrote: {len(found.hits)} places ({looked})")
    for hit in found.hits[:_HITS_SHOWN]:
        click.echo(f"  {hit.file} at byte {hit.offset}: {hit.what}")
    if len(found.hits) > _HITS_SHOWN:
        click.echo(f"  … and {len(found.hits) - _HITS_SHOWN} more")
    if plain:
        click.echo("(as expected: this was ordinary chaincode; without --plain nothing is found)")


def _hex(value: bytes) -> str:
    text = value[:_HEX_SHOWN].hex()
    return f"{text}… ({len(value)} bytes)" if len(value) > _HEX_SHOWN else text
