"""A channel as a plain model, and a ledger enclave that answers from it: what real ones are compared with.

`Chain` keeps every state there ever was, so that answers come from brute force. `LedgerDouble` speaks the real session.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.peer import chaincode_pb2, proposal_pb2, proposal_response_pb2, transaction_pb2

from cloister.fabric.block import parse_block
from cloister.fabric.proposal import parse_signed_proposal
from cloister.testing.blocks import make_block
from cloister.trusted.attest.evidence import (
    KIND_SIMULATION,
    ROLE_LEDGER,
    AttestedData,
    Endorsements,
    Evidence,
    compute_report_data,
    decode_attested_data,
    decode_evidence,
)
from cloister.trusted.attest.identity_keys import IdentityKeys
from cloister.trusted.attest.measurement import compute_ledger_measurement
from cloister.trusted.attest.platform import make_simulation_platform
from cloister.trusted.attest.policy import AppraisalPolicy
from cloister.trusted.attest.session import Answerer, Counterpart, Party, Responder, hello_evidence, sealed_session
from cloister.trusted.chaincode.enclave import Enclave
from cloister.trusted.protocol.key_set import parse_descriptor
from cloister.trusted.protocol.questions import (
    ABSENT,
    ANSWERS,
    HEADS,
    MINIMUM_BEHIND,
    MINIMUM_FORK,
    MINIMUM_HOLDS,
    QUESTIONS,
    UNCOVERED,
    AdministratorsAnswer,
    Answer,
    AskAdministrators,
    AskBlock,
    AskCaller,
    AskKey,
    AskKeySet,
    AskMarks,
    AskParameter,
    AskRange,
    AskRevoked,
    AskTransaction,
    BlockAnswer,
    CallerAnswer,
    Head,
    KeySetAnswer,
    MarksAnswer,
    Question,
    RevokedAnswer,
    SegmentsAnswer,
    TransactionAnswer,
)
from cloister.trusted.protocol.reads import rows_digest, value_hash
from cloister.wire.messages import ConnectLedger, LedgerConfirm, LedgerHello, LedgerWelcome, Result

CHANNEL = "mychannel"
REGISTRY = "registry"
VALID, MVCC_READ_CONFLICT = 0, 11
State = dict[str, bytes]


@functools.cache
def ledger_measurement() -> bytes:
    """This version's, computed once."""
    return compute_ledger_measurement()


