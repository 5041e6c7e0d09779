"""`cloister ledger`: judge a Fabric ledger without believing a peer; run an organisation's ledger enclave."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import signal
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cloister.errors import MalformedInput
from cloister.network.options import BFT, RAFT

from .presentation import print_json, progress_bar, show_key, status_line, tell, warn_simulation, working_folder
from .target import DEFAULT_DIRECTORY, is_hash, read_file

if TYPE_CHECKING:
    from cloister.ledger.snapshot import StateDifference
    from cloister.ledger.verify import Report
    from cloister.ledger_service.client import LedgerServiceClient
    from cloister.testing.comparison import Comparison

EXIT_DIFFERENCES = 1
EXIT_HALTED = 4
_SHOWN = 20
_T = TypeVar("_T")


def service_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say which ledger service is meant; the command gets its `address`."""

    @click.option("--address", help="host:port of the ledger service, instead of --dir and --org.")
    @click.option(
        "--dir",
        "directory",
        type=click.Path(path_type=Path),
        default=Path(DEFAULT_DIRECTORY),
        show_default=True,
        envvar="CLOISTER_NETWORK",
        help="Folder of a network started with `cloister network up`.",
    )
    @click.option("--org", default="org1", show_default=True, help="Organisation of that network.")
    @functools.wraps(function)
    def wrapper(*, address: str | None, directory: Path, org: str, **options: Any) -> Any:
        return function(address=address or service_address(directory, org), **options)

    return wrapper


def service_address(directory: Path, org: str) -> str:
    """host:port of an organisation's ledger service in a network of ours. Raises: CloisterError."""
    from cloister.ledger_service.config import load_ledger_config
    from cloister.network import Network

    folder = Network.load(directory).organisation(org).folder / "ledger"
    host, port = load_ledger_config(folder / "ledger.toml").listen
    return f"{host}:{port}"


@click.group()
def ledger() -> None:
    """Judge a Fabric ledger without believing a peer; run an organisation's ledger enclave."""


