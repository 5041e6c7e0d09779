"""The ledger enclave as hosts and chaincode enclaves meet it: following, halting, restarting, sessions, questions."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from fabric_protos.common import common_pb2, configuration_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloister.errors import MalformedInput, Refused
from cloister.fabric.block import parse_block
from cloister.testing.blocks import bend_block
from cloister.testing.channel import (
    CHAINCODE,
    NEXT_MEASUREMENT,
    REGISTRY,
    Channel,
    Effects,
    KeyHolder,
    hashed,
    transaction_id,
)
from cloister.testing.signers import Wanted
from cloister.trusted.attest.evidence import decode_attested_data, decode_evidence
from cloister.trusted.attest.platform import make_simulation_platform
from cloister.trusted.attest.session import Asker
from cloister.trusted.ledger import enclave as enclave_module
from cloister.trusted.ledger import sealing
from cloister.trusted.ledger.confidential import ENCLAVE, REVOKED
from cloister.trusted.ledger.enclave import LedgerEnclave
from cloister.trusted.ledger.identities import SignatureChecker
from cloister.trusted.ledger.judge import Judge
from cloister.trusted.protocol.questions import (
    QUESTIONS,
    UNCOVERED,
    AskBlock,
    AskKey,
    AskKeySet,
    AskRange,
    AskRevoked,
    AskTransaction,
    BlockAnswer,
    KeySetAnswer,
    RevokedAnswer,
    SegmentsAnswer,
)
from cloister.wire.framing import decode_frame, encode_frame
from cloister.wire.ledger_messages import (
    FindTransaction,
    Followed,
    GetLedgerStatus,
    LedgerRefusal,
    LedgerReply,
    LedgerStatus,
    ListSuspects,
    NextBlocks,
    RestoreLedger,
    SealedPart,
    SealLedger,
    SessionConfirm,
    SessionHello,
    SessionQuestion,
    SessionWelcome,
    StartLedger,
    Suspects,
    TransactionFound,
    decode_reply,
    encode_reply,
    encode_request,
)
from support.ledger_enclaves import (
    LEDGER_MEASUREMENT,
    OTHER_SEED,
    SEED,
    ChaincodeParty,
    ask,
    call,
    caught_up,
    connect,
    connected,
    expect,
    new_enclave,
    policy_of,
    responder_keys,
    restore,
    seal,
    start_message,
    started,
)

Attack = Callable[[Channel], Sequence[bytes]]


@pytest.fixture(scope="module")
def prepared() -> tuple[Channel, KeyHolder]:
    channel = Channel()
    return channel, channel.prepare()


@pytest.fixture
def channel(prepared: tuple[Channel, KeyHolder]) -> Channel:
    return prepared[0].fork()


@pytest.fixture
def keys(channel: Channel, prepared: tuple[Channel, KeyHolder]) -> KeyHolder:
    return KeyHolder(channel, prepared[1].ring)


def status_of(enclave: LedgerEnclave) -> LedgerStatus:
    return expect(call(enclave, GetLedgerStatus()), LedgerStatus)


def refusal(reply: object) -> str:
    assert isinstance(reply, LedgerRefusal), reply
    return reply.reason


# --- starting -------------------------------------------------------------------------------------------------------


def test_a_started_enclave_says_what_it_is(channel: Channel) -> None:
    enclave = new_enclave()
    assert status_of(enclave).state == "new"
    assert refusal(call(enclave, NextBlocks((channel.blocks[1],)))) == "not-started"
    status = expect(call(enclave, start_message(channel)), LedgerStatus)
    attested = decode_attested_data(decode_evidence(status.evidence).attested_data)
    assert (status.state, status.height, status.channel) == ("following", 1, channel.name)
    assert (attested.role, attested.genesis_hash, attested.registry) == ("ledger", channel.genesis_hash, REGISTRY)
    assert (attested.ledger_measurement, attested.policy_id) == (LEDGER_MEASUREMENT, policy_of().policy_id)
    assert status.warning.count("OrdererMSP") == 3  # any member of the ordering organisation satisfies ANY Writers


def test_a_start_is_for_good(channel: Channel) -> None:
    enclave = started(channel)
    assert refusal(call(enclave, start_message(Channel("other")))) == "state"
    assert status_of(enclave).channel == channel.name


class _SlowPlatform:
    """Attests only when it is let: a host can make any start slow, with a long genesis block."""

    def __init__(self) -> None:
        self._platform = make_simulation_platform(LEDGER_MEASUREMENT, SEED)
        self.kind, self.measurement = self._platform.kind, self._platform.measurement
        self.sealing_secret = self._platform.sealing_secret
        self.waiting, self.go_on = threading.Event(), threading.Event()
        self.first = True

    def attest(self, report_data: bytes) -> bytes:
        if self.first:
            self.first = False
            self.waiting.set()
            assert self.go_on.wait(5)
        return self._platform.attest(report_data)


def test_a16_two_starts_at_once_do_not_change_the_channel_under_a_session(channel: Channel, keys: KeyHolder) -> None:
    """A slow start on the attacker's look-alike channel must not end after a session for the true one was made."""
    platform, attackers = _SlowPlatform(), Channel()
    enclave = LedgerEnclave(platform=platform, checker=SignatureChecker(), random_bytes=os.urandom)
    replies: list[LedgerReply] = []
    threads = [
        threading.Thread(target=lambda item=item: replies.append(call(enclave, start_message(item))))
        for item in (attackers, channel)
    ]
    threads[0].start()
    assert platform.waiting.wait(5)
    threads[1].start()
    threads[1].join(0.1)
    platform.go_on.set()
    for thread in threads:
        thread.join(5)
    assert sorted(type(reply).__name__ for reply in replies) == ["LedgerRefusal", "LedgerStatus"]
    evidence = decode_attested_data(decode_evidence(status_of(enclave).evidence).attested_data)
    assert evidence.genesis_hash == attackers.genesis_hash
    assert status_of(enclave).block_hash == attackers.genesis_hash


