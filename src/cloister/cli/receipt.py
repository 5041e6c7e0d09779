"""`cloister receipt`: show others what a confidential transaction was, and check what others show."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloister.errors import EnvironmentFailed

from .presentation import print_json, tell, warn_simulation
from .target import Target, read_file, target_options

if TYPE_CHECKING:
    from cloister.client.receipt import Receipt

_OK = 400


@click.group()
def receipt() -> None:
    """Export and verify receipts of confidential transactions."""


@receipt.command()
@target_options(default_user="org1/User1")
@click.option("--out", type=click.Path(path_type=Path), help="The file to write [default: TXID.receipt.json].")
@click.option("--sealed", is_flag=True, help="Keep the outcome sealed: show that and what, not the answer.")
@click.argument("chaincode")
@click.argument("transaction_id", metavar="TXID")
def export(*, target: Target, out: Path | None, sealed: bool, chaincode: str, transaction_id: str) -> None:
    """Write one file that shows what TXID of CHAINCODE did. It was submitted from here; others need no network."""

    async def run() -> bytes:
        from cloister.client.confidential import open_confidential
        from cloister.client.receipt import make_receipt

        pending = target.pending_calls().load(transaction_id)
        async with target.gateway() as gateway:
            network = gateway.network(target.channel_name)
            own = [gateway.identity.msp_id]
            contract = await open_confidential(
                network,
                chaincode,
                target.trust(chaincode),
                endorsing_organizations=own,
                checkpoints=target.checkpoints(),
            )
            opened = await contract.open(pending)
            block = await network.get_contract("qscc").evaluate(
                "GetBlockByTxID", arguments=[network.name, transaction_id], endorsing_organizations=own
            )
            return make_receipt(
                channel=network.name,
                chaincode=chaincode,
                credentials=contract.credentials,
                opened=opened,
                block=block,
                response_key=b"" if sealed else pending.response_key,
            )

    encoded = asyncio.run(run())
    path = out or Path(f"{transaction_id}.receipt.json")
    try:
        path.write_bytes(encoded)
    except OSError as error:
        raise EnvironmentFailed(f"{path}: {error.strerror}") from error
    tell(f"receipt written to {path}" + (", the outcome stays sealed" if sealed else ", with the outcome"))


@receipt.command()
@click.option("--policy", type=click.Path(path_type=Path), required=True, help="Your appraisal policy, JSON.")
@click.option("--genesis", required=True, help="The channel's block 0, file or header hash.")
@click.option("--measurement", "measurements", multiple=True, help="A measurement you trust, hex; repeatable.")
@click.option("--contract", help="Or the contract that you trust, FILE.py.")
@click.option("--ledger-measurement", help="The ledger enclave's, hex (default: this version's own).")
@click.option("--registry", default="registry", show_default=True, help="Name of the enclave registry chaincode.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.argument("file", type=click.Path(path_type=Path))
def verify(
    *,
    policy: Path,
    genesis: str,
    measurements: tuple[str, ...],
    contract: str | None,
    ledger_measurement: str | None,
    registry: str,
    as_json: bool,
    file: Path,
) -> None:
    """Check a receipt offline: no network, no Fabric. Names the link that broke; exit code 4."""
    from cloister.client.credentials import Trust
    from cloister.client.receipt import verify_receipt
    from cloister.trusted.attest.policy import parse_policy

    from .target import genesis_hash_of, ledger_measurement_of, measurements_of

    trust = Trust(
        policy=parse_policy(read_file(policy)),
        genesis_hash=genesis_hash_of(genesis),
        measurements=measurements_of(measurements, contract),
        ledger_measurements=frozenset({ledger_measurement_of(ledger_measurement)}),
        registry=registry,
    )
    found = verify_receipt(read_file(file), trust)
    if as_json:
        print_json(_document(found))
        return
    if found.credentials.verdict.simulated:
        warn_simulation()
    for name, value in _document(found).items():
        if value not in (None, ""):
            click.echo(f"{name.replace('_', ' '):18} {value}")
    click.echo("receipt holds")


def _document(found: Receipt) -> dict[str, Any]:
    outcome = found.outcome
    return {
        "channel": found.channel,
        "chaincode": found.chaincode,
        "transaction_id": found.transaction_id,
        "caller": f"{found.creator_msp_id} {found.creator}",
        "measurement": found.statement.measurement.hex(),
        "sequence": found.statement.sequence,
        "simulated": found.credentials.verdict.simulated,
        "block": found.commit.block,
        "block_hash": found.commit.block_hash.hex(),
        "signed_by": ", ".join(f"{msp_id} {subject}" for msp_id, subject in found.signers),
        "seen_at_height": found.commit.checkpoint.height,
        "keys_written": found.writes,
        "reveal": found.statement.reveal,
        "status": outcome.status if outcome is not None else None,
        "error": outcome.message if outcome is not None and outcome.status >= _OK else None,
        "answer": _text(outcome.payload) if outcome is not None and outcome.status < _OK else None,
    }


def _text(payload: bytes) -> str:
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError:
        return payload.hex()
