"""`cloister host`: run an organisation's host and its enclave."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloister.errors import UsageError

from .presentation import print_json, tell, warn_simulation
from .target import Target, read_file, target_options

if TYPE_CHECKING:
    from cloister.client.upgrade import KeyExports, SignedApproval
    from cloister.host.config import HostConfig


@click.group()
def host() -> None:
    """Run an organisation's host with its enclave."""


@host.command()
@click.option("--config", "config_path", type=click.Path(path_type=Path), required=True, help="The host.toml to use.")
def run(*, config_path: Path) -> None:
    """Serve one confidential chaincode until Ctrl-C.

    Starts the enclave (from its sealed state, if there is one) and the chaincode server that the peer dials. The first
    time, run `cloister init` afterwards. An enclave that dies is started again; nothing committed is lost.
    """
    from cloister.host.config import load_host_config
    from cloister.host.service import Host

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    config = load_host_config(config_path)
    warn_simulation()
    tell(f"host of {config.msp_id} for chaincode {config.chaincode}, listening on {config.listen}")

    async def serve() -> None:
        await Host(config).serve_forever()

    asyncio.run(serve())


@host.command()
def example() -> None:
    """Print an example host.toml."""
    from cloister.host.config import EXAMPLE

    click.echo(EXAMPLE, nl=False)


@host.command()
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), required=True, help="The host.toml of the old host."
)
@click.option(
    "--approval",
    "approvals",
    type=click.Path(path_type=Path),
    multiple=True,
    help="An approval made by `cloister upgrade approve`; one of each organisation.",
)
@target_options(default_user="org1/Admin")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def export(*, config_path: Path, approvals: tuple[Path, ...], target: Target, as_json: bool) -> None:
    """Hand an old enclave's keys to the enclaves of the definition that is committed now.

    After an upgrade peers call the new hosts only. This starts the old enclave from its sealed state (its host need not
    run, and may), lets it appraise every newcomer that is registered without keys, and posts the keys wrapped to it.
    Enclaves of another measurement get keys only with an approval by an administrator of every organisation. Before:
    `cloister init` at the organisation whose new enclave comes first; afterwards: `cloister init` again, everywhere.
    """
    from cloister.client.registry_client import RegistryClient
    from cloister.client.upgrade import KeyExports, parse_approval
    from cloister.host.config import load_host_config

    config = load_host_config(config_path)
    signed = [(str(path), parse_approval(read_file(path), str(path))) for path in approvals]

    async def run() -> list[dict[str, Any]]:
        async with target.gateway() as gateway:
            registry = RegistryClient(gateway.network(target.channel_name), config.registry, gateway.identity.msp_id)
            return await _export_to_all(config, KeyExports(registry, config.chaincode), signed, quiet=as_json)

    done = asyncio.run(run())
    if as_json:
        print_json(done)
        return
    warn_simulation()
    for item in done:
        click.echo(f"keys of sequence {item['exporter_sequence']} posted for {item['msp_id']} {item['newcomer']}")
    tell("now run `cloister init` for each organisation")


async def _export_to_all(
    config: HostConfig, exports: KeyExports, signed: list[tuple[str, SignedApproval]], *, quiet: bool
) -> list[dict[str, Any]]:
    from cloister.client.upgrade import collect_approvals
    from cloister.host.key_export import export_from_sealed_state
    from cloister.trusted.protocol.upgrade import UpgradeApproval
    from cloister.wire.messages import ExportKeys

    sequence, measurement = await exports.committed()
    expected = UpgradeApproval(await exports.genesis_hash(), config.chaincode, sequence, measurement)
    upgrade = collect_approvals(signed, expected)
    newcomers = await exports.waiting()
    if not newcomers:
        raise UsageError(
            f"no enclave of {config.chaincode}, sequence {sequence}, waits for keys",
            hint="run `cloister init` where its new host runs; it registers the enclave",
        )
    done = []
    for newcomer in newcomers:
        if not quiet:
            tell(f"{config.chaincode}: exporting the keys to the enclave of {newcomer.msp_id}")
        keys = await export_from_sealed_state(config, ExportKeys(newcomer.evidence, newcomer.endorsements, upgrade))
        await exports.post(newcomer, export=keys.export, exporter=keys.exporter, sequence=keys.sequence)
        done.append(
            {
                "newcomer": newcomer.evidence_id,
                "msp_id": newcomer.msp_id,
                "sequence": sequence,
                "exporter": keys.exporter,
                "exporter_sequence": keys.sequence,
            }
        )
    return done