def test_a_genesis_block_of_an_unknown_capability_halts_and_is_named() -> None:
    enclave = new_enclave()
    reply = expect(call(enclave, start_message(Channel(capability="V9_9"))), LedgerStatus)
    assert (reply.state, reply.reason) == ("halted", "capability")
    assert "V9_9" in reply.message
    assert refusal(call(enclave, SealLedger())) == "halted"


@pytest.mark.parametrize(
    "change",
    [{"genesis": b"garbage"}, {"policy": b"{"}, {"policy": b'{"debug":true}'}],
    ids=["genesis", "json", "rule"],
)
def test_a_malformed_start_leaves_the_enclave_new(channel: Channel, change: dict[str, Any]) -> None:
    enclave = new_enclave()
    reply = call(enclave, dataclasses.replace(start_message(channel), **change))
    assert refusal(reply) == "malformed"
    assert status_of(enclave).state == "new"
    started_now = expect(call(enclave, start_message(channel)), LedgerStatus)
    assert started_now.state == "following"


# --- A9 to A13: following -------------------------------------------------------------------------------------------


def _forged_data(channel: Channel) -> Sequence[bytes]:
    put = channel.put(("a", b"forged")).build()
    return [bend_block(channel.blocks[-1], lambda block: block.data.data.append(put))]


def _outsider(channel: Channel) -> Sequence[bytes]:
    other = channel.fork()
    other.blocks.pop()
    return [other.make(channel.put().build(), signers=[channel.peers[0]])]


def _fork(channel: Channel) -> Sequence[bytes]:
    """Validly signed both; the second one starts from a block that is not ours."""
    other = channel.fork()
    other.blocks.pop()
    other.add(other.put(("fork", b"v")))
    return [channel.blocks[-1], other.add(other.put())]


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (lambda channel: channel.blocks[-2:-1], "number"),
        (lambda channel: [channel.add(channel.put(("x", b"v")))], "number"),
        (_forged_data, "data-hash"),
        (_outsider, "block-signatures"),
        (_fork, "previous-hash"),
        (lambda channel: [b"garbage"], "data"),
    ],
    ids=["repeated", "gap", "forged data", "outsider", "fork", "garbage"],
)
def test_a9_a11_a_block_that_must_not_be_accepted_stops_everything(
    channel: Channel, keys: KeyHolder, attack: Attack, reason: str
) -> None:
    channel.add(keys.draft(Effects(writes=[("a", b"v")])))
    enclave = started(channel)
    call(enclave, NextBlocks(tuple(channel.blocks[1:-1])))
    asker = connected(enclave, ChaincodeParty.new(channel))
    assert isinstance(ask(enclave, asker, AskBlock(0)), BlockAnswer)
    status = expect(call(enclave, NextBlocks(tuple(attack(channel)))), LedgerStatus)
    assert (status.state, status.reason) == ("halted", reason)
    number = 4 if attack is _fork else 3
    assert status.message.startswith(f"block {number}: ")
    assert status.height == number
    assert refusal(ask(enclave, asker, AskBlock(0))) == "halted"
    for request in (
        NextBlocks((channel.blocks[3],)),
        SessionHello(ChaincodeParty.new(channel).initiator().hello),
        FindTransaction("0"),
        ListSuspects(),
        SealLedger(),
        RestoreLedger(b"", 1),
    ):
        assert refusal(call(enclave, request)) == "halted"
    again = expect(call(enclave, GetLedgerStatus()), LedgerStatus)
    assert (again.state, again.reason) == ("halted", reason)


