"""Random bytes of contracts: the same for all endorsers, other ones each time, known to nobody before the commit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cloister.trusted.chaincode.contract_image import load_contract_image
from cloister.wire.messages import Result
from support.enclaves import Session, session_of

CONTRACT = """
from cloister.contract import Contract, TransactionContext, query, transaction

class Dice(Contract):
    async def throw(self, ctx: TransactionContext) -> str:
        first = await ctx.get_stub().get_random_bytes(16)
        second = await ctx.get_stub().get_random_bytes(16)
        await ctx.get_stub().put_state("last", first + second)
        return first.hex() + second.hex()

    async def read_and_throw(self, ctx: TransactionContext) -> str:
        await ctx.get_stub().get_state("last")
        return (await ctx.get_stub().get_random_bytes(16)).hex()

    async def take(self, ctx: TransactionContext, length: int) -> int:
        return len(await ctx.get_stub().get_random_bytes(length))

    @transaction(reveal="at-endorsement")
    async def early(self, ctx: TransactionContext) -> str:
        return (await ctx.get_stub().get_random_bytes(16)).hex()

    @query
    async def peek(self, ctx: TransactionContext) -> str:
        return (await ctx.get_stub().get_random_bytes(16)).hex()
"""


@pytest.fixture
def session(tmp_path: Path) -> Session:
    path = tmp_path / "dice.py"
    path.write_text(CONTRACT)
    return session_of(load_contract_image(str(path)))


def test_every_draw_and_every_transaction_gives_other_bytes(session: Session) -> None:
    drawn = [session.call("throw").outcome.payload.decode() for _ in range(3)]
    halves = [text[position : position + 32] for text in drawn for position in (0, 32)]
    assert len(set(halves)) == len(halves)


def test_b5_running_again_gives_the_same_bytes_and_shows_none(session: Session) -> None:
    """A host that runs one proposal any number of times gets one ciphertext: there is nothing to choose from."""
    signed, _, _ = session.propose("throw")
    first, second = (session.world.run(session.enclave, signed) for _ in range(2))
    assert isinstance(first, Result)
    assert first == second


def test_b5_another_snapshot_or_another_proposal_draws_anew(session: Session) -> None:
    """Which one it will be shows after the commit only, and one transaction id commits once."""
    nonce = os.urandom(24)
    signed, _, key = session.propose("read_and_throw", nonce=nonce)
    before = session.world.run(session.enclave, signed)
    session.call("throw")
    after = session.world.run(session.enclave, signed)
    assert isinstance(before, Result)
    assert isinstance(after, Result)
    assert session.verify(before)[0].ciphertext != session.verify(after)[0].ciphertext

    session.chain.commit(signed, after)
    outcome = session.open_committed(session.verify(after)[1], key)
    assert len(bytes.fromhex(outcome.payload.decode())) == 16


@pytest.mark.parametrize("function", ["early", "peek"])
def test_b5_nothing_random_where_the_outcome_is_told_before_the_commit(session: Session, function: str) -> None:
    outcome = session.call(function).outcome
    assert outcome.status >= 400
    assert "random bytes outside functions revealed on commit" in outcome.message


@pytest.mark.parametrize(("length", "status"), [("1", 200), ("8160", 200), ("0", 500), ("8161", 500), ("-1", 500)])
def test_lengths_have_bounds(session: Session, length: str, status: int) -> None:
    assert session.call("take", length).outcome.status == status
