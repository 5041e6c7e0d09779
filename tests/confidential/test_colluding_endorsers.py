"""Every endorser of the policy colludes, on real Fabric: transactions under the confidential chaincode's name that are
valid by all of Fabric's rules, endorsed with the peers' own keys, and that no enclave signed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest

from cloister.client.confidential import open_confidential
from cloister.deploy.deploy import Plan, connected, deploy
from cloister.deploy.servers import start_again, stop_server
from cloister.deploy.workspace import Workspace
from cloister.fabric.block import parse_block
from cloister.fabric.proposal import compute_transaction_id
from cloister.fabric.transaction import EndorsedTransaction, parse_endorsed_transaction
from cloister.gateway import EndorseError, EvaluateError
from cloister.ledger_service.client import open_ledger_service
from cloister.ledger_service.config import load_ledger_config
from cloister.lifecycle.policy_dsl import parse_policy_expression
from cloister.network import Network
from cloister.testing.forge import Draft, broadcast, rwset
from cloister.testing.signers import client_signer, peer_signer
from cloister.trusted.chaincode.repair import REPAIR
from cloister.trusted.protocol.request import Request, seal_request
from confidential.conftest import Callers
from support.command import cloister
from support.enclaves import SAMPLES

pytestmark = pytest.mark.fabric
KEEPER = "colluders"
BOUND_S = 20


@pytest.fixture(scope="module")
async def callers(any_network: Network) -> Callers:
    await deploy(any_network, Plan(KEEPER, str(SAMPLES / "secret_keeper.py")))
    callers = Callers(any_network)
    await callers.submit("org1/User1", KEEPER, "init")
    await callers.submit("org1/User1", KEEPER, "lock_secret", "the first secret")
    return callers


async def ledger_documents(network: Network) -> tuple[int, list[str]]:
    """(height, ids of the suspect transactions), as org1's ledger enclave has them."""
    config = load_ledger_config(network.organisation("org1").folder / "ledger" / "ledger.toml")
    service = await open_ledger_service(f"127.0.0.1:{config.listen[1]}")
    try:
        return (await service.status())["height"], [item["transaction_id"] for item in await service.suspects()]
    finally:
        await service.close()


async def committed(network: Network, transaction_id: str) -> EndorsedTransaction:
    """A committed transaction, as a colluding peer has it, once it is there."""
    deadline = time.monotonic() + BOUND_S
    async with connected(network.organisations[0]) as gateway:
        qscc = gateway.network(network.channel).contract("qscc")
        while True:
            try:
                block = parse_block(await qscc.evaluate_transaction("GetBlockByTxID", network.channel, transaction_id))
                break
            except EvaluateError:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
    found = [parse_endorsed_transaction(item) for item in block.transactions]
    return next(item for item in found if item.transaction_id == transaction_id)


async def collude(network: Network, writes: Sequence[tuple[str, bytes | None]], **more: object) -> str:
    """Commit writes under the chaincode's name; the transaction's id, once org1's ledger enclave has judged it."""
    draft = Draft(
        network.channel,
        KEEPER,
        client_signer(network.organisations[0]),
        [peer_signer(organisation) for organisation in network.organisations],
        namespaces=[(KEEPER, rwset(writes=writes))],
    ).but(**more)
    envelope = draft.build()
    assert await broadcast(network, [envelope]) == [200]
    transaction_id = parse_endorsed_transaction(envelope).transaction_id
    await committed(network, transaction_id)
    return transaction_id


async def writes_of(callers: Callers, function: str, *arguments: str) -> dict[str, bytes]:
    """Submit honestly; what the transaction wrote, as every peer sees it."""
    network = callers.network
    async with connected(network.organisations[0], "User1") as gateway:
        trust = Workspace(network).trust(KEEPER)
        contract = await open_confidential(gateway.network(network.channel), KEEPER, trust)
        result = await contract.submit(function, *arguments)
    transaction = await committed(network, result.transaction_id)
    part = transaction.action.namespace(KEEPER)
    return {item.key: item.value for item in part.writes} if part is not None else {}


async def refused(callers: Callers, function: str, *arguments: str) -> str:
    """The error of a call that must fail closed."""
    with pytest.raises((EndorseError, EvaluateError)) as caught:
        await callers.submit("org1/User1", KEEPER, function, *arguments)
    return str(caught.value)


async def heal(callers: Callers, function: str, *arguments: str) -> None:
    """A covered transaction overwrites what the rogue one wrote."""
    assert await callers.submit("org1/User1", KEEPER, function, *arguments) == "OK"


async def test_a7_the_rollback_attack_fails_closed_and_names_the_transaction(callers: Callers) -> None:
    """The secret keeper's own attack: an old ciphertext of the same key, genuine in every byte, put back by all."""
    old = await writes_of(callers, "lock_secret", "an old secret")
    await callers.submit("org1/User1", KEEPER, "lock_secret", "the new secret")
    assert await callers.submit("org1/User1", KEEPER, "reveal_secret") == "the new secret"
    rogue = await collude(callers.network, list(old.items()))
    told = await refused(callers, "reveal_secret")
    assert "uncovered" in told
    assert rogue in told
    assert "an old secret" not in told
    assert rogue in (await ledger_documents(callers.network))[1]
    await heal(callers, "lock_secret", "the newest secret")
    assert await callers.submit("org1/User1", KEEPER, "reveal_secret") == "the newest secret"
    assert rogue not in (await ledger_documents(callers.network))[1]