def test_a11_the_honest_twin_follows_to_the_end(channel: Channel, keys: KeyHolder) -> None:
    for number in range(20):
        channel.add(keys.draft(Effects(writes=[("a", b"%d" % number)])))
    enclave = started(channel)
    reply = expect(call(enclave, NextBlocks(tuple(channel.blocks[1:]))), Followed)
    assert (reply.height, reply.block_hash) == (len(channel.blocks), parse_block(channel.blocks[-1]).header_hash)
    assert expect(call(enclave, NextBlocks(())), Followed) == reply


@pytest.mark.parametrize("garbage", [0, 3, 9, 12])
def test_a9_blocks_before_a_bad_one_of_the_same_message_count(channel: Channel, keys: KeyHolder, garbage: int) -> None:
    for number in range(12):
        channel.add(keys.draft(Effects(writes=[("a", b"%d" % number)])))
    enclave = started(channel)
    blocks = [*channel.blocks[1 : 1 + garbage], b"garbage", *channel.blocks[1 + garbage :]]
    status = expect(call(enclave, NextBlocks(tuple(blocks))), LedgerStatus)
    assert (status.state, status.height) == ("halted", 1 + garbage)
    assert status.message.startswith(f"block {1 + garbage}: ")


def test_a13_an_unknown_capability_stops_and_is_named(channel: Channel) -> None:
    def raise_it(group: Any) -> None:
        capabilities = configuration_pb2.Capabilities()
        capabilities.capabilities["V9_9"].SetInParent()
        group.values["Capabilities"].value = capabilities.SerializeToString()
        group.values["Capabilities"].version += 1

    channel.reconfigure(["Application"], raise_it)
    status = status_of(caught_up(channel))
    assert (status.state, status.reason) == ("halted", "capability")
    assert "V9_9" in status.message


def test_a10_the_policys_number_of_orderers_is_demanded(channel: Channel) -> None:
    second = channel.ordering_authority.issue(Wanted("second", ("orderer",)))
    client = channel.ordering_authority.issue(Wanted("client", ("client",)))
    strict = policy_of(min_orderer_signatures=2)
    put = channel.put(("k", b"v"), chaincode="plain").build()
    for signers, state in (
        ([channel.orderer], "halted"),
        ([channel.orderer, client], "halted"),
        ([channel.orderer, channel.orderer], "halted"),
        ([channel.orderer, second], "following"),
    ):
        first = Channel.fork(channel)
        first.blocks = first.blocks[:1]
        enclave = started(first, strict)
        call(enclave, NextBlocks((first.make(put, signers=signers),)))
        assert status_of(enclave).state == state


