"""Every endorser of the policy colludes, on real Fabric: transactions under the confidential chaincode's name that are
valid by all of Fabric's rules, endorsed with the peers' own keys, and that no enclave signed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from cloister.client.confidential import open_confidential
from cloister.deploy.deploy import Plan, connected, deploy
from cloister.deploy.workspace import Workspace
from cloister.fabric.block import parse_block
from cloister.fabric.transaction import EndorsedTransaction, parse_endorsed_transaction
from cloister.gateway import EndorseError, EvaluateError
from cloister.ledger_service.client import open_ledger_service
from cloister.ledger_service.config import load_ledger_config
from cloister.network import Network
from cloister.testing.forge import Draft, broadcast, rwset
from cloister.testing.signers import client_signer, peer_signer
from confidential.conftest import Callers
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
