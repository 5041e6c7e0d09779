"""Ledger enclaves in the test's own process, and attested parties that speak with them as chaincode enclaves do."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from cloister.testing.channel import CHAINCODE, MEASUREMENT, REGISTRY, Channel
from cloister.trusted.attest.evidence import (
    KIND_SIMULATION,
    ROLE_CHAINCODE,
    AttestedData,
    Endorsements,
    Evidence,
    compute_report_data,
    decode_evidence,
)
from cloister.trusted.attest.identity_keys import IdentityKeys
from cloister.trusted.attest.platform import SimulationPlatform, make_simulation_platform
from cloister.trusted.attest.policy import AppraisalPolicy
from cloister.trusted.attest.session import Asker, Counterpart, Initiator, Party
from cloister.trusted.ledger.enclave import LedgerEnclave
from cloister.trusted.ledger.identities import SignatureChecker
from cloister.trusted.protocol.questions import ANSWERS, QUESTIONS, Answer, Question
from cloister.wire.ledger_messages import (
    LedgerRefusal,
    LedgerReply,
    LedgerRequest,
    LedgerStatus,
    NextBlocks,
    RestoreLedger,
    SealedPart,
    SealLedger,
    SessionAnswer,
    SessionConfirm,
    SessionHello,
    SessionQuestion,
    SessionReady,
    SessionWelcome,
    StartLedger,
)

LEDGER_MEASUREMENT = bytes([0xEE]) * 32
SEED, OTHER_SEED = bytes([7]) * 32, bytes([9]) * 32
NO_ENDORSEMENTS = Endorsements(KIND_SIMULATION, b"").encode()
_R = TypeVar("_R")


def policy_of(*seeds: bytes, **changes: Any) -> AppraisalPolicy:
    """A policy that accepts these simulation authorities."""
    keys = (make_simulation_platform(bytes(32), seed).authority.public_key() for seed in seeds or (SEED,))
    authorities = tuple(sorted(key.public_bytes_raw().hex() for key in keys))
    return AppraisalPolicy(kinds=(KIND_SIMULATION,), simulation_authorities=authorities, **changes)


def new_enclave(*, seed: bytes = SEED, measurement: bytes = LEDGER_MEASUREMENT) -> LedgerEnclave:
    """Not started."""
    platform: SimulationPlatform = make_simulation_platform(measurement, seed)
    return LedgerEnclave(platform=platform, checker=SignatureChecker(), random_bytes=os.urandom)


def start_message(
    channel: Channel, policy: AppraisalPolicy | None = None, *, registry: str = REGISTRY, msp_id: str = "Org1MSP"
) -> StartLedger:
    """To follow this channel."""
    return StartLedger(channel.blocks[0], msp_id, (policy or policy_of()).encode(), registry)


def call(enclave: LedgerEnclave, message: LedgerRequest) -> LedgerReply:
    """The one reply."""
    (reply,) = enclave.handle(message)
    return reply


def expect(reply: LedgerReply, kind: type[_R]) -> _R:
    """The reply, which must be of this kind."""
    assert isinstance(reply, kind), reply
    return reply


def started(channel: Channel, policy: AppraisalPolicy | None = None, **options: Any) -> LedgerEnclave:
    """An enclave at height 1."""
    enclave = new_enclave(**options)
    assert expect(call(enclave, start_message(channel, policy)), LedgerStatus).state == "following"
    return enclave


def caught_up(channel: Channel, policy: AppraisalPolicy | None = None, **options: Any) -> LedgerEnclave:
    """An enclave that has followed all blocks."""
    enclave = started(channel, policy, **options)
    call(enclave, NextBlocks(tuple(channel.blocks[1:])))
    return enclave


def seal(enclave: LedgerEnclave) -> list[SealedPart]:
    """The sealed checkpoint."""
    return [expect(part, SealedPart) for part in enclave.handle(SealLedger())]


def restore(enclave: LedgerEnclave, parts: list[SealedPart]) -> LedgerReply:
    """The reply to the last part, or the first refusal."""
    reply: LedgerReply = LedgerRefusal("nothing to restore")
    for part in parts:
        reply = call(enclave, RestoreLedger(part.part, part.last))
        if isinstance(reply, LedgerRefusal):
            break
    return reply


@dataclass(frozen=True)
class ChaincodeParty:
    """A chaincode enclave's attested identity."""

    keys: IdentityKeys
    evidence: Evidence

    @classmethod
    def new(
        cls,
        channel: Channel,
        *,
        measurement: bytes = MEASUREMENT,
        seed: bytes = SEED,
        policy: AppraisalPolicy | None = None,
        name: str | None = None,
        **changes: Any,
    ) -> ChaincodeParty:
        """Of the channel's chaincode, but for what is changed."""
        keys = IdentityKeys(os.urandom(32))
        attested = AttestedData(
            role=ROLE_CHAINCODE,
            channel=name or channel.name,
            genesis_hash=channel.genesis_hash,
            chaincode=CHAINCODE,
            sequence=1,
            msp_id="Org1MSP",
            signing_key=keys.signing_public,
            hpke_key=keys.hpke_key.public_bytes,
            policy_id=(policy or policy_of()).policy_id,
            registry=REGISTRY,
            upgrade_policy_hash=bytes(32),
            key_set_id=b"",
            ledger_measurement=LEDGER_MEASUREMENT,
            instance_id=bytes(16),
        )
        encoded = dataclasses.replace(attested, **changes).encode()
        platform = make_simulation_platform(measurement, seed)
        statement = platform.attest(compute_report_data(KIND_SIMULATION, encoded))
        return cls(keys, Evidence(KIND_SIMULATION, encoded, statement))

    @property
    def party(self) -> Party:
        """As the session knows it."""
        return Party(self.evidence.encode(), NO_ENDORSEMENTS, self.keys.signing_key, self.keys.hpke_key)

    def initiator(self) -> Initiator:
        """A session to be made."""
        return Initiator(self.party, os.urandom)


