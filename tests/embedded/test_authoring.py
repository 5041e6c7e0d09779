"""The fixture for authors: a contract of theirs on a channel, called by several people."""

from __future__ import annotations

import pytest

from cloister.client.errors import ConfidentialCallFailed
from cloister.embedded.authoring import EmbeddedChannel
from cloister.errors import CloisterError, UsageError
from cloister.gateway import EndorseError, EvaluateError
from embedded.vault_contract import Vault


@pytest.mark.parametrize("confidential", [False, True], ids=["plain", "confidential"])
async def test_several_people_call_one_contract(embedded_channel: EmbeddedChannel, *, confidential: bool) -> None:
    async with embedded_channel.deploy(Vault, confidential=confidential) as vault:
        ann, bob = await vault.as_user("org1/User1"), await vault.as_user("org2/User1")
        assert await ann.submit("store", "4711") == b"OK"
        assert await ann.evaluate("read") == b"4711"
        with pytest.raises((EvaluateError, ConfidentialCallFailed), match="nothing stored"):
            await bob.evaluate("read")
        assert await vault.as_user("org1/User1") is ann


async def test_deployments_do_not_see_each_other(embedded_channel: EmbeddedChannel) -> None:
    async with embedded_channel.deploy(Vault) as first, embedded_channel.deploy(Vault) as second:
        assert first.name != second.name
        await (await first.as_user()).submit("store", "one")
        with pytest.raises(CloisterError, match="nothing stored"):
            await (await second.as_user()).evaluate("read")


async def test_after_the_test_nobody_serves_it(embedded_channel: EmbeddedChannel) -> None:
    async with embedded_channel.deploy(Vault) as vault:
        await (await vault.as_user()).submit("store", "one")
    async with embedded_channel.deploy(Vault) as other:
        caller = await other.as_user()
        gone = caller.gateway.network(embedded_channel.network.channel).contract(vault.name)
        with pytest.raises(EndorseError):
            await gone.submit_transaction("store", "two")


async def test_the_channels_policy_asks_both_organisations_and_another_one_what_it_says(
    embedded_channel: EmbeddedChannel,
) -> None:
    for policy, organisations in (("", 2), ("OR('Org1MSP.peer','Org2MSP.peer')", 1)):
        async with embedded_channel.deploy(Vault, signature_policy=policy) as vault:
            proposal = (await vault.as_user()).remote.new_proposal("store", arguments=["x"])
            assert len((await proposal.endorse()).endorsed.endorsements) == organisations


async def test_a_contract_without_a_file_cannot_be_measured(embedded_channel: EmbeddedChannel) -> None:
    class Local(Vault):
        """Defined within a function: nobody could load it again."""

    with pytest.raises(UsageError, match="measured"):
        async with embedded_channel.deploy(Local, confidential=True):
            pass
