"""Payments in an enclave: money is neither made nor lost, a deal ends once."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from support.enclaves import Caller, Session, new_session

SECRET = "delivered"
HASH = hashlib.sha256(SECRET.encode()).hexdigest()


class Bank:
    """The bank and two members of different organisations, each with 100."""

    def __init__(self) -> None:
        self.bank = new_session("escrow")
        self.ann = replace(self.bank, caller=Caller("Org1MSP", "Ann"))
        self.bob = replace(self.bank, caller=Caller("Org2MSP", "Bob"))
        answer(self.bank, "init")
        for member in (self.ann, self.bob):
            answer(self.bank, "issue", answer(member, "whoami"), "100")
        self.bob_id = answer(self.bob, "whoami")

    def balances(self) -> tuple[int, int]:
        return int(answer(self.ann, "balance")), int(answer(self.bob, "balance"))

    def lock(self, deal: str = "d", amount: str = "30", until: str = "2") -> None:
        answer(self.ann, "lock", deal, self.bob_id, amount, HASH, until)


def answer(session: Session, function: str, *arguments: str) -> str:
    outcome = session.call(function, *arguments).outcome
    assert outcome.status == 200, outcome.message
    return outcome.payload.decode()


def error(session: Session, function: str, *arguments: str) -> str:
    outcome = session.call(function, *arguments).outcome
    assert outcome.status == 500
    return outcome.message


@pytest.fixture
def bank() -> Bank:
    return Bank()


def test_a_payment_moves_money_at_once(bank: Bank) -> None:
    answer(bank.ann, "pay", bank.bob_id, "40")
    assert bank.balances() == (60, 140)
    assert "not enough" in error(bank.ann, "pay", bank.bob_id, "61")
    assert "above zero" in error(bank.ann, "pay", bank.bob_id, "-5")


def test_a_held_amount_is_released_once_for_the_secret(bank: Bank) -> None:
    bank.lock()
    assert bank.balances() == (70, 100)
    assert "not the secret" in error(bank.bob, "release", "d", "guess")
    answer(bank.bob, "release", "d", SECRET)
    assert bank.balances() == (70, 130)
    assert "nothing is held" in error(bank.bob, "release", "d", SECRET)
    answer(bank.bank, "tick"), answer(bank.bank, "tick")
    assert "nothing is held" in error(bank.ann, "refund", "d")
    assert bank.balances() == (70, 130)


def test_a_held_amount_is_refunded_once_after_the_deadline(bank: Bank) -> None:
    bank.lock()
    assert "not over yet" in error(bank.ann, "refund", "d")
    answer(bank.bank, "tick"), answer(bank.bank, "tick")
    assert "deadline is over" in error(bank.bob, "release", "d", SECRET)
    assert "only the payer" in error(bank.bob, "refund", "d")
    answer(bank.ann, "refund", "d")
    assert "nothing is held" in error(bank.ann, "refund", "d")
    assert bank.balances() == (100, 100)


def test_nobody_but_the_bank_makes_money_or_time(bank: Bank) -> None:
    assert "only the bank" in error(bank.ann, "issue", bank.bob_id, "5")
    assert "only the bank" in error(bank.ann, "tick")
    assert "a bank already" in error(bank.ann, "init")


def test_a_deal_has_a_name_of_its_own_and_is_not_with_oneself(bank: Bank) -> None:
    bank.lock()
    assert "such a deal already" in error(bank.ann, "lock", "d", bank.bob_id, "1", HASH, "9")
    assert "are the same" in error(bank.bob, "lock", "e", bank.bob_id, "1", HASH, "9")
    assert "over already" in error(bank.ann, "lock", "e", bank.bob_id, "1", HASH, "0")
