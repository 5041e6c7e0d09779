"""A client believes only what the enclave signed for exactly its own call, and submits only what was signed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.client.results import Expectation, effects_of, verify_effects, verify_result
from cloister.errors import MalformedInput, Refused
from cloister.fabric.proposal import parse_signed_proposal
from cloister.fabric.transaction import VALIDATION_PARAMETER as PARAMETER
from cloister.fabric.transaction import KeyMetadataWrite, NamespaceRwset
from cloister.trusted.protocol.outcome import SealedOutcome, decode_sealed_outcome
from cloister.trusted.protocol.reads import MetadataWrite, Write
from cloister.trusted.protocol.statement import Checkpoint, ResultStatement, decode_statement
from cloister.wire.messages import Result
from support.enclaves import Session, new_session
from support.replace import replaced


@dataclass
class Call:
    """One endorsed call, as the client has it."""

    session: Session
    result: Result
    expectation: Expectation

    @property
    def writes(self) -> list[Write]:
        return [
            *(Write(key, value) for key, value in self.result.puts),
            *(Write(key, None) for key in self.result.deletes),
        ]


def make_call(session: Session, function: str, *arguments: str) -> Call:
    signed, sealed, response_key = session.propose(function, *arguments)
    result = session.world.run(session.enclave, signed)
    assert isinstance(result, Result)
    parsed = parse_signed_proposal(signed)
    expectation = Expectation(
        descriptor=session.descriptor,
        transaction_id=parsed.transaction_id,
        proposal_hash=parsed.proposal_hash,
        creator=parsed.creator,
        sealed_request=sealed,
        response_key=response_key,
    )
    return Call(session, result, expectation)


@pytest.fixture(scope="module")
def session() -> Session:
    session = new_session()
    session.call("init", "house")
    session.call("create", "a")
    return session


@pytest.fixture
def call(session: Session) -> Call:
    return make_call(session, "submit", "a", "ann", "1")


def test_an_honest_result_is_believed(call: Call) -> None:
    verified = verify_result(call.result.payload, call.expectation)
    assert verified.outcome is None, "revealed on commit only"
    verify_effects(verified.statement, writes=call.writes, parameters=[], event=None)


@pytest.mark.parametrize("field", ["transaction_id", "proposal_hash", "creator", "sealed_request", "descriptor"])
def test_b10_a_result_for_another_call_is_refused(session: Session, call: Call, field: str) -> None:
    other = make_call(session, "submit", "a", "bob", "2")
    value = getattr(other.expectation, field)
    if field == "creator":
        value = b"someone else"
    if field == "descriptor":
        value = replaced(session.descriptor, measurement=bytes(32))
    with pytest.raises(Refused):
        verify_result(call.result.payload, replaced(call.expectation, **{field: value}))


def test_b9_a_result_signed_by_another_key_is_refused(call: Call) -> None:
    stranger = new_session()
    descriptor = replaced(call.expectation.descriptor, result_key=stranger.descriptor.result_key)
    with pytest.raises(Refused) as caught:
        verify_result(call.result.payload, replaced(call.expectation, descriptor=descriptor))
    assert caught.value.reason == "result-signature"


def test_a_query_for_another_response_key_does_not_open() -> None:
    call = make_call(new_session("kv"), "get_state", "key")
    assert verify_result(call.result.payload, call.expectation).outcome is not None
    with pytest.raises(Refused):
        verify_result(call.result.payload, replaced(call.expectation, response_key=bytes(32)))


@given(st.data())
def test_a_flipped_byte_anywhere_in_the_payload_is_refused(data: st.DataObject) -> None:
    payload = bytearray(FLIP.result.payload)
    position = data.draw(st.integers(min_value=0, max_value=len(payload) - 1))
    payload[position] ^= data.draw(st.integers(min_value=1, max_value=255))
    with pytest.raises((Refused, MalformedInput)):
        verify_result(bytes(payload), FLIP.expectation)


def test_b10_a_spliced_response_is_refused(session: Session, call: Call) -> None:
    """Statement and signature of one result, ciphertext of another."""
    other = decode_sealed_outcome(make_call(session, "submit", "a", "bob", "2").result.payload)
    own = decode_sealed_outcome(call.result.payload)
    with pytest.raises(Refused):
        verify_result(
            SealedOutcome(own.statement, own.signature, other.ciphertext, own.reads).encode(), call.expectation
        )


def effects_refused(statement: ResultStatement, writes: list[Write], **more: object) -> None:
    arguments: dict[str, object] = {"parameters": [], "event": None, **more}
    with pytest.raises(Refused):
        verify_effects(statement, writes=writes, **arguments)  # type: ignore[arg-type]


def test_b10_a_transaction_that_does_something_else_is_not_submitted(session: Session, call: Call) -> None:
    statement = verify_result(call.result.payload, call.expectation).statement
    other = make_call(session, "submit", "a", "bob", "2")
    effects_refused(statement, [])
    effects_refused(statement, other.writes)
    effects_refused(statement, call.writes + other.writes)
    effects_refused(statement, call.writes * 2)
    effects_refused(statement, [Write(write.key, None) for write in call.writes])
    effects_refused(statement, call.writes, parameters=[MetadataWrite("key", b"policy")])
    effects_refused(statement, call.writes, event=("name", b"payload"))


@pytest.mark.parametrize(
    "entries",
    [(), (("OTHER", b"x"),), ((PARAMETER, b"policy"), ("OTHER", b"x")), ((PARAMETER, b"x"), (PARAMETER, b"policy"))],
    ids=["none", "another", "one more", "doubled"],
)
def test_b10_metadata_beside_one_endorsement_parameter_is_not_submitted(entries: tuple[tuple[str, bytes], ...]) -> None:
    """It would be committed, covered by no statement, and the key be marked."""
    honest = KeyMetadataWrite("key", ((PARAMETER, b"policy"),))
    part = NamespaceRwset("auction", (), (), (), (honest,), ())
    assert effects_of(part) == ([], [MetadataWrite("key", b"policy")])
    with pytest.raises(Refused):
        effects_of(replaced(part, metadata_writes=(honest, KeyMetadataWrite("k", entries))))


def test_a_query_never_passes_for_a_transaction() -> None:
    session = new_session("kv")
    call = make_call(session, "get_state", "key")
    statement = verify_result(call.result.payload, call.expectation).statement
    assert statement.is_query
    effects_refused(statement, [])


def test_statement_encoding_is_canonical_and_tags_differ(call: Call) -> None:
    statement = decode_statement(decode_sealed_outcome(call.result.payload).statement)
    assert decode_statement(statement.encode()) == statement
    query = replaced(statement, checkpoint=Checkpoint(7, bytes(32)))
    assert decode_statement(query.encode()) == query
    assert query.encode() != statement.encode()


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_with_our_own_errors(payload: bytes) -> None:
    with pytest.raises((Refused, MalformedInput)):
        verify_result(payload, FLIP.expectation)


def test_the_request_hash_is_that_of_the_sealed_argument(call: Call) -> None:
    statement = decode_statement(decode_sealed_outcome(call.result.payload).statement)
    assert statement.request_hash == hashlib.sha256(call.expectation.sealed_request).digest()


def _flip_call() -> Call:
    session = new_session("kv")
    return make_call(session, "put_state", "key", "value")


FLIP = _flip_call()