async def test_p6_a_rogue_delete_is_no_honest_absence(callers: Callers) -> None:
    written = await writes_of(callers, "lock_secret", "not to be forgotten")
    rogue = await collude(callers.network, [(key, None) for key in written])
    assert rogue in await refused(callers, "reveal_secret")
    await heal(callers, "lock_secret", "remembered")
    assert await callers.submit("org1/User1", KEEPER, "reveal_secret") == "remembered"


async def test_a8_a_genuine_result_in_another_transaction_covers_nothing(callers: Callers) -> None:
    """Statement, writes and ciphertext of one enclave's result, committed again under another transaction id."""
    written = await writes_of(callers, "lock_secret", "once is enough")
    await callers.submit("org1/User1", KEEPER, "lock_secret", "twice")
    rogue = await collude(callers.network, list(written.items()), arguments=(b"replayed",))
    assert rogue in await refused(callers, "reveal_secret")
    await heal(callers, "lock_secret", "and again")
    assert await callers.submit("org1/User1", KEEPER, "reveal_secret") == "and again"


async def test_p10_calls_under_the_chaincodes_name_without_a_sealed_request_cover_nothing(callers: Callers) -> None:
    """What a call from other chaincode, or `__invoke` sent as a transaction, would look like."""
    before = (await ledger_documents(callers.network))[1]
    rogue = await collude(callers.network, [("planted", b"value")], arguments=(b"lock_secret", b"planted"))
    assert set((await ledger_documents(callers.network))[1]) - set(before) == {rogue}
    assert await callers.submit("org1/User1", KEEPER, "reveal_secret")


# --- repair -----------------------------------------------------------------------------------------------------------


async def endorsed_repair(callers: Callers, arguments: Sequence[str | bytes]) -> Callable[[], Awaitable[str]]:
    """A repair that all enclaves have signed; call the result to submit it and learn the verdict."""
    network = callers.network
    async with contextlib.AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(connected(network.organisations[0], "User1"))
        channel = gateway.network(network.channel)
        contract = await open_confidential(channel, KEEPER, Workspace(network).trust(KEEPER))
        nonce, creator = gateway.new_nonce(), gateway.identity.creator
        encoded = tuple(item.encode() if isinstance(item, str) else item for item in arguments)
        request = Request(REPAIR, encoded, os.urandom(32))
        transaction_id = compute_transaction_id(nonce, creator)
        sealed = seal_request(request, contract.credentials.descriptor, transaction_id=transaction_id, creator=creator)
        transaction = await channel.new_proposal(KEEPER, [sealed], nonce=nonce).endorse()
        kept = stack.pop_all()

    async def submit() -> str:
        async with kept:
            return (await (await transaction.submit()).status()).code_name

    return submit


async def seen_by_ledger(network: Network, transaction_id: str) -> None:
    """Until org1's ledger enclave lists it."""
    async with asyncio.timeout(BOUND_S):
        while transaction_id not in (await ledger_documents(network))[1]:
            await asyncio.sleep(0.05)


async def test_a7_a_repair_restores_what_was_last_covered_and_a_rogue_write_in_between_stops_it(
    callers: Callers,
) -> None:
    network = callers.network
    old = await writes_of(callers, "lock_secret", "an older secret")
    last = await writes_of(callers, "lock_secret", "the last covered secret")
    ((key, ciphertext),) = last.items()
    await collude(network, list(old.items()))
    rogue = await collude(network, [(key, None), ("planted", b"value")])
    await seen_by_ledger(network, rogue)

    submit = await endorsed_repair(callers, [key, ciphertext, b""])
    again = await collude(network, list(old.items()))
    assert await submit() == "MVCC_READ_CONFLICT"
    assert again in await refused(callers, "reveal_secret")

    folder = network.organisation("org1").folder / "ledger"  # what was last covered survives a restart
    assert stop_server(folder)
    start_again(network)
    dry = json.loads(cloister(network, "repair", KEEPER, "--transaction", again, "--dry-run", "--json"))
    assert [(item["key"], item["action"], item["repaired_by"]) for item in dry] == [(key, "restore the value", None)]
    assert again in await refused(callers, "reveal_secret")
    done = json.loads(cloister(network, "repair", KEEPER, "--transaction", again, "--as", "org2/User1", "--json"))
    assert [item["written_by"] for item in done] == [[again]]
    assert await callers.submit("org1/User1", KEEPER, "reveal_secret") == "the last covered secret"
    assert "planted: delete the value" in cloister(network, "repair", KEEPER)
    assert cloister(network, "repair", KEEPER) == "nothing to repair\n"
    assert "not among the suspects" in cloister(network, "repair", KEEPER, "planted", fails=2)


async def test_a8_a_rogue_endorsement_parameter_is_taken_away_again(callers: Callers) -> None:
    """The one that a key-level policy of the colluders' own would otherwise belong to for good."""
    network = callers.network
    ((key, _),) = (await writes_of(callers, "lock_secret", "under the chaincode's policy")).items()
    own = parse_policy_expression("OR('Org1MSP.peer')")
    rogue = await collude(network, [], namespaces=[(KEEPER, rwset(metadata=[(key, own)]))])
    await seen_by_ledger(network, rogue)
    assert f"{key}: delete the endorsement parameter" in cloister(network, "repair", KEEPER, key)
    assert rogue not in (await ledger_documents(network))[1]
    assert await callers.submit("org1/User1", KEEPER, "lock_secret", "both endorse again") == "OK"
    assert await callers.submit("org1/User1", KEEPER, "reveal_secret") == "both endorse again"