@ledger.command()
@click.option("--genesis", help="Block 0 that you trust, as file, or its header hash: else block 0 found is trusted.")
@click.option("--channel", help="Which ledger, if the folder holds several.")
@click.option(
    "--snapshot",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="A peer's snapshot of its last block (`peer snapshot submitrequest`): compare the whole state with it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.argument("path", type=click.Path(path_type=Path))
def verify(*, genesis: str | None, channel: str | None, snapshot: Path | None, as_json: bool, path: Path) -> int:
    """Recompute every verdict of the ledger at PATH from its genesis block on.

    PATH is a folder of serialised blocks (*.block, any names), a peer's own ledger directory
    (ledgersData/chains/chains/CHANNEL), or one above it. Where a block carries the peer's verdicts and commit hash,
    every difference is reported.

    Exit code 0: all judged, no difference; 1: the peer's verdicts or state differ; 4: a block must not be accepted.
    """
    from cloister.ledger.snapshot import read_snapshot
    from cloister.ledger.sources import open_source
    from cloister.ledger.verify import verify_ledger

    source = open_source(path, channel)
    with progress_bar("judging", "blocks", total=source.count, quiet=as_json) as advance:
        report = verify_ledger(
            source.blocks(),
            genesis_hash=_genesis_hash(genesis),
            progress=lambda _: advance(1),
            snapshot=read_snapshot(snapshot) if snapshot is not None else None,
        )
    if as_json:
        print_json(_document(report))
    else:
        _show(source.description, report)
    if report.halted:
        return EXIT_HALTED
    return 0 if report.clean else EXIT_DIFFERENCES


@ledger.command()
@click.option("--config", "config_path", type=click.Path(path_type=Path), required=True, help="The ledger.toml to use.")
def run(*, config_path: Path) -> None:
    """Run an organisation's ledger enclave until Ctrl-C.

    It follows the channel through the orderers, judges every block for itself and answers the organisation's chaincode
    enclaves. One serves all confidential chaincode of a channel. Stopped and started again it goes on from its sealed
    checkpoint. See `cloister ledger example` for a configuration.

    Exit code 0: stopped; 4: no orderer serves a chain that the enclave accepts, the reason is told.
    """
    from cloister.ledger_service.config import load_ledger_config
    from cloister.ledger_service.service import LedgerService

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    config = load_ledger_config(config_path)
    warn_simulation()
    address = ":".join(map(str, config.listen))
    tell(f"ledger enclave of {config.msp_id} for channel {config.channel}, service on {address}")

    async def serve() -> None:
        serving = asyncio.ensure_future(LedgerService(config).serve())
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await serving

    asyncio.run(serve())


@ledger.command()
def example() -> None:
    """Print an example ledger.toml."""
    from cloister.ledger_service.config import EXAMPLE

    click.echo(EXAMPLE, nl=False)


@ledger.command()
def measure() -> None:
    """Print the measurement of this version's ledger enclave: what clients pin beside the contract's."""
    from cloister.trusted.attest.measurement import compute_ledger_measurement

    click.echo(compute_ledger_measurement().hex())


@ledger.command()
@service_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def status(*, address: str, as_json: bool) -> None:
    """Tell where an organisation's ledger enclave stands."""
    found = ask_service(address, lambda service: service.status())
    if as_json:
        print_json(found)
        return
    click.echo(
        f"{found['state']}: channel {found['channel']}, height {found['height']}, block hash {found['block_hash']}"
    )
    click.echo(f"keys {found['keys']}, transactions {found['transactions']}, suspects {found['suspects']}")
    click.echo(f"source {found['source']}, sealed at height {found['sealed_height']}")
    for name in ("reason", "message", "warning"):
        if found[name]:
            click.echo(f"{name}: {found[name]}")
    for source, reason in found["refused_sources"].items():
        click.echo(f"REFUSED {source}: {reason}")


@ledger.command()
@service_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def suspects(*, address: str, as_json: bool) -> int:
    """List keys of confidential chaincode that were last written by a transaction that no enclave signed.

    Reading them fails closed; `cloister repair` puts back what was there before. Exit code 0: none; 1: there are some.
    """
    found = ask_service(address, lambda service: service.suspects())
    if as_json:
        print_json(found)
    for item in [] if as_json else found:
        what = "endorsement parameter of " if item["parameter"] else ""
        place = f"block {item['block']}, transaction {item['transaction_id']}"
        click.echo(f"{item['chaincode']}: {what}{show_key(item['key'])}: {place}")
    if not found and not as_json:
        click.echo("none")
    return EXIT_DIFFERENCES if found else 0


def ask_service(address: str, question: Callable[[LedgerServiceClient], Awaitable[_T]]) -> _T:
    """One question to a ledger service. Raises: LedgerLost."""
    from cloister.ledger_service.client import open_ledger_service

    async def ask() -> _T:
        service = await open_ledger_service(address)
        try:
            return await question(service)
        finally:
            await service.close()

    return asyncio.run(ask())


@ledger.command()
@click.option(
    "--consensus",
    type=click.Choice([RAFT, BFT]),
    default=RAFT,
    show_default=True,
    help="One Raft orderer, or four BFT ones (Fabric 3.1 programs only).",
)
@click.option("--transactions", default=20_000, show_default=True, help="Random transactions, beside the others.")
@click.option("--seed", default=1, show_default=True, help="Of the random mixtures: the same seed, the same ledger.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the network's files in this folder [default: a temporary one, removed].",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def compare(*, consensus: str, transactions: int, seed: int, directory: Path | None, as_json: bool) -> int:
    """Check the judge against a real Fabric peer, on a ledger made to make them differ.

    Starts a network, puts a dishonest orderer in place of its own, and has the peer commit transactions with every
    kind of defect, random mixtures, and configurations that change policies, MSPs and the orderers; blocks with forged
    signatures it must refuse. Then all verdicts, commit hashes and, key by key, the whole state are compared.

    Exit code 0: no difference; 1: there are some.
    """
    from cloister.testing.run_comparison import compare as run

    with working_folder(directory, "cloister-compare-") as folder, status_line(quiet=as_json) as show:
        found = asyncio.run(run(folder, seed=seed, transactions=transactions, consensus=consensus, progress=show))
    if as_json:
        print_json(_comparison_document(found, seed))
    else:
        _show_comparison(found)
    return 0 if found.equal else EXIT_DIFFERENCES


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
        "state_differences": _state_document(report.state_differences),
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
    _show_state_differences(report.state_differences or [])
    if report.halted:
        click.echo(f"REFUSED   {report.halted} ({report.halted_reason})")
    elif report.clean:
        state = ", state equal to the snapshot" if report.state_differences is not None else ""
        click.echo(f"result    nothing to object to{state}")


def _show_state_differences(differences: list[StateDifference]) -> None:
    for item in differences[:_SHOWN]:
        place = f"{item.namespace}/{item.collection}" if item.collection else item.namespace
        click.echo(f"DIFFERENT {place} {item.key!r}: judged {item.judged}, the peer has {item.peer}")
    if len(differences) > _SHOWN:
        click.echo(f"          … and {len(differences) - _SHOWN} more keys")


def _state_document(differences: list[StateDifference] | None) -> list[dict[str, Any]] | None:
    return [asdict(item) for item in differences] if differences is not None else None


def _comparison_document(found: Comparison, seed: int) -> dict[str, Any]:
    return {
        "equal": found.equal,
        "fabric_version": found.fabric_version,
        "consensus": found.consensus,
        "seed": seed,
        "transactions": found.transactions,
        "blocks": found.blocks,
        "keys": found.keys,
        "refused_blocks": found.refused,
        "forged_blocks": found.forged,
        "verdicts": dict(sorted(found.verdicts.items())),
        "differences": [asdict(item) for item in found.differences],
        "state_differences": _state_document(found.state_differences),
        "surprises": found.surprises,
        "seconds": round(found.seconds, 1),
    }


def _show_comparison(found: Comparison) -> None:
    click.echo(f"compared  with a peer of Fabric {found.fabric_version}, {found.consensus} orderers")
    click.echo(f"          {found.transactions} transactions in {found.blocks} blocks, {found.keys} keys")
    for name, count in sorted(found.verdicts.items(), key=lambda item: -item[1]):
        click.echo(f"          {count:8} {name}")
    if found.refused:
        click.echo(
            f"          {found.refused} random blocks not delivered: a real peer hangs on them or decides by chance"
        )
    click.echo(f"          {found.forged} blocks with forged signatures, refused by both")
    for difference in found.differences[:_SHOWN]:
        click.echo(f"DIFFERENT block {difference.block}: judged {difference.judged}, the peer says {difference.peer}")
    _show_state_differences(found.state_differences)
    for surprise in found.surprises:
        click.echo(f"SURPRISE  {surprise}")
    if found.equal:
        click.echo("result    no difference")