def test_a_fault_in_the_middle_of_a_commit_is_never_answered_about(
    channel: Channel, keys: KeyHolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel.add(keys.draft(Effects(writes=[("a", b"v")])))
    enclave = started(channel)
    call(enclave, NextBlocks(tuple(channel.blocks[1:-1])))
    asker = connected(enclave, ChaincodeParty.new(channel))

    def breaks(judge: Judge, judged: object) -> None:
        judge.height += 1
        raise MemoryError

    monkeypatch.setattr(Judge, "commit", breaks)
    assert refusal(call(enclave, NextBlocks((channel.blocks[-1],)))) == "internal"
    assert status_of(enclave).state == "halted"
    assert refusal(ask(enclave, asker, AskBlock(0))) == "halted"


def test_questions_are_answered_while_blocks_are_followed(channel: Channel, keys: KeyHolder) -> None:
    """Whatever is answered meanwhile is true at the height that the answer names."""
    values = [b"%d" % number for number in range(40)]
    for value in values:
        channel.add(keys.draft(Effects(writes=[("a", value), ("b", value)])))
    enclave = started(channel)
    call(enclave, NextBlocks(tuple(channel.blocks[1:3])))
    askers = [connected(enclave, ChaincodeParty.new(channel)) for _ in range(2)]
    failures: list[BaseException] = []

    def follow() -> None:
        for block in channel.blocks[3:]:
            expect(call(enclave, NextBlocks((block,))), Followed)

    def watch(asker: Asker) -> None:
        try:
            while follower.is_alive():
                answer = ask(enclave, asker, AskKey("a"))
                assert isinstance(answer, SegmentsAnswer)
                begin, value = answer.segments[0]
                assert value == (hashed(values[begin - 4]) if begin > 3 else b"")
                rows = ask(enclave, asker, AskRange("a", "c", 1))
                assert isinstance(rows, SegmentsAnswer)
                assert rows.segments[0][0] >= begin
                assert status_of(enclave).state == "following"
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            failures.append(error)

    follower = threading.Thread(target=follow)
    watchers = [threading.Thread(target=watch, args=(asker,)) for asker in askers]
    for thread in (follower, *watchers):
        thread.start()
    for thread in (follower, *watchers):
        thread.join(30)
    assert not failures
    assert status_of(enclave).height == len(channel.blocks)


# --- A15, C5: restarting --------------------------------------------------------------------------------------------


def test_a15_a_restart_goes_on_where_the_checkpoint_was_made(
    channel: Channel, keys: KeyHolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "PART_BYTES", 1000)
    channel.add(keys.draft(Effects(writes=[("a", b"v")])), channel.put(("b", b"rogue")))
    first = caught_up(channel)
    parts = seal(first)
    assert len(parts) > 3
    channel.add(keys.draft(Effects(writes=[("a", b"w")])))
    second = started(channel)
    status = expect(restore(second, parts), LedgerStatus)
    assert (status.height, status.keys, status.suspects) == (4, status_of(first).keys, 1)
    for enclave in (first, second):
        expect(call(enclave, NextBlocks(tuple(channel.blocks[4:]))), Followed)
    one, two = status_of(first), status_of(second)
    assert dataclasses.replace(one, evidence=b"") == dataclasses.replace(two, evidence=b"")
    asker = connected(second, ChaincodeParty.new(channel))
    answer = ask(second, asker, AskKey("a"))
    assert isinstance(answer, SegmentsAnswer)
    assert answer.segments == ((5, hashed(b"w")), (4, hashed(b"v")))


def test_a15_an_older_checkpoint_does_not_answer_above_itself(channel: Channel, keys: KeyHolder) -> None:
    parts = seal(caught_up(channel))
    channel.add(keys.draft(Effects(writes=[("a", b"v")])))
    enclave = started(channel)
    restore(enclave, parts)
    asker = connected(enclave, ChaincodeParty.new(channel))
    answer = ask(enclave, asker, AskBlock(3))
    assert isinstance(answer, BlockAnswer)
    assert answer.block_hash == b""


@pytest.mark.parametrize(
    "attack",
    [
        lambda parts: parts[1:],
        lambda parts: [parts[0], *parts],
        lambda parts: [parts[1], parts[0], *parts[2:]],
        lambda parts: [SealedPart(parts[0].part, 1)],
        lambda parts: [SealedPart(bytes([parts[0].part[0] ^ 1]) + parts[0].part[1:], 0), *parts[1:]],
        lambda parts: [*parts[:-1], SealedPart(parts[-1].part[:-1], 1)],
        lambda parts: [SealedPart(b"", 1)],
    ],
    ids=["missing", "doubled", "reordered", "cut", "bit flipped", "truncated", "empty"],
)
def test_a15_a_tampered_checkpoint_is_refused_and_the_genuine_one_still_loads(
    channel: Channel, monkeypatch: pytest.MonkeyPatch, attack: Callable[[list[SealedPart]], list[SealedPart]]
) -> None:
    monkeypatch.setattr(sealing, "PART_BYTES", 1000)
    parts = seal(caught_up(channel))
    enclave = started(channel)
    assert refusal(restore(enclave, attack(parts))) == "sealed-state"
    assert status_of(enclave).height == 1
    assert expect(restore(enclave, parts), LedgerStatus).height == len(channel.blocks)


def test_c5_a_checkpoint_serves_its_platform_measurement_channel_and_registry_only(channel: Channel) -> None:
    parts = seal(caught_up(channel))
    policy = policy_of(SEED, OTHER_SEED)
    assert refusal(restore(started(channel, seed=OTHER_SEED), parts)) == "sealed-state"
    assert refusal(restore(started(channel, measurement=bytes(32)), parts)) == "sealed-state"
    assert refusal(restore(started(Channel(channel.name)), parts)) == "malformed"
    enclave = new_enclave()
    call(enclave, start_message(channel, registry="other"))
    assert refusal(restore(enclave, parts)) == "malformed"
    assert refusal(restore(started(channel, policy), parts)) == "malformed"
    assert expect(restore(started(channel), parts), LedgerStatus).height == len(channel.blocks)


def test_p9_blocks_let_in_under_a_laxer_policy_do_not_come_back_under_a_stricter_one(channel: Channel) -> None:
    """The host's own, lax enclave follows what one orderer signed alone; the strict one must not take that over."""
    parts = seal(caught_up(channel))
    strict = started(channel, policy_of(min_orderer_signatures=2))
    assert refusal(restore(strict, parts)) == "malformed"
    assert expect(call(strict, NextBlocks((channel.blocks[1],))), LedgerStatus).reason == "block-signatures"


def test_a_checkpoint_that_nobody_takes_to_its_end_does_not_stop_the_following(
    channel: Channel, keys: KeyHolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "PART_BYTES", 1000)
    enclave = caught_up(channel)
    parts = enclave.handle(SealLedger())
    assert expect(next(parts), SealedPart).last == 0
    parts.close()
    expect(call(enclave, NextBlocks((channel.add(keys.draft(Effects(writes=[("a", b"v")]))),))), Followed)


def test_a_restore_after_blocks_is_refused(channel: Channel) -> None:
    enclave = caught_up(channel)
    assert refusal(restore(enclave, seal(enclave))) == "state"
    assert refusal(call(new_enclave(), RestoreLedger(b"", 1))) == "not-started"


# --- C11: sessions --------------------------------------------------------------------------------------------------


def test_c11_an_attested_enclave_of_the_channel_gets_answers(channel: Channel, keys: KeyHolder) -> None:
    enclave = caught_up(channel)
    asker = connected(enclave, ChaincodeParty.new(channel))
    answer = ask(enclave, asker, AskKeySet(1))
    assert isinstance(answer, KeySetAnswer)
    assert answer.key_set_id == keys.descriptor.key_set_id
    other = connected(enclave, ChaincodeParty.new(channel))
    assert isinstance(ask(enclave, other, AskKey("a")), SegmentsAnswer)
    assert isinstance(ask(enclave, asker, AskKey("a")), SegmentsAnswer)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": "other"}, "binding"),
        ({"genesis_hash": bytes(32)}, "binding"),
        ({"registry": "other"}, "binding"),
        ({"role": "ledger"}, "measurement"),
        ({"role": "other"}, "measurement"),
        ({"ledger_measurement": bytes(32)}, "binding"),
        ({"measurement": NEXT_MEASUREMENT}, "measurement"),
        ({"measurement": LEDGER_MEASUREMENT}, "measurement"),
        ({"sequence": 2}, "ledger-behind"),
        ({"sequence": 0}, "ledger-behind"),
        ({"chaincode": "plain"}, "ledger-behind"),
        ({"chaincode": "nothing"}, "ledger-behind"),
        ({"policy_id": bytes(32)}, "policy"),
        ({"policy": policy_of(SEED, OTHER_SEED)}, "policy"),
        ({"seed": OTHER_SEED}, "simulation-authority"),
        ({"hpke_key": bytes(1216)}, "malformed"),
    ],
    ids=str,
)
def test_c11_an_enclave_that_belongs_elsewhere_gets_no_session(
    channel: Channel, change: dict[str, Any], reason: str
) -> None:
    assert refusal(connect(caught_up(channel), ChaincodeParty.new(channel, **change))) == reason


