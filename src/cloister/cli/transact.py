"""`cloister submit` and `cloister evaluate`: plaintext in, plaintext out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from cloister.errors import ContractFailed

from .presentation import print_json, warn_simulation
from .target import Target, target_options

if TYPE_CHECKING:
    from cloister.client.confidential import ConfidentialResult
    from cloister.client.credentials import Credentials

_FIRST_ERROR_STATUS = 400


@dataclass(frozen=True, slots=True)
class _Call:
    """What is asked for; `action` is submit or evaluate."""

    action: str
    chaincode: str
    function: str
    arguments: Sequence[str]
    organizations: Sequence[str]


@click.command()
@target_options(default_user="org1/User1")
@click.option("--plain", is_flag=True, help="The chaincode is ordinary: nothing is sealed.")
@click.option("--org", "organizations", multiple=True, help="MSP ID of an organisation that is to endorse; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.argument("chaincode")
@click.argument("function")
@click.argument("arguments", nargs=-1)
def submit(
    *,
    target: Target,
    plain: bool,
    organizations: tuple[str, ...],
    as_json: bool,
    chaincode: str,
    function: str,
    arguments: tuple[str, ...],
) -> None:
    """Call FUNCTION of CHAINCODE and commit what it did. Prints the contract's answer.

    \b
    cloister submit auction create spring
    cloister submit --plain kv put_state greeting hello
    """
    call = _Call("submit", chaincode, function, arguments, organizations)
    asyncio.run(_transact(target, call, plain=plain, as_json=as_json))


@click.command()
@target_options(default_user="org1/User1")
@click.option("--plain", is_flag=True, help="The chaincode is ordinary: nothing is sealed.")
@click.option("--org", "organizations", multiple=True, help="MSP ID of the organisation to ask; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.argument("chaincode")
@click.argument("function")
@click.argument("arguments", nargs=-1)
def evaluate(
    *,
    target: Target,
    plain: bool,
    organizations: tuple[str, ...],
    as_json: bool,
    chaincode: str,
    function: str,
    arguments: tuple[str, ...],
) -> None:
    """Call FUNCTION of CHAINCODE at one peer, commit nothing. Prints the contract's answer."""
    call = _Call("evaluate", chaincode, function, arguments, organizations)
    asyncio.run(_transact(target, call, plain=plain, as_json=as_json))


@click.command("open")
@target_options(default_user="org1/User1")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.argument("chaincode")
@click.argument("transaction_id", metavar="TXID")
def open_outcome(*, target: Target, as_json: bool, chaincode: str, transaction_id: str) -> None:
    """Print the answer of TXID, which was submitted from here: at any time after its commit, as often as you like."""

    async def run() -> None:
        from cloister.client.confidential import open_confidential

        pending = target.pending_calls().load(transaction_id)
        async with target.gateway() as gateway:
            contract = await open_confidential(
                gateway.network(target.channel_name),
                chaincode,
                target.trust(chaincode),
                endorsing_organizations=[gateway.identity.msp_id],
                checkpoints=target.checkpoints(),
            )
            opened = await contract.open(pending)
        if opened.outcome.status >= _FIRST_ERROR_STATUS:
            raise ContractFailed(opened.outcome.message or f"contract error {opened.outcome.status}")
        more = {"transaction_id": transaction_id, "block_number": opened.statement.block}
        _print_answer(opened.outcome.payload, more, as_json=as_json)

    asyncio.run(run())


async def _transact(target: Target, call: _Call, *, plain: bool, as_json: bool) -> None:
    async with target.gateway() as gateway:
        network = gateway.network(target.channel_name)
        if plain:
            contract = network.contract(call.chaincode)
            method = contract.submit if call.action == "submit" else contract.evaluate
            answer = await method(call.function, arguments=call.arguments, endorsing_organizations=call.organizations)
            _print_answer(answer, {}, as_json=as_json)
            return
        from cloister.client.confidential import open_confidential

        own = [gateway.identity.msp_id]
        trust = target.trust(call.chaincode)
        opened = await open_confidential(
            network, call.chaincode, trust, endorsing_organizations=own, checkpoints=target.checkpoints()
        )
        if not as_json:
            _warn(opened.credentials)
        if call.action == "submit":
            result = await opened.submit(
                call.function,
                *call.arguments,
                endorsing_organizations=call.organizations,
                on_pending=target.pending_calls().keep,
            )
        else:
            result = await opened.evaluate(
                call.function, *call.arguments, endorsing_organizations=call.organizations or own
            )
        _print_answer(result.payload, _describe(result, opened.credentials), as_json=as_json)


def _describe(result: ConfidentialResult, credentials: Credentials) -> dict[str, Any]:
    statement = result.verified.statement
    return {
        "transaction_id": result.transaction_id,
        "block_number": result.block_number or None,
        "measurement": statement.measurement.hex(),
        "chaincode_sequence": statement.sequence,
        "simulated": credentials.verdict.simulated,
        "reveal": statement.reveal,
    }


def _warn(credentials: Credentials) -> None:
    if credentials.verdict.simulated:
        warn_simulation()


def _print_answer(answer: bytes, more: dict[str, Any], *, as_json: bool) -> None:
    try:
        text = answer.decode("utf-8")
    except UnicodeDecodeError as error:
        if not as_json:
            raise ContractFailed("the answer is not text", hint="use --json: it shows bytes as hex") from error
        print_json({"result_hex": answer.hex(), **more})
        return
    if as_json:
        print_json({"result": text, **more})
    else:
        click.echo(text)
