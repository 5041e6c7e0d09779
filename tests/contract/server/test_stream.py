from __future__ import annotations

from typing import Any

import pytest
from fabric_protos.peer import chaincode_pb2, proposal_pb2
from hypothesis import given
from hypothesis import strategies as st

from cloister.contract import PeerLost, Response
from cloister.contract.server.errors import MessageTooLarge, StreamViolated
from cloister.contract.server.messages import Kind, encode_event, get_state, put_state
from cloister.contract.server.stream import MAX_MESSAGE_BYTES, Answered, CallStarted, State, StreamMachine

KEY = ("channel", "tx")


def frame(kind: int, key: tuple[str, str] = ("", ""), **fields: Any) -> bytes:
    encoded: bytes = Kind(type=kind, channel_id=key[0], txid=key[1], **fields).SerializeToString()
    return encoded


def call_frame(key: tuple[str, str] = KEY, kind: int = Kind.TRANSACTION) -> bytes:
    return frame(kind, key, payload=chaincode_pb2.ChaincodeInput(args=[b"f", b"\xff"]).SerializeToString())


@pytest.fixture
def machine() -> StreamMachine:
    """One that is registered."""
    machine = StreamMachine("label:hash")
    machine.register()
    machine.receive(frame(Kind.REGISTERED))
    machine.receive(frame(Kind.READY))
    return machine


def test_registration_names_the_chaincode_and_ends_ready() -> None:
    machine = StreamMachine("label:hash")
    message = Kind.FromString(machine.register())
    assert message.type == Kind.REGISTER
    assert chaincode_pb2.ChaincodeID.FromString(message.payload).name == "label:hash"
    states = [machine.state]
    for kind in (Kind.REGISTERED, Kind.READY):
        assert machine.receive(frame(kind)) is None
        states.append(machine.state)
    assert states == [State.CREATED, State.ESTABLISHED, State.READY]


@pytest.mark.parametrize("kind", set(Kind.Type.values()) - {Kind.REGISTERED, Kind.KEEPALIVE})
def test_nothing_but_registered_may_come_first(kind: int) -> None:
    with pytest.raises(StreamViolated):
        StreamMachine("id").receive(frame(kind))


@pytest.mark.parametrize(
    "kind", set(Kind.Type.values()) - {Kind.INIT, Kind.TRANSACTION, Kind.RESPONSE, Kind.ERROR, Kind.KEEPALIVE}
)
def test_a_ready_stream_takes_calls_and_answers_only(machine: StreamMachine, kind: int) -> None:
    with pytest.raises(StreamViolated):
        machine.receive(frame(kind, KEY))


def test_an_unknown_kind_violates_the_protocol(machine: StreamMachine) -> None:
    with pytest.raises(StreamViolated, match="message type 99"):
        machine.receive(frame(99))


@pytest.mark.parametrize("states", range(3))
def test_keepalive_is_ignored_in_every_state(states: int) -> None:
    machine = StreamMachine("id")
    for kind in (Kind.REGISTERED, Kind.READY)[:states]:
        machine.receive(frame(kind))
    assert machine.receive(frame(Kind.KEEPALIVE)) is None


@pytest.mark.parametrize(("kind", "is_init"), [(Kind.INIT, True), (Kind.TRANSACTION, False)])
def test_a_call_brings_its_arguments_and_the_proposal_as_it_was(
    machine: StreamMachine, kind: int, is_init: bool
) -> None:
    signed = proposal_pb2.SignedProposal(proposal_bytes=b"p", signature=b"s")
    arguments = chaincode_pb2.ChaincodeInput(args=[b"f", b"\xff"]).SerializeToString()
    event = machine.receive(frame(kind, KEY, payload=arguments, proposal=signed))
    assert event == CallStarted(KEY, (b"f", b"\xff"), signed.SerializeToString(), is_init)