def test_c8_the_measurement_of_another_sequence_gets_no_session(channel: Channel, keys: KeyHolder) -> None:
    channel.add(channel.define(2, NEXT_MEASUREMENT))
    enclave = caught_up(channel)
    assert refusal(connect(enclave, ChaincodeParty.new(channel, sequence=2))) == "measurement"
    assert refusal(connect(enclave, ChaincodeParty.new(channel, measurement=NEXT_MEASUREMENT))) == "measurement"
    connected(enclave, ChaincodeParty.new(channel, sequence=2, measurement=NEXT_MEASUREMENT))
    connected(enclave, ChaincodeParty.new(channel))  # what was approved once may still open and hand over


def test_a_session_before_its_definition_is_refused_as_behind(channel: Channel) -> None:
    assert refusal(connect(started(channel), ChaincodeParty.new(channel))) == "ledger-behind"


def test_c4_evidence_about_other_attested_data_gets_no_session(channel: Channel) -> None:
    genuine, thief = ChaincodeParty.new(channel), ChaincodeParty.new(channel)
    spliced = dataclasses.replace(genuine.evidence, attested_data=thief.evidence.attested_data)
    assert refusal(connect(caught_up(channel), ChaincodeParty(thief.keys, spliced))) == "report-data"


def test_c11_anothers_evidence_without_its_keys_gets_no_session(channel: Channel) -> None:
    enclave, genuine = caught_up(channel), ChaincodeParty.new(channel)
    thief = ChaincodeParty(ChaincodeParty.new(channel).keys, genuine.evidence)
    initiator = thief.initiator()
    welcome = expect(call(enclave, SessionHello(initiator.hello)), SessionWelcome)
    with pytest.raises(Refused):
        initiator.confirm(welcome.welcome, responder_keys(initiator.evidence_of(welcome.welcome)[0]))


