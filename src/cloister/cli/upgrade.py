"""`cloister upgrade`: an administrator's approval that a chaincode's keys go to another measurement."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from cloister.errors import EnvironmentFailed, UsageError

from .presentation import print_json, tell
from .target import Target, measurements_of, target_options


@click.group()
def upgrade() -> None:
    """Approve that a chaincode's keys go to another measurement."""


@upgrade.command()
@target_options(default_user="org1/Admin")
@click.option(
    "--sequence",
    type=click.IntRange(min=1),
    help="Sequence of the definition [default: the next one, or the committed one if it has this measurement].",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="File to write [default: CHAINCODE_SEQUENCE_MSPID.approval]."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.argument("chaincode")
def approve(*, target: Target, sequence: int | None, out: Path | None, as_json: bool, chaincode: str) -> None:
    """Sign, as an administrator, that the keys of CHAINCODE may go to the code of --contract (or --measurement).

    The keys open everything that CHAINCODE ever sealed: read that code first. Enclaves hand the keys over only when an
    administrator of every organisation of the channel has signed this very measurement for this very sequence; send the
    file to whoever runs `cloister host export`. It is no secret.

    \b
    cloister upgrade approve --as org2/Admin --contract vault2.py vault
    """
    from cloister.client.upgrade import sign_approval
    from cloister.trusted.protocol.upgrade import UpgradeApproval

    measurements = measurements_of(target.measurements, target.contract)
    if len(measurements) != 1:
        raise UsageError("approve one measurement at a time: give --contract FILE.py or --measurement HEX once")
    (measurement,) = measurements

    async def run() -> tuple[Any, str]:
        number, committed = sequence, ""
        if number is None:
            number, committed = await _next_sequence(target, chaincode, measurement)
        approval = UpgradeApproval(target.genesis_hash(), chaincode, number, measurement)
        return await sign_approval(approval, *target.identity()), committed

    signed, committed = asyncio.run(run())
    path = out or Path(f"{chaincode}_{signed.approval.sequence}_{signed.msp_id}.approval")
    try:
        path.write_bytes(signed.encode())
    except OSError as error:
        raise EnvironmentFailed(f"{path}: {error.strerror}") from error
    facts = {
        "approved_by": signed.msp_id,
        "chaincode": chaincode,
        "sequence": signed.approval.sequence,
        "measurement": signed.approval.measurement.hex(),
        "genesis_hash": signed.approval.genesis_hash.hex(),
        "committed_now": committed or None,
        "file": str(path),
    }
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        if value is not None:
            click.echo(f"{name.replace('_', ' '):13} {value}")
    tell("whoever holds such a file of every organisation can have the keys handed to this code")


async def _next_sequence(target: Target, chaincode: str, measurement: bytes) -> tuple[int, str]:
    """(the sequence that is meant, what is committed now in words)."""
    from cloister.lifecycle import Lifecycle

    async with target.gateway() as gateway:
        found = await Lifecycle(gateway, target.channel_name).query_committed(chaincode)
    if found is None:
        raise UsageError(
            f"chaincode {chaincode} is not committed on channel {target.channel_name}: there is nothing to upgrade",
            hint="give --sequence to approve beforehand",
        )
    sequence = found.sequence if found.version == measurement.hex() else found.sequence + 1
    return sequence, f"sequence {found.sequence}, version {found.version}"
