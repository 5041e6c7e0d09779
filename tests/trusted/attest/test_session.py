"""C11: between chaincode enclave and ledger enclave sits a host. It can carry messages, or lose them; nothing else."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.errors import MalformedInput, Refused
from cloister.trusted.attest import session
from cloister.trusted.attest.identity_keys import IdentityKeys
from cloister.trusted.attest.session import (
    Answerer,
    Asker,
    Counterpart,
    Initiator,
    Party,
    Responder,
    hello_evidence,
    sealed_session,
)
from cloister.wire.framing import decode_frame, encode_frame, u64

_SEALED = b"cloister/session/sealed/1"


class Side:
    """One enclave's keys, and what the other side's appraisal says of them."""

    def __init__(self, name: str) -> None:
        self.keys = IdentityKeys(os.urandom(32))
        self.party = Party(f"evidence of {name}".encode(), b"endorsements", self.keys.signing_key, self.keys.hpke_key)
        self.counterpart = Counterpart(self.keys.signing_public, self.keys.hpke_key.public_bytes)


CHAINCODE, LEDGER, ATTACKER = Side("chaincode"), Side("ledger"), Side("attacker")


def made(chaincode: Side = CHAINCODE, ledger: Side = LEDGER) -> tuple[Asker, Answerer]:
    initiator = Initiator(chaincode.party, os.urandom)
    responder = Responder(ledger.party, initiator.hello, chaincode.counterpart, os.urandom)
    confirm, asker = initiator.confirm(responder.welcome, ledger.counterpart)
    return asker, responder.establish(confirm)


def answer(asker: Asker, answerer: Answerer, question: bytes, reply: bytes) -> bytes:
    number, sealed = asker.seal(question)
    got_number, got = answerer.open(sealed)
    assert got == question
    return asker.open(number, answerer.seal(got_number, reply))


def test_two_attested_sides_have_a_session() -> None:
    asker, answerer = made()
    assert asker.session_id == answerer.session_id
    for question in (b"", b"question", bytes(100_000)):
        assert answer(asker, answerer, question, question[::-1]) == question[::-1]


def test_each_side_is_told_whose_evidence_to_appraise() -> None:
    initiator = Initiator(CHAINCODE.party, os.urandom)
    assert hello_evidence(initiator.hello) == (CHAINCODE.party.evidence, CHAINCODE.party.endorsements)
    responder = Responder(LEDGER.party, initiator.hello, CHAINCODE.counterpart, os.urandom)
    assert initiator.evidence_of(responder.welcome) == (LEDGER.party.evidence, LEDGER.party.endorsements)


def test_e5_a_hello_has_no_room_for_more_than_its_evidence() -> None:
    for nonce in (b"", bytes(31), bytes(1 << 20)):
        with pytest.raises(MalformedInput):
            hello_evidence(encode_frame(b"cloister/session/hello/1", (b"evidence", b"endorsements", nonce)))


def test_sessions_of_the_same_sides_have_different_keys_and_ids() -> None:
    first, second = made(), made()
    assert first[0].session_id != second[0].session_id
    number, sealed = first[0].seal(b"question")
    moved = encode_frame(_SEALED, (second[0].session_id, *decode_frame(_SEALED, sealed)[1:]))
    for foreign in (sealed, moved):
        with pytest.raises(Refused):
            second[1].open(foreign)
    assert first[1].open(sealed) == (number, b"question")


# --- making it --------------------------------------------------------------------------------------------------------


def test_a_man_in_the_middle_with_his_own_keys_is_refused_on_both_sides() -> None:
    initiator = Initiator(CHAINCODE.party, os.urandom)
    to_attacker = Responder(ATTACKER.party, initiator.hello, CHAINCODE.counterpart, os.urandom)
    with pytest.raises(Refused):
        initiator.confirm(to_attacker.welcome, LEDGER.counterpart)  # its keys are not those in the ledger's evidence
    posing = Party(CHAINCODE.party.evidence, b"", ATTACKER.keys.signing_key, ATTACKER.keys.hpke_key)
    attacker = Initiator(posing, os.urandom)
    responder = Responder(LEDGER.party, attacker.hello, CHAINCODE.counterpart, os.urandom)
    with pytest.raises(Refused):
        attacker.confirm(responder.welcome, LEDGER.counterpart)  # the secret is sealed to the attested key


def test_a_confirm_signed_by_another_key_is_refused() -> None:
    """Even if the attacker knew the secret in the welcome: its signature is missing."""
    initiator = Initiator(CHAINCODE.party, os.urandom)
    responder = Responder(LEDGER.party, initiator.hello, CHAINCODE.counterpart, os.urandom)
    half = Initiator(
        Party(CHAINCODE.party.evidence, b"endorsements", ATTACKER.keys.signing_key, CHAINCODE.keys.hpke_key), os.urandom
    )
    half.hello = initiator.hello
    confirm, _ = half.confirm(responder.welcome, LEDGER.counterpart)
    with pytest.raises(Refused):
        responder.establish(confirm)


def test_a_relayed_session_is_one_between_the_ends_alone() -> None:
    """An attacker who carries all messages learns no key; its own half-session with one end fits to no other."""
    asker, _ = made()
    _, answerer = made()
    with pytest.raises(Refused):
        answerer.open(asker.seal(b"question")[1])


def test_a_welcome_for_another_hello_is_refused() -> None:
    first, second = (Initiator(CHAINCODE.party, os.urandom) for _ in range(2))
    responder = Responder(LEDGER.party, first.hello, CHAINCODE.counterpart, os.urandom)
    with pytest.raises(Refused):
        second.confirm(responder.welcome, LEDGER.counterpart)
    other = Responder(LEDGER.party, second.hello, CHAINCODE.counterpart, os.urandom)
    confirm, _ = second.confirm(other.welcome, LEDGER.counterpart)
    with pytest.raises(Refused):
        responder.establish(confirm)
    other.establish(confirm)


def test_a_swapped_responder_is_refused() -> None:
    """The welcome of one genuine ledger enclave, the evidence of another."""
    other = Side("another ledger")
    initiator = Initiator(CHAINCODE.party, os.urandom)
    genuine = Responder(LEDGER.party, initiator.hello, CHAINCODE.counterpart, os.urandom)
    with pytest.raises(Refused):
        initiator.confirm(genuine.welcome, other.counterpart)
    body, signature = decode_frame(b"cloister/session/signed/1", genuine.welcome)
    parts = decode_frame(b"cloister/session/welcome/1", body)
    swapped = encode_frame(b"cloister/session/welcome/1", (other.party.evidence, *parts[1:]))
    with pytest.raises(Refused):
        initiator.confirm(encode_frame(b"cloister/session/signed/1", (swapped, signature)), LEDGER.counterpart)


def test_a_confirm_to_another_ledger_enclave_is_refused() -> None:
    other = Side("another ledger")
    initiator = Initiator(CHAINCODE.party, os.urandom)
    responders = [Responder(side.party, initiator.hello, CHAINCODE.counterpart, os.urandom) for side in (LEDGER, other)]
    confirm, _ = initiator.confirm(responders[0].welcome, LEDGER.counterpart)
    with pytest.raises(Refused):
        responders[1].establish(confirm)
    responders[0].establish(confirm)


def test_reflected_messages_are_refused() -> None:
    """Both sides with the same keys even: what one sent it never takes itself."""
    initiator = Initiator(CHAINCODE.party, os.urandom)
    responder = Responder(CHAINCODE.party, initiator.hello, CHAINCODE.counterpart, os.urandom)
    with pytest.raises((Refused, MalformedInput)):
        responder.establish(responder.welcome)
    confirm, asker = initiator.confirm(responder.welcome, CHAINCODE.counterpart)
    with pytest.raises((Refused, MalformedInput)):
        initiator.confirm(confirm, CHAINCODE.counterpart)
    answerer = responder.establish(confirm)
    number, question = asker.seal(b"question")
    with pytest.raises(Refused):
        asker.open(number, question)
    number, question = asker.seal(b"question")
    reply = answerer.seal(answerer.open(question)[0], b"answer")
    with pytest.raises(Refused):
        answerer.open(reply)


def test_a_secret_of_another_length_makes_no_session() -> None:
    initiator = Initiator(CHAINCODE.party, os.urandom)
    responder = Responder(LEDGER.party, initiator.hello, CHAINCODE.counterpart, lambda length: bytes(length - 1))
    with pytest.raises(MalformedInput):
        initiator.confirm(responder.welcome, LEDGER.counterpart)


# --- using it ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1)])
def test_questions_are_taken_once_and_in_ascending_order(order: tuple[int, int]) -> None:
    asker, answerer = made()
    sealed = [asker.seal(b"%d" % number)[1] for number in range(3)]
    answerer.open(sealed[order[0]])
    with pytest.raises(Refused):
        answerer.open(sealed[order[1]])
    number, last = asker.seal(b"last")
    assert answerer.open(last) == (number, b"last")


def test_a_lost_question_does_no_harm_and_a_forged_one_neither() -> None:
    asker, answerer = made()
    asker.seal(b"lost")
    number, sealed = asker.seal(b"question")
    parts = decode_frame(_SEALED, sealed)
    forged = encode_frame(_SEALED, (parts[0], u64(2**64 - 1), parts[2]))
    with pytest.raises(Refused):
        answerer.open(forged)
    assert answerer.open(sealed) == (number, b"question")


def test_an_answer_is_taken_once_and_for_its_own_question() -> None:
    asker, answerer = made()
    questions = [asker.seal(b"%d" % number) for number in range(3)]
    answers = [answerer.seal(answerer.open(sealed)[0], b"answer") for _, sealed in questions]
    renumbered = encode_frame(_SEALED, (asker.session_id, u64(0), decode_frame(_SEALED, answers[1])[2]))
    for wrong in (answers[1], renumbered):
        with pytest.raises(Refused):
            asker.open(0, wrong)
        asker._pending[0] = None  # a refused answer uses the question up; here all wrong ones are tried
    assert asker.open(0, answers[0]) == b"answer"
    for number in (0, 3, 99):
        with pytest.raises(Refused):
            asker.open(number, answers[0])
    asker.forget(1)
    with pytest.raises(Refused):
        asker.open(1, answers[1])
    assert asker.open(2, answers[2]) == b"answer"


def test_a_refused_answer_uses_its_question_up() -> None:
    asker, answerer = made()
    number, sealed = asker.seal(b"question")
    reply = answerer.seal(answerer.open(sealed)[0], b"answer")
    with pytest.raises(MalformedInput):
        asker.open(number, b"garbage")
    with pytest.raises(Refused):
        asker.open(number, reply)


def test_answers_may_come_in_any_order() -> None:
    asker, answerer = made()
    numbered = [asker.seal(b"%d" % number) for number in range(3)]
    answers = {number: answerer.seal(*answerer.open(sealed)) for number, sealed in numbered}
    for number in (2, 0, 1):
        assert asker.open(number, answers[number]) == b"%d" % number


def test_e5_unanswered_questions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MAX_PENDING", 3)
    asker, answerer = made()
    questions = [asker.seal(b"%d" % number) for number in range(4)]
    answers = [answerer.seal(*answerer.open(sealed)) for _, sealed in questions]
    with pytest.raises(Refused):
        asker.open(0, answers[0])
    assert [asker.open(number, answers[number]) for number in (1, 2, 3)] == [b"1", b"2", b"3"]
    assert answer(asker, answerer, b"question", b"answer") == b"answer"


# --- any bytes --------------------------------------------------------------------------------------------------------


def _parsers() -> list[Callable[[bytes], object]]:
    initiator = Initiator(CHAINCODE.party, os.urandom)
    responder = Responder(LEDGER.party, initiator.hello, CHAINCODE.counterpart, os.urandom)
    asker, answerer = made()

    def open_answer(content: bytes) -> bytes:
        number, _ = asker.seal(b"")
        return asker.open(number, content)

    return [
        hello_evidence,
        sealed_session,
        initiator.evidence_of,
        lambda content: initiator.confirm(content, LEDGER.counterpart),
        responder.establish,
        answerer.open,
        open_answer,
        lambda content: Responder(LEDGER.party, content, Counterpart(content, content), os.urandom),
    ]


PARSERS = _parsers()
_INITIATOR = Initiator(CHAINCODE.party, os.urandom)
_RESPONDER = Responder(LEDGER.party, _INITIATOR.hello, CHAINCODE.counterpart, os.urandom)
GENUINE = (
    _INITIATOR.hello,
    _RESPONDER.welcome,
    _INITIATOR.confirm(_RESPONDER.welcome, LEDGER.counterpart)[0],
    made()[0].seal(b"question")[1],
)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(content: bytes) -> None:
    for parser in PARSERS:
        with pytest.raises((MalformedInput, Refused)):
            parser(content)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(GENUINE), st.data())
def test_damaged_messages_are_refused(genuine: bytes, data: st.DataObject) -> None:
    damaged = bytearray(genuine)
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    content = bytes(damaged)[: data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))]
    for parser in PARSERS:
        with contextlib.suppress(MalformedInput, Refused):
            parser(content)
    initiator = Initiator(CHAINCODE.party, os.urandom)
    responder = Responder(LEDGER.party, initiator.hello, CHAINCODE.counterpart, os.urandom)
    with pytest.raises((MalformedInput, Refused)):
        responder.establish(content)