def test_c11_a_confirm_is_taken_once_and_for_its_own_welcome(channel: Channel) -> None:
    enclave = caught_up(channel)
    party = ChaincodeParty.new(channel)
    initiators = [party.initiator(), party.initiator()]
    welcomes = [expect(call(enclave, SessionHello(item.hello)), SessionWelcome) for item in initiators]
    confirms = [
        item.confirm(welcome.welcome, responder_keys(item.evidence_of(welcome.welcome)[0]))[0]
        for item, welcome in zip(initiators, welcomes, strict=True)
    ]
    assert refusal(call(enclave, SessionConfirm(welcomes[0].number, confirms[1]))) == "session"
    assert refusal(call(enclave, SessionConfirm(welcomes[0].number, confirms[0]))) == "session"  # the offer is gone
    call(enclave, SessionConfirm(welcomes[1].number, confirms[1]))
    assert refusal(call(enclave, SessionConfirm(welcomes[1].number, confirms[1]))) == "session"
    assert refusal(call(enclave, SessionConfirm(99, confirms[1]))) == "session"


def test_c11_a_replayed_hello_leads_to_no_session(channel: Channel) -> None:
    enclave, party = caught_up(channel), ChaincodeParty.new(channel)
    initiator = party.initiator()
    first = expect(call(enclave, SessionHello(initiator.hello)), SessionWelcome)
    second = expect(call(enclave, SessionHello(initiator.hello)), SessionWelcome)
    assert first.welcome != second.welcome
    confirm, _ = initiator.confirm(first.welcome, responder_keys(initiator.evidence_of(first.welcome)[0]))
    assert refusal(call(enclave, SessionConfirm(second.number, confirm))) == "session"


def test_c11_replayed_reordered_reflected_and_foreign_questions_are_refused(channel: Channel) -> None:
    enclave = caught_up(channel)
    asker, other = (connected(enclave, ChaincodeParty.new(channel)) for _ in range(2))
    first, second = (SessionQuestion(asker.seal(QUESTIONS.encode(AskBlock(0)))[1]) for _ in range(2))
    reply = call(enclave, second)
    assert refusal(call(enclave, first)) == "session"
    assert refusal(call(enclave, second)) == "session"
    assert refusal(call(enclave, SessionQuestion(reply.sealed))) == "session"  # type: ignore[union-attr]
    foreign = decode_frame(b"cloister/session/sealed/1", asker.seal(b"question")[1], count=3)
    moved = encode_frame(b"cloister/session/sealed/1", (other.session_id, *foreign[1:]))
    assert refusal(call(enclave, SessionQuestion(moved))) == "session"
    assert isinstance(ask(enclave, other, AskBlock(0)), BlockAnswer)


def test_a_malformed_question_costs_nothing_but_itself(channel: Channel) -> None:
    enclave = caught_up(channel)
    asker = connected(enclave, ChaincodeParty.new(channel))
    for question in (b"", b"garbage", encode_frame(b"AskKey", (b"\xff",)), encode_frame(b"AskBlock", (b"1",))):
        assert refusal(call(enclave, SessionQuestion(asker.seal(question)[1]))) == "malformed"
    assert isinstance(ask(enclave, asker, AskBlock(0)), BlockAnswer)


def test_e5_sessions_and_offers_are_bounded_the_oldest_goes_first(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enclave_module, "MAX_SESSIONS", 3)
    enclave, party = caught_up(channel), ChaincodeParty.new(channel)
    askers = [connected(enclave, party) for _ in range(4)]
    assert refusal(ask(enclave, askers[0], AskBlock(0))) == "session"
    assert all(isinstance(ask(enclave, item, AskBlock(0)), BlockAnswer) for item in askers[1:])
    initiator = party.initiator()
    welcome = expect(call(enclave, SessionHello(initiator.hello)), SessionWelcome)
    for _ in range(3):
        call(enclave, SessionHello(party.initiator().hello))
    confirm, _ = initiator.confirm(welcome.welcome, responder_keys(initiator.evidence_of(welcome.welcome)[0]))
    assert refusal(call(enclave, SessionConfirm(welcome.number, confirm))) == "session"