def test_request_answer_and_completion_follow_each_other(machine: StreamMachine) -> None:
    machine.receive(call_frame())
    request = Kind.FromString(machine.request(KEY, get_state("k", "")))
    assert (request.type, request.channel_id, request.txid) == (Kind.GET_STATE, *KEY)
    assert machine.receive(frame(Kind.RESPONSE, KEY, payload=b"v")) == Answered(KEY, b"v", refused=False)
    machine.request(KEY, get_state("k", ""))
    assert machine.receive(frame(Kind.ERROR, KEY, payload=b"no")) == Answered(KEY, b"no", refused=True)
    completed = Kind.FromString(machine.complete(KEY, Response(200, "", b"p"), encode_event("e", b"x")))
    assert (completed.type, completed.chaincode_event.event_name) == (Kind.COMPLETED, "e")
    with pytest.raises(PeerLost):
        machine.complete(KEY, Response())


def test_a_second_request_waits_for_the_first_answer(machine: StreamMachine) -> None:
    machine.receive(call_frame())
    machine.request(KEY, get_state("k", ""))
    with pytest.raises(PeerLost):
        machine.request(KEY, get_state("k", ""))


def test_requests_before_and_after_a_call_are_refused(machine: StreamMachine) -> None:
    with pytest.raises(PeerLost):
        machine.request(KEY, get_state("k", ""))
    machine.receive(call_frame())
    machine.complete(KEY, Response())
    with pytest.raises(PeerLost):
        machine.request(KEY, get_state("k", ""))


def test_equal_transaction_ids_of_two_channels_do_not_meet(machine: StreamMachine) -> None:
    other = ("other", "tx")
    machine.receive(call_frame())
    machine.receive(call_frame(other))
    machine.request(KEY, get_state("k", ""))
    machine.request(other, get_state("k", ""))
    assert machine.receive(frame(Kind.RESPONSE, other, payload=b"o")) == Answered(other, b"o", refused=False)
    assert machine.receive(frame(Kind.RESPONSE, KEY, payload=b"v")) == Answered(KEY, b"v", refused=False)


def test_a_call_in_flight_cannot_start_again(machine: StreamMachine) -> None:
    machine.receive(call_frame())
    with pytest.raises(StreamViolated):
        machine.receive(call_frame())
    machine.complete(KEY, Response())
    assert isinstance(machine.receive(call_frame()), CallStarted)


def test_answers_that_nobody_waits_for_are_ignored(machine: StreamMachine) -> None:
    assert machine.receive(frame(Kind.RESPONSE, KEY)) is None
    machine.receive(call_frame())
    assert machine.receive(frame(Kind.RESPONSE, KEY)) is None


def test_messages_that_a_peer_would_not_take_are_refused_here(machine: StreamMachine) -> None:
    machine.receive(call_frame())
    too_long = bytes(MAX_MESSAGE_BYTES)
    with pytest.raises(MessageTooLarge):
        machine.request(KEY, put_state("k", too_long, ""))
    with pytest.raises(MessageTooLarge):
        machine.complete(KEY, Response(payload=too_long))
    machine.complete(KEY, Response(500, "too large"))


kinds = st.sampled_from([*Kind.Type.values(), 99, -1])
keys = st.tuples(st.sampled_from(["", "a", "b"]), st.sampled_from(["", "1", "2"]))
inputs = st.lists(st.binary(max_size=4)).map(lambda args: chaincode_pb2.ChaincodeInput(args=args).SerializeToString())
frames = st.builds(lambda kind, key, payload: frame(kind, key, payload=payload), kinds, keys, st.binary() | inputs)


@given(st.lists(st.binary() | frames), st.integers(0, 2))
def test_no_frames_do_anything_but_work_or_violate(received: list[bytes], states: int) -> None:
    machine = StreamMachine("id")
    for kind in (Kind.REGISTERED, Kind.READY)[:states]:
        machine.receive(frame(kind))
    for item in received:
        try:
            event = machine.receive(item)
        except StreamViolated:
            return
        if isinstance(event, CallStarted):
            machine.request(event.key, get_state("k", ""))
