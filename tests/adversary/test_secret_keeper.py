"""The secret keeper's rollback attack: whoever was shut out wants the secret that was stored since.

In four ways, each on the whole build, where it fails, and on the naive build without a ledger enclave's answers, where
it tells the secret: so the attack is real. The honest twin: whoever is on the list is told, who is not is refused.
"""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from cloister.client.errors import ConfidentialCallFailed
from cloister.errors import CloisterError
from cloister.samples.secret_keeper import SecretKeeper
from cloister.testing import ConfidentialChannel, cease
from cloister.testing.attacks import Adversary, install
from cloister.testing.committed_state import Simulation, StateAnswer, StateQuestion
from cloister.testing.host import Execution
from cloister.testing.rogue_transactions import ReadsStripped
from cloister.wire.messages import AskLedger, GetParameter, GetRange, GetState, Invoke, Refusal, Result
from support import without
from support.enclaves import Caller, new_session

OLD, NEW = "the old secret", "the new secret"


def naive_build() -> ExitStack:
    """Reads are believed, and need not hold where the transaction is committed."""
    stack = ExitStack()
    for decision in (without.checked_reads, without.signed_reads, without.coverage_marks):
        stack.enter_context(decision())
    return stack


@dataclass
class Kept:
    """A channel on which `bob` was shut out after `before`, its height, and then the secret was changed."""

    channel: ConfidentialChannel
    before: int

    async def told_to_bob(self) -> bytes:
        """A member that has never called before: no checkpoint of its own protects anything."""
        return await self.channel.client("bob", "Org2MSP").submit("reveal_secret")


async def kept() -> Kept:
    channel = ConfidentialChannel(SecretKeeper, patience_s=0.0)
    ann, bob = channel.client("ann"), channel.client("bob", "Org2MSP")
    bobs_id = (await channel.client("bob", "Org2MSP").evaluate("whoami")).decode()
    await ann.submit("init")
    await ann.submit("add_user", bobs_id)
    await ann.submit("lock_secret", OLD)
    assert await bob.submit("reveal_secret") == OLD.encode()
    before = channel.height
    await ann.submit("remove_user", bobs_id)
    await ann.submit("lock_secret", NEW)
    assert await ann.submit("reveal_secret") == NEW.encode()
    with pytest.raises(ConfidentialCallFailed, match="not authorised"):
        await bob.submit("reveal_secret")
    return Kept(channel, before)


class OldList(Adversary):
    """The list of users as it was, the secret as it is. The peers' own read set is current: committers take it."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self._before = before

    def answer(self, question: StateQuestion, honest: StateAnswer, execution: Execution) -> StateAnswer:
        if len(execution.reads) > 1:
            return honest
        return Simulation(self.channel.state, self._before).answer(question, honest.ledger)


class OldEverything(ReadsStripped):
    """The whole old snapshot; all endorsers leave out what was read, so that committers find nothing stale."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self._before = before

    def snapshot(self, height: int) -> int:
        return self._before


@pytest.mark.parametrize(("adversary", "wanted"), [(OldList, NEW), (OldEverything, OLD)])
async def test_a1_a2_a3_an_old_list_or_a_whole_old_snapshot(
    adversary: type[OldList | OldEverything], wanted: str
) -> None:
    scene = await kept()
    install(scene.channel, adversary(scene.before))
    with pytest.raises(CloisterError) as refused:
        await scene.told_to_bob()
    assert wanted not in str(refused.value)

    with naive_build():
        scene = await kept()
        install(scene.channel, adversary(scene.before))
        assert await scene.told_to_bob() == wanted.encode()


async def test_a7_the_list_put_back_by_a_rogue_endorsed_transaction() -> None:
    async def put_back(scene: Kept) -> str:
        state = scene.channel.state
        users = next(key for key in state.keys(scene.before) if len(state.history(key)) == 3)
        entry = state.value(users, scene.before)
        assert entry is not None
        return scene.channel.rogue((users, entry.value))

    scene = await kept()
    rogue = await put_back(scene)
    with pytest.raises(CloisterError, match=rogue):
        await scene.told_to_bob()
    cease(scene.channel)

    with naive_build():
        scene = await kept()
        await put_back(scene)
        assert await scene.told_to_bob() == NEW.encode()


def secret_by_a_block_in_between() -> Result | Refusal:
    """Bob is on the list when it is read; before the secret is, blocks shut him out and change it."""
    session = new_session("secret_keeper")
    bobs = dataclasses.replace(session, caller=Caller(name="bob"))
    bobs_id = bobs.call("whoami").outcome.payload.decode()
    for call in (("init",), ("add_user", bobs_id), ("lock_secret", OLD)):
        session.call(*call)
    assert bobs.call("reveal_secret").outcome.payload == OLD.encode()
    signed, _, _ = bobs.propose("reveal_secret")
    reply = session.enclave.handle(7, Invoke(signed))
    reads = 0
    while isinstance(reply, GetState | GetParameter | GetRange | AskLedger):
        if isinstance(reply, GetState) and (reads := reads + 1) == 2:
            told = session.ledger.reply(reply.ledger)  # the ledger enclave is asked at once, the peer answers late
            session.call("remove_user", bobs_id)
            session.call("lock_secret", NEW)
            reply = session.enclave.handle(7, session.world.peer(reply, told))
        else:
            reply = session.enclave.handle(7, session.world.answer(reply))
    assert isinstance(reply, Result | Refusal)
    return reply


def test_a2_a_block_committed_between_the_two_reads() -> None:
    assert isinstance(secret_by_a_block_in_between(), Refusal)
    with naive_build():
        assert isinstance(secret_by_a_block_in_between(), Result)