def responder_keys(evidence: bytes) -> Counterpart:
    """What an appraisal would give; nothing is appraised here."""
    from cloister.trusted.attest.evidence import decode_attested_data

    attested = decode_attested_data(decode_evidence(evidence).attested_data)
    return Counterpart(attested.signing_key, attested.hpke_key)


def connect(enclave: LedgerEnclave, party: ChaincodeParty) -> Asker | LedgerRefusal:
    """A session, or why not."""
    initiator = party.initiator()
    reply = call(enclave, SessionHello(initiator.hello))
    if isinstance(reply, LedgerRefusal):
        return reply
    welcome = expect(reply, SessionWelcome)
    evidence, _ = initiator.evidence_of(welcome.welcome)
    confirm, asker = initiator.confirm(welcome.welcome, responder_keys(evidence))
    reply = call(enclave, SessionConfirm(welcome.number, confirm))
    return reply if isinstance(reply, LedgerRefusal) else asker if isinstance(reply, SessionReady) else _never(reply)


def connected(enclave: LedgerEnclave, party: ChaincodeParty) -> Asker:
    """A session that stands."""
    found = connect(enclave, party)
    assert isinstance(found, Asker), found
    return found


def ask(
    enclave: LedgerEnclave,
    asker: Asker,
    question: Question,
    relay: Callable[[SessionQuestion], LedgerReply] | None = None,
) -> Answer | LedgerRefusal:
    """The answer, or why not."""
    number, sealed = asker.seal(QUESTIONS.encode(question))
    reply = relay(SessionQuestion(sealed)) if relay else call(enclave, SessionQuestion(sealed))
    if isinstance(reply, LedgerRefusal):
        asker.forget(number)
        return reply
    return ANSWERS.decode(asker.open(number, expect(reply, SessionAnswer).sealed))[1]


def _never(reply: LedgerReply) -> LedgerRefusal:
    raise AssertionError(reply)