@dataclass
class Chain:
    """Block number n makes height n + 1; `states[h - 1]` is the state at height h. Block 0 is the genesis block."""

    blocks: list[bytes] = field(default_factory=lambda: [make_block(0, b"", [b"genesis"], [])])
    states: list[State] = field(default_factory=lambda: [{}])
    parameters: list[State] = field(default_factory=lambda: [{}])
    places: dict[str, tuple[int, int, bool]] = field(default_factory=dict)
    """Transaction id → (block, code, covered)."""
    marks: dict[str, str] = field(default_factory=dict)
    """Key → transaction that wrote it uncovered."""
    covered: dict[str, bytes] = field(default_factory=dict)
    """Marked key → hash of what was last covered."""
    key_sets: dict[int, bytes] = field(default_factory=dict)
    """Sequence → signed descriptor."""
    used: set[int] = field(default_factory=lambda: {1})
    """Sequences under whose key sets something was covered."""
    definitions: dict[int, bytes] = field(default_factory=dict)
    """Sequence → measurement, committed."""
    revoked: set[bytes] = field(default_factory=set)
    revoked_enclaves: set[bytes] = field(default_factory=set)
    """By their signing keys."""
    unregistered: set[bytes] = field(default_factory=set)
    """Evidence ids of enclaves that the registry has never shown."""
    config_block: int = 0
    administrators: dict[bytes, str] = field(default_factory=dict)
    members: tuple[str, ...] = ("Org1MSP", "Org2MSP")

    @property
    def genesis_hash(self) -> bytes:
        """32 bytes."""
        return self.hash_of(0)

    @property
    def height(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def state(self) -> State:
        """The newest one; a copy."""
        return dict(self.states[-1])

    def hash_of(self, number: int) -> bytes:
        """Header hash of a block, empty if it is not there."""
        return parse_block(self.blocks[number]).header_hash if number < len(self.blocks) else b""

    def add(
        self,
        change: Callable[[State, State], None] = lambda state, parameters: None,
        *,
        transaction: bytes = b"transaction",
    ) -> int:
        """Add a block that changes state and parameters; its number."""
        number = len(self.blocks)
        state, parameters = dict(self.states[-1]), dict(self.parameters[-1])
        change(state, parameters)
        self.blocks.append(make_block(number, self.hash_of(number - 1), [transaction], []))
        self.states.append(state)
        self.parameters.append(parameters)
        return number

    def commit(self, signed_proposal: bytes, result: Result, *, code: int = VALID) -> int:
        """Add a block with the transaction of a result, as if it had been endorsed and ordered."""

        def change(state: State, parameters: State) -> None:
            if code != VALID:
                return
            state.update(result.puts)
            parameters.update(result.parameters)
            for key in result.deletes:
                state.pop(key, None)
                parameters.pop(key, None)
            for key in (*dict(result.puts), *result.deletes):
                self.marks.pop(key, None)

        number = self.add(change, transaction=envelope_of(signed_proposal, result))
        transaction_id = parse_signed_proposal(signed_proposal).transaction_id
        self.places[transaction_id] = number, code, code == VALID
        return number

    def rogue(self, writes: dict[str, bytes | None], transaction_id: str = "ee" * 32) -> int:
        """A valid transaction that no statement covers."""

        def change(state: State, parameters: State) -> None:
            for key, value in writes.items():
                if key not in self.marks:
                    self.covered[key] = value_hash(state.get(key)) or ABSENT
                self.marks[key] = transaction_id
                if value is None:
                    state.pop(key, None)
                else:
                    state[key] = value

        number = self.add(change)
        self.places[transaction_id] = number, VALID, False
        return number


def envelope_of(signed_proposal: bytes, result: Result) -> bytes:
    """The envelope of a result's transaction, serialised; without endorsements."""
    signed = proposal_pb2.SignedProposal.FromString(signed_proposal)
    proposal = proposal_pb2.Proposal.FromString(signed.proposal_bytes)
    header = common_pb2.Header.FromString(proposal.header)
    action = proposal_pb2.ChaincodeAction(
        results=rwset_pb2.TxReadWriteSet().SerializeToString(),
        response=proposal_response_pb2.Response(status=200, payload=result.payload),
        chaincode_id=chaincode_pb2.ChaincodeID(name=parse_signed_proposal(signed_proposal).spec_chaincode),
    )
    response = proposal_response_pb2.ProposalResponsePayload(
        proposal_hash=parse_signed_proposal(signed_proposal).proposal_hash, extension=action.SerializeToString()
    )
    endorsed = transaction_pb2.ChaincodeEndorsedAction(proposal_response_payload=response.SerializeToString())
    action_payload = transaction_pb2.ChaincodeActionPayload(
        chaincode_proposal_payload=proposal.payload, action=endorsed
    )
    transaction = transaction_pb2.Transaction(
        actions=[
            transaction_pb2.TransactionAction(
                header=header.signature_header, payload=action_payload.SerializeToString()
            )
        ]
    )
    payload = common_pb2.Payload(header=header, data=transaction.SerializeToString())
    encoded: bytes = common_pb2.Envelope(payload=payload.SerializeToString(), signature=b"client's").SerializeToString()
    return encoded


class LedgerDouble:
    """A ledger enclave that answers from a chain. `lag`: how many blocks it has not seen yet; `floor`: as far back as
    it remembers."""

    def __init__(self, chain: Chain, policy: AppraisalPolicy, seed: bytes, *, measurement: bytes | None = None) -> None:
        self.chain = chain
        self.lag = 0
        self.floor = 1
        self.remembers_envelopes = False
        self.questions: list[Question] = []
        self._keys = IdentityKeys(os.urandom(32))
        platform = make_simulation_platform(measurement or ledger_measurement(), seed)
        self.attested = AttestedData(
            role=ROLE_LEDGER,
            channel=CHANNEL,
            genesis_hash=chain.genesis_hash,
            chaincode="",
            sequence=0,
            msp_id="Org1MSP",
            signing_key=self._keys.signing_public,
            hpke_key=self._keys.hpke_key.public_bytes,
            policy_id=policy.policy_id,
            registry=REGISTRY,
            upgrade_policy_hash=bytes(32),
            key_set_id=b"",
            ledger_measurement=platform.measurement,
            instance_id=os.urandom(16),
        )
        self._platform = platform
        self._sessions: dict[bytes, Answerer] = {}
        self.tamper: Callable[[Question, Answer], Answer] = lambda question, answer: answer

    @property
    def height(self) -> int:
        """Where it stands."""
        return self.chain.height - self.lag

    def connect(self, enclave: Enclave, *, call: int = 1) -> Any:
        """Make a session with a chaincode enclave; the enclave's last reply."""
        hello = enclave.handle(call, ConnectLedger())
        if not isinstance(hello, LedgerHello):
            return hello
        responder = self.welcome(hello.hello)
        confirm = enclave.handle(call, LedgerWelcome(responder.welcome))
        if isinstance(confirm, LedgerConfirm):
            self.established(responder, confirm.confirm)
        return confirm

    def established(self, responder: Responder, confirm: bytes) -> None:
        """The session stands."""
        answerer = responder.establish(confirm)
        self._sessions[answerer.session_id] = answerer

    def welcome(self, hello: bytes) -> Responder:
        """The responder for a hello; whose it is, is not looked at."""
        evidence, _ = hello_evidence(hello)
        initiator = decode_attested_data(decode_evidence(evidence).attested_data)
        encoded = self.attested.encode()
        own = Evidence(KIND_SIMULATION, encoded, self._platform.attest(compute_report_data(KIND_SIMULATION, encoded)))
        party = Party(
            own.encode(), Endorsements(KIND_SIMULATION, b"").encode(), self._keys.signing_key, self._keys.hpke_key
        )
        return Responder(party, hello, Counterpart(initiator.signing_key, initiator.hpke_key), os.urandom)

    def reply(self, sealed: bytes) -> bytes:
        """The sealed answer to a sealed question; empty if there is no such session (it is lost)."""
        answerer = self._sessions.get(sealed_session(sealed))
        if answerer is None:
            return b""
        number, encoded = answerer.open(sealed)
        _, question = QUESTIONS.decode(encoded)
        self.questions.append(question)
        return answerer.seal(number, ANSWERS.encode(self.tamper(question, self.answer(question))))

    def forget_sessions(self) -> None:
        """As after a restart."""
        self._sessions.clear()

    # --- answers ----------------------------------------------------------------------------------------------------

    def answer(self, question: Question) -> Answer:
        """The honest answer, by brute force."""
        chain, height = self.chain, self.height
        sequence = max(chain.definitions, default=0)
        version = chain.definitions.get(sequence, b"").hex()
        head = HEADS.encode(
            Head(height, chain.hash_of(height - 1), chain.config_block, sequence, version, 1_700_000_000)
        )
        match question:
            case AskCaller():
                return CallerAnswer(head, int(question.creator not in chain.revoked), self._minimum(question))
            case AskKey() | AskParameter():
                states, marked_as = (
                    (chain.states, question.key) if isinstance(question, AskKey) else (chain.parameters, "")
                )
                return self._segments(head, lambda at: self._value(states, question.key, at), marked_as)
            case AskMarks():
                is_marked = question.key in chain.marks
                return MarksAnswer(head, int(is_marked), chain.covered[question.key] if is_marked else b"", 0, b"")
            case AskRange():
                marked = [key for key in chain.marks if question.start <= key < question.end]
                return self._segments(
                    head, lambda at: self._rows(question.start, question.end, at), min(marked, default="")
                )
            case AskTransaction():
                block, code, covered = chain.places.get(question.transaction_id, (height, 0, False))
                if block >= height:
                    return TransactionAnswer(head, 0, 0, 0, 0, 0, b"", b"")
                return TransactionAnswer(
                    head, 1, block, 0, code, int(covered), chain.hash_of(block), self._envelope_hash(block)
                )
            case AskBlock():
                return BlockAnswer(head, chain.hash_of(question.number) if question.number < height else b"")
            case AskKeySet():
                return self._key_set(head, question.sequence)
            case AskAdministrators() | AskRevoked():
                return self._about_others(head, question)

    def _key_set(self, head: bytes, sequence: int) -> KeySetAnswer:
        signed, measurement = self.chain.key_sets.get(sequence), self.chain.definitions.get(sequence, b"")
        if not signed:
            return KeySetAnswer(head, b"", measurement, b"", 0)
        descriptor = parse_descriptor(signed)
        used = int(sequence in self.chain.used)
        return KeySetAnswer(head, descriptor.key_set_id, measurement, descriptor.result_key, used)

    def _about_others(self, head: bytes, question: AskAdministrators | AskRevoked) -> Answer:
        if isinstance(question, AskRevoked):
            revoked = question.signing_key in self.chain.revoked_enclaves
            return RevokedAnswer(head, int(revoked), int(question.evidence_id not in self.chain.unregistered))
        administrators = self.chain.administrators
        signed = {administrators[item] for item in question.identities if item in administrators}
        return AdministratorsAnswer(head, tuple(sorted(signed)), self.chain.members)

    def _envelope_hash(self, block: int) -> bytes:
        """Of the one transaction of a block."""
        if not self.remembers_envelopes:
            return b""
        return hashlib.sha256(parse_block(self.chain.blocks[block]).transactions[0]).digest()

    def _minimum(self, question: AskCaller) -> str:
        if question.height > self.height:
            return MINIMUM_BEHIND
        known = not question.height or self.chain.hash_of(question.height - 1) == question.block_hash
        return MINIMUM_HOLDS if known else MINIMUM_FORK

    def _segments(self, head: bytes, at: Callable[[int], bytes], marked: str) -> SegmentsAnswer:
        """Runs of equal facts from the newest height down to the floor."""
        writer = self.chain.marks.get(marked, "")
        found: list[tuple[int, bytes]] = []
        for height in range(self.height, self.floor - 1, -1):
            fact = UNCOVERED if writer and height == self.height else at(height)
            if found and found[-1][1] == fact:
                found[-1] = (height, fact)
            else:
                found.append((height, fact))
        return SegmentsAnswer(head, tuple(found), writer)

    def _value(self, states: list[State], key: str, height: int) -> bytes:
        return value_hash(states[height - 1].get(key)) or ABSENT

    def _rows(self, start: str, end: str, height: int) -> bytes:
        state = self.chain.states[height - 1]
        return rows_digest((key.encode(), value_hash(state[key]) or b"") for key in rows_between(state, start, end))


def rows_between(keys: Iterable[str], start: str, end: str) -> list[str]:
    """Keys of [start, end) in Fabric's order."""
    return sorted((key for key in keys if start.encode() <= key.encode() < end.encode()), key=str.encode)