def test_c6_a_revoked_enclave_is_told_nothing_from_that_block_on(channel: Channel, keys: KeyHolder) -> None:
    """Nor after the registry's key is deleted again, nor by a ledger enclave that starts from a checkpoint."""
    enclave = caught_up(channel)
    revoked, honest = ChaincodeParty.new(channel), ChaincodeParty.new(channel)
    asker, other = connected(enclave, revoked), connected(enclave, honest)
    key = f"\0{REVOKED}\0{CHAINCODE}\0{revoked.keys.signing_public.hex()}\0"
    elsewhere = f"\0{REVOKED}\0another\0{honest.keys.signing_public.hex()}\0"
    block = channel.add(channel.put((elsewhere, b"x"), (f"{key}more", b"x"), chaincode=REGISTRY))
    expect(call(enclave, NextBlocks((block,))), Followed)
    assert isinstance(ask(enclave, asker, AskBlock(0)), BlockAnswer)
    block = channel.add(channel.put((key, b"x"), chaincode=REGISTRY))
    expect(call(enclave, NextBlocks((block,))), Followed)
    assert refusal(ask(enclave, asker, AskBlock(0))) == "revoked"
    assert refusal(call(enclave, SessionHello(revoked.initiator().hello))) == "revoked"
    answer = ask(enclave, other, AskRevoked(revoked.keys.signing_public, bytes(32)))
    assert isinstance(answer, RevokedAnswer)
    assert (answer.revoked, answer.registered) == (1, 0)
    block = channel.add(channel.put((key, None), chaincode=REGISTRY))
    expect(call(enclave, NextBlocks((block,))), Followed)
    again = started(channel)
    restore(again, seal(enclave))
    assert refusal(call(again, SessionHello(revoked.initiator().hello))) == "revoked"
    assert isinstance(ask(again, connected(again, honest), AskBlock(0)), BlockAnswer)


def test_c6_registrations_are_told_from_the_block_on_and_for_ever(channel: Channel, keys: KeyHolder) -> None:
    enclave, asker = caught_up(channel), ChaincodeParty.new(channel)
    session, evidence_id = connected(enclave, asker), asker.evidence.evidence_id

    def shown(evidence: bytes) -> bytes:
        return json.dumps({"endorsements": "", "evidence": base64.b64encode(evidence).decode()}).encode()

    def registered(ledger: LedgerEnclave, by: Any) -> int:
        answer = ask(ledger, by, AskRevoked(bytes(32), evidence_id))
        assert isinstance(answer, RevokedAnswer)
        return answer.registered

    key = f"\0{ENCLAVE}\0{CHAINCODE}\x001\0{evidence_id.hex()}\0"
    value = shown(asker.evidence.encode())
    for other in (f"\0{ENCLAVE}\0another\x001\0{evidence_id.hex()}\0", f"{key}more", key[:-1], key[1:]):
        expect(call(enclave, NextBlocks((channel.add(channel.put((other, value), chaincode=REGISTRY)),))), Followed)
    expect(call(enclave, NextBlocks((channel.add(channel.put((key, value))),))), Followed)  # of another chaincode
    another = ChaincodeParty.new(channel).evidence.encode()
    for hidden in (b"x", b"{}", shown(b"x"), shown(another), value[:-3], value.replace(b"A", b"=")):
        expect(call(enclave, NextBlocks((channel.add(channel.put((key, hidden), chaincode=REGISTRY)),))), Followed)
    assert not registered(enclave, session)  # whose signing key nobody sees, nobody could revoke
    for written in (value, b"x", None):
        expect(call(enclave, NextBlocks((channel.add(channel.put((key, written), chaincode=REGISTRY)),))), Followed)
        assert registered(enclave, session)
    again = started(channel)
    restore(again, seal(enclave))
    assert registered(again, connected(again, asker))


# --- what the host may know -------------------------------------------------------------------------------------------


def test_the_host_finds_transactions_and_suspects(channel: Channel, keys: KeyHolder) -> None:
    covered, rogue = keys.draft(Effects(writes=[("a", b"v")])), channel.put(("b\x01", None))
    channel.add(covered, rogue)
    enclave = caught_up(channel)
    assert call(enclave, FindTransaction(transaction_id(covered))) == TransactionFound(1, 3, 0, 0, 1)
    assert call(enclave, FindTransaction(transaction_id(rogue))) == TransactionFound(1, 3, 1, 0, 0)
    assert call(enclave, FindTransaction("?")) == TransactionFound(0, 0, 0, 0, 0)
    lines = [json.loads(line) for line in expect(call(enclave, ListSuspects()), Suspects).lines]
    assert [(line["key"], line["parameter"], line["block"]) for line in lines] == [("b\x01", False, 3)]
    assert {line["transaction_id"] for line in lines} == {transaction_id(rogue)}


def test_e5_the_list_of_suspects_is_bounded_and_their_number_is_not(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enclave_module, "MAX_SUSPECTS", 5)
    channel.add(channel.put(*[(f"k{number}", b"v") for number in range(9)]))
    enclave = caught_up(channel)
    assert len(expect(call(enclave, ListSuspects()), Suspects).lines) == 5
    assert status_of(enclave).suspects == 9


