"""`cloister network`: Fabric networks on this machine, real or embedded."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from cloister.deploy.servers import start_again
from cloister.network import Network, NetworkOptions, embedded_options
from cloister.network.claim import holds_network
from cloister.network.network import LOUD
from cloister.network.options import EMBEDDED

from .presentation import print_json, silent, tell

DEFAULT_DIRECTORY = Path("cloister-network")
directory = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_DIRECTORY,
    show_default=True,
    envvar="CLOISTER_NETWORK",
    help="The network's folder.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


@click.group()
def network() -> None:
    """Start, show and stop a Fabric network on this machine, real or embedded. For development and tests only."""


@network.command()
@directory
@click.option("--embedded", is_flag=True, help="One Python process instead of Fabric's programs: up in a second.")
@click.option("--orgs", "organisations", type=int, help="Peer organisations, one peer each.  [default: 2]")
@click.option("--channel", help="Name of the channel that all join.  [default: mychannel]")
@click.option("--batch-timeout", help="A block is cut after this time at the latest.  [default: 200ms]")
@click.option("--orderers", type=int, help="Orderers: 1 to 7, with BFT 4 to 7.  [default: 1]")
@click.option("--consensus", help="How they agree: raft, or bft (Fabric 3.1 programs only).  [default: raft]")
@as_json
def up(*, directory: Path, as_json: bool, embedded: bool, **given: Any) -> None:
    """Start a TLS network: peers, orderers, a joined channel; or a stopped one again, with its ledgers.

    With --embedded it is one Python process with Fabric's own services and blocks, which needs no Fabric programs.
    Ports are chosen free, so several networks can run side by side. Left behind in the folder: connection profiles,
    environment files for the peer CLI (source ORG/peer.env), network.json with everything else.
    """
    started = time.monotonic()
    running = Network.up(directory, _options(directory, given, embedded=embedded), progress=silent if as_json else tell)
    try:
        for name in start_again(running):
            tell(f"{name} runs again")
        if as_json:
            print_json(_describe(running))
            return
        tell(f"network in {running.folder} is up after {time.monotonic() - started:.1f} s (development and tests only)")
        _print_status(running)
    except KeyboardInterrupt:
        running.down()  # Ctrl-C before the last word: nothing is left running
        raise


@network.command()
@directory
@as_json
def status(*, directory: Path, as_json: bool) -> int:
    """Show which programs run. Exit code 0 if all do, 1 if not."""
    found = Network.load(directory)
    if as_json:
        print_json(_describe(found))
    else:
        _print_status(found)
    return 0 if all(process.pid for process in found.status()) else 1


@network.command()
@directory
@click.option("--remove", is_flag=True, help="Delete the folder with all ledgers and keys too.")
@as_json
def down(*, directory: Path, remove: bool, as_json: bool) -> None:
    """Stop the network and the chaincode servers deployed on it. Its ledgers stay, unless --remove is given."""
    found = Network.load(directory)
    stopped = found.down(remove=remove)
    if as_json:
        print_json({"stopped": stopped, "removed": remove})
    else:
        tell(f"{stopped} programs stopped{', folder removed' if remove else ''}")


def _options(directory: Path, given: dict[str, Any], *, embedded: bool) -> NetworkOptions:
    """What was given on the command line over what the network in the folder has, or else over the defaults."""
    named = {name: value for name, value in given.items() if value is not None}
    defaults = embedded_options() if embedded else NetworkOptions()
    present = Network.load(directory).layout.options if holds_network(directory) else defaults
    if embedded:
        named["kind"] = EMBEDDED
    return replace(present, **named)


def _describe(found: Network) -> dict[str, Any]:
    return {
        "directory": str(found.folder),
        "channel": found.channel,
        "kind": found.layout.options.kind,
        "fabric_version": found.layout.fabric_version,
        "processes": [asdict(process) for process in found.status()],
        "organisations": [
            {
                "name": item.name,
                "msp_id": item.msp_id,
                "peer": item.peer_endpoint,
                "connection_profile": str(item.folder / "connection.json"),
                "environment": str(item.folder / "peer.env"),
            }
            for item in found.organisations
        ],
    }


def _print_status(found: Network) -> None:
    if found.is_embedded:
        tell(LOUD)
    for process in found.status():
        state = f"running, pid {process.pid}" if process.pid else "stopped"
        click.echo(f"{process.name:12} {process.endpoint:22} {state}")
