"""`cloister registry`: which enclaves are registered, and revoking one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import click

from .presentation import print_json, tell
from .target import Target, target_options

_SEQUENCE = click.option(
    "--sequence", type=click.IntRange(min=1), help="Of which definition [default: the one that is committed]."
)


@click.group()
def registry() -> None:
    """Show the enclaves that are registered for a chaincode; revoke one."""


@registry.command("list")
@target_options(default_user="org1/User1")
@_SEQUENCE
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.argument("chaincode")
def list_enclaves(*, target: Target, sequence: int | None, as_json: bool, chaincode: str) -> None:
    """List the enclaves of CHAINCODE, by the word of one's own organisation's peer."""

    async def run() -> list[dict[str, Any]]:
        from cloister.client.registry_client import RegistryClient

        async with target.gateway() as gateway:
            network = gateway.network(target.channel_name)
            client = RegistryClient(network, target.registry, gateway.identity.msp_id)
            found: list[dict[str, Any]] = await client.query("list_enclaves", chaincode, str(sequence or 0))
            return found

    enclaves = asyncio.run(run())
    if as_json:
        print_json(enclaves)
        return
    for item in enclaves:
        state = "REVOKED" if item["revoked"] else item["status"]
        click.echo(f"{item['evidence_id']} {item['msp_id']} {item['kind']} {state}")
    if not enclaves:
        click.echo("none")


@registry.command()
@target_options(default_user="org1/Admin")
@_SEQUENCE
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.argument("chaincode")
@click.argument("evidence_id", metavar="EVIDENCE_ID")
def revoke(*, target: Target, sequence: int | None, as_json: bool, chaincode: str, evidence_id: str) -> None:
    """Revoke the enclave EVIDENCE_ID of CHAINCODE, for good, as an administrator.

    One of the enclave's own organisation is enough; of others, more than half of the organisations that have enclaves
    of this definition must run this. From that block on ledger enclaves answer it no more, so it can run nothing, and
    no enclave hands it keys. What it knows already it knows: if its keys may have leaked, or if it made the key set,
    stop its host and commit the same definition anew, so that another enclave makes new keys. Receipts from before stay
    valid. More in docs/host.md, revoking an enclave.
    """

    async def run() -> dict[str, Any]:
        async with target.gateway() as gateway:
            contract = gateway.network(target.channel_name).get_contract(target.registry)
            answer = await contract.submit("revoke", arguments=[chaincode, evidence_id, str(sequence or 0)])
            done: dict[str, Any] = json.loads(answer)
            return done

    done = asyncio.run(run())
    if as_json:
        print_json(done)
        return
    if done["revoked"]:
        click.echo(f"revoked {evidence_id}")
    else:
        click.echo(f"noted; asked for by {', '.join(done['asked'])} so far")
        tell("it takes the enclave's own organisation, or more than half of those that have enclaves")
