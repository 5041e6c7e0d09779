"""`cloister host`: run an organisation's host and its enclave."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import click

from .presentation import tell, warn_simulation


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
