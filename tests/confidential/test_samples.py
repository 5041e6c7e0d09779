"""The other samples on real Fabric, confidentially."""

from __future__ import annotations

import pytest

from cloister.client.errors import ConfidentialCallFailed
from cloister.errors import Refused
from cloister.network import Network
from confidential.conftest import Callers

pytestmark = pytest.mark.fabric


@pytest.fixture
def callers(samples_network: Network) -> Callers:
    return Callers(samples_network)


async def test_echo_and_its_query(callers: Callers) -> None:
    assert await callers.submit("org1/User1", "echo", "echo", "héllo") == "héllo"
    assert await callers.evaluate("org2/User1", "echo", "ask", "x" * 5000) == "x" * 5000


async def test_kv_put_get_delete_seen_by_both_organisations(callers: Callers) -> None:
    assert await callers.submit("org1/User1", "kv", "put_state", "color", "blue") == "OK"
    assert await callers.evaluate("org2/User1", "kv", "get_state", "color") == "blue"
    assert await callers.submit("org2/User1", "kv", "del_state", "color") == "OK"
    assert await callers.evaluate("org1/User1", "kv", "get_state", "color") == ""


async def test_a_query_cannot_be_submitted(callers: Callers) -> None:
    with pytest.raises(Refused, match="is a query"):
        await callers.submit("org1/User1", "kv", "get_state", "color")


async def test_secret_keeper_knows_callers_by_their_certificates(callers: Callers) -> None:
    ann, bob = "org1/User1", "org2/User1"
    with pytest.raises(ConfidentialCallFailed, match="not initialised"):
        await callers.submit(ann, "secret-keeper", "reveal_secret")
    assert await callers.submit(ann, "secret-keeper", "init") == "OK"
    assert await callers.submit(ann, "secret-keeper", "lock_secret", "4711") == "OK"
    with pytest.raises(ConfidentialCallFailed, match="not authorised"):
        await callers.submit(bob, "secret-keeper", "reveal_secret")
    bob_id = await callers.evaluate(bob, "secret-keeper", "whoami")
    assert bob_id.startswith("Org2MSP:")
    assert await callers.submit(ann, "secret-keeper", "add_user", bob_id) == "OK"
    assert await callers.submit(bob, "secret-keeper", "reveal_secret") == "4711"
    ann_id = await callers.evaluate(ann, "secret-keeper", "whoami")
    assert await callers.submit(bob, "secret-keeper", "remove_user", ann_id) == "OK"
    with pytest.raises(ConfidentialCallFailed, match="not authorised"):
        await callers.submit(ann, "secret-keeper", "reveal_secret")
    with pytest.raises(ConfidentialCallFailed, match="last user"):
        await callers.submit(bob, "secret-keeper", "remove_user", bob_id)
