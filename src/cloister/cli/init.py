"""`cloister init`: bring an organisation's enclave to life."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

import click

from .presentation import print_json, silent, tell, warn_simulation
from .target import Target, target_options


@click.command()
@target_options(default_user="org1/Admin")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.argument("chaincode")
def init(*, target: Target, as_json: bool, chaincode: str) -> None:
    """Register this organisation's enclave of CHAINCODE and give it the chaincode's keys.

    Run it once at each organisation, with an identity of that organisation, while its host runs. The first one makes
    the keys and, with --policy, sets the channel's appraisal policy; the others get the keys wrapped to their attested
    enclaves. Running it again continues where it stopped.
    """

    async def run() -> None:
        from cloister.client.initialise import Initialiser

        async with target.gateway() as gateway:
            done = await Initialiser(
                gateway.network(target.channel_name),
                chaincode=chaincode,
                registry=target.registry,
                msp_id=gateway.identity.msp_id,
                policy=target.policy_bytes(),
                ledger_measurement=target.ledger_measurement(),
                progress=silent if as_json else tell,
            ).run()
        if as_json:
            print_json(asdict(done))
            return
        if done.kind == "simulation":
            warn_simulation()
        tell(f"enclave of {done.msp_id} is ready for {done.chaincode}, sequence {done.sequence}")
        click.echo(f"measurement {done.measurement}")
        click.echo(f"key set     {done.key_set_id}")

    asyncio.run(run())