def test_uncovered_rows_are_told_with_their_writer(channel: Channel, keys: KeyHolder) -> None:
    rogue = channel.put(("a", b"v"))
    channel.add(rogue)
    enclave = caught_up(channel)
    asker = connected(enclave, ChaincodeParty.new(channel))
    answer = ask(enclave, asker, AskRange("", "", 0))
    assert isinstance(answer, SegmentsAnswer)
    assert (answer.segments[0][1], answer.writer) == (UNCOVERED, transaction_id(rogue))
    found = ask(enclave, asker, AskTransaction(transaction_id(rogue)))
    assert getattr(found, "covered", None) == 0


# --- E1: any message ------------------------------------------------------------------------------------------------


BYTES, TEXT, NUMBER = st.binary(max_size=80), st.text(max_size=10), st.integers(0, 2**64 - 1)
MESSAGES = st.one_of(
    st.builds(StartLedger, BYTES, TEXT, BYTES, TEXT),
    st.builds(RestoreLedger, BYTES, NUMBER),
    st.builds(NextBlocks, st.lists(BYTES, max_size=3).map(tuple)),
    st.builds(SessionHello, BYTES),
    st.builds(SessionConfirm, NUMBER, BYTES),
    st.builds(SessionQuestion, BYTES),
    st.builds(FindTransaction, TEXT),
    st.just(ListSuspects()),
    st.just(SealLedger()),
    st.just(GetLedgerStatus()),
)


def replies_to(enclave: LedgerEnclave, message: Any) -> list[LedgerReply]:
    replies = list(enclave.handle(message))
    assert replies
    for reply in replies:
        assert decode_reply(encode_reply(1, reply))[1] == reply
        assert reply != LedgerRefusal("internal")
    return replies


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=st.lists(MESSAGES, max_size=6))
def test_e1_any_message_has_a_reply(prepared: tuple[Channel, KeyHolder], messages: list[Any]) -> None:
    for enclave in (new_enclave(), started(prepared[0])):
        for message in messages:
            replies_to(enclave, message)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_e1_damaged_messages_have_a_reply(prepared: tuple[Channel, KeyHolder], data: st.DataObject) -> None:
    channel = prepared[0]
    enclave = started(channel)
    party = ChaincodeParty.new(channel)
    choice = data.draw(st.sampled_from(["start", "block", "hello", "confirm", "question", "part"]))
    if choice in ("confirm", "question"):
        call(enclave, NextBlocks(tuple(channel.blocks[1:])))

    def damage(content: bytes) -> bytes:
        changed = bytearray(content)
        for _ in range(data.draw(st.integers(1, 3))):
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
        return bytes(changed)[: data.draw(st.one_of(st.just(len(changed)), st.integers(0, len(changed))))]

    message: Any
    if choice == "start":
        enclave = new_enclave()
        message = dataclasses.replace(start_message(channel), genesis=damage(channel.blocks[0]))
    elif choice == "block":
        message = NextBlocks((damage(channel.blocks[1]), channel.blocks[2]))
    elif choice == "hello":
        message = SessionHello(damage(party.initiator().hello))
    elif choice == "part":
        message = RestoreLedger(damage(seal(enclave)[0].part), 1)
    elif choice == "question":
        message = SessionQuestion(damage(connected(enclave, party).seal(QUESTIONS.encode(AskKey("a")))[1]))
    else:
        initiator = party.initiator()
        welcome = expect(call(enclave, SessionHello(initiator.hello)), SessionWelcome)
        confirm, _ = initiator.confirm(welcome.welcome, responder_keys(initiator.evidence_of(welcome.welcome)[0]))
        message = SessionConfirm(welcome.number, damage(confirm))
    replies_to(enclave, message)
    assert status_of(enclave).state in ("new", "following", "halted")


def test_e1_messages_of_another_kind_are_refused() -> None:
    assert refusal(call(new_enclave(), common_pb2.Block())) == "malformed"
    with pytest.raises(MalformedInput):
        decode_reply(encode_request(1, GetLedgerStatus()))


def test_chaincode_of_another_name_is_not_asked_about(channel: Channel, keys: KeyHolder) -> None:
    """A session's answers are about its own chaincode, whatever the key's name."""
    other = KeyHolder.new(channel, chaincode="vote")
    channel.add(channel.define(name="vote"), channel.register(other))
    channel.add(keys.draft(Effects(writes=[("k", b"v")])))
    enclave = caught_up(channel)
    found = {}
    for name in (CHAINCODE, "vote"):
        asker = connected(enclave, ChaincodeParty.new(channel, chaincode=name))
        answer = ask(enclave, asker, AskKey("k"))
        assert isinstance(answer, SegmentsAnswer)
        found[name] = answer.segments[0][1]
    assert found == {CHAINCODE: hashed(b"v"), "vote": b""}
