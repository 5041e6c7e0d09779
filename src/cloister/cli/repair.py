"""`cloister repair`: put back what a chaincode last wrote where a rogue transaction wrote under its name."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from cloister.errors import UsageError

from .ledger import ask_service, service_address
from .presentation import parse_key, print_json, progress_bar, show_key, tell
from .target import Target, target_options

if TYPE_CHECKING:
    from cloister.client.repair import Repair, Suspect


@click.command()
@target_options(default_user="org1/User1")
@click.option("--ledger-service", "address", help="With --profile: host:port of your organisation's ledger service.")
@click.option("--transaction", "transactions", multiple=True, metavar="TXID", help="Only what TXID wrote; repeatable.")
@click.option("--org", "organizations", multiple=True, help="MSP ID of an organisation that is to endorse; repeatable.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, submit nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.argument("chaincode")
@click.argument("keys", nargs=-1, metavar="[KEY]...")
def repair(
    *,
    target: Target,
    address: str | None,
    transactions: tuple[str, ...],
    organizations: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    chaincode: str,
    keys: tuple[str, ...],
) -> None:
    """Put back what CHAINCODE itself last wrote, where a transaction that no enclave signed wrote under its name.

    Reading such keys fails closed; `cloister ledger suspects` lists them, and shows each KEY as it is given here.
    Without KEY and --transaction everything that is listed is repaired, but for what was there before CHAINCODE became
    confidential: name the KEY, or --transaction before, to delete that. A key that CHAINCODE never wrote, or had
    deleted, is deleted. Enclaves restore only what their ledger enclave knows as last covered, so anybody who may write
    on the channel may repair.
    """
    if target.profile is None and address is None:
        address = service_address(target.directory, target.user.partition("/")[0])
    if address is None:
        raise UsageError("--profile needs --ledger-service HOST:PORT too", hint="[service] listen in ledger.toml")
    from cloister.client.repair import parse_suspects

    listed = parse_suspects(ask_service(address, lambda service: service.suspects()), chaincode)
    chosen = choose(listed, chaincode, transactions, [parse_key(key) for key in keys])
    done = asyncio.run(_repair(target, chaincode, chosen, organizations, dry_run=dry_run, quiet=as_json))
    if as_json:
        print_json(done)
        return
    for item in done:
        by = f", by transaction {item['repaired_by']}" if item["repaired_by"] else " (not done: --dry-run)"
        click.echo(f"{show_key(item['key'])}: {item['action']}{by}")
    if not done:
        click.echo("nothing to repair")


def choose(
    listed: Sequence[Suspect], chaincode: str, transactions: Sequence[str], keys: Sequence[str]
) -> list[Suspect]:
    """What to repair of what is listed. Raises: UsageError if something is named that is not."""
    from cloister.client.repair import BEFORE

    for what, named, known in (
        ("transaction", transactions, {item.transaction_id for item in listed}),
        ("key", keys, {item.key for item in listed}),
    ):
        for name in named:
            if name not in known:
                raise UsageError(
                    f"{what} {show_key(name)} is not among the suspects of {chaincode}",
                    hint="see `cloister ledger suspects`; what was repaired or overwritten is listed no more",
                )
    chosen = {
        item.key
        for item in listed
        if (not transactions or item.transaction_id in transactions)
        and (not keys or item.key in keys)
        and (transactions or keys or item.transaction_id != BEFORE)
    }
    return [item for item in listed if item.key in chosen]  # value and endorsement parameter are repaired together


async def _repair(
    target: Target,
    chaincode: str,
    suspects: Sequence[Suspect],
    organizations: Sequence[str],
    *,
    dry_run: bool,
    quiet: bool,
) -> list[dict[str, Any]]:
    from cloister.client.confidential import open_confidential
    from cloister.client.repair import batches, blocks_of_own_peer, plan_repairs, submit_repairs

    done: list[dict[str, Any]] = []
    if not suspects:
        return done
    async with target.gateway() as gateway:
        network = gateway.network(target.channel_name)
        with progress_bar("looking for what was last covered", "blocks", total=None, quiet=quiet) as advance:
            repairs = await plan_repairs(blocks_of_own_peer(network), suspects, advance=advance)
        if dry_run:
            return [_document(item, None) for item in repairs]
        contract = await open_confidential(
            network,
            chaincode,
            target.trust(chaincode),
            endorsing_organizations=[gateway.identity.msp_id],
            checkpoints=target.checkpoints(),
        )
        for batch in batches(repairs):
            result = await submit_repairs(contract, batch, endorsing_organizations=organizations)
            done += [_document(item, result.transaction_id) for item in batch]
            if not quiet:
                tell(f"{chaincode}: {len(done)} of {len(repairs)} keys repaired")
    return done


def _document(item: Repair, transaction_id: str | None) -> dict[str, Any]:
    return {
        "key": item.key,
        "action": item.action,
        "written_by": sorted({suspect.transaction_id for suspect in item.suspects}),
        "found_in_blocks": list(item.found),
        "repaired_by": transaction_id,
    }
