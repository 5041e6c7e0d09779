"""Chaincode enclaves in the test's own process: a model of the channel in the place of peer and ledger enclave."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cloister.client.results import PendingOutcome, verify_committed
from cloister.fabric.identity import SerializedIdentity, to_low_s
from cloister.fabric.proposal import (
    NONCE_BYTES,
    build_proposal,
    compute_transaction_id,
    encode_signed_proposal,
)
from cloister.trusted.attest.evidence import KIND_SIMULATION, Endorsements
from cloister.trusted.attest.measurement import compute_measurement
from cloister.trusted.attest.platform import SimulationPlatform, make_simulation_platform
from cloister.trusted.attest.policy import AppraisalPolicy
from cloister.trusted.chaincode.contract_image import ContractImage, load_contract_image
from cloister.trusted.chaincode.enclave import Enclave
from cloister.trusted.protocol.key_set import KeySetDescriptor, parse_descriptor
from cloister.trusted.protocol.outcome import Outcome, SealedOutcome, decode_outcome, decode_sealed_outcome
from cloister.trusted.protocol.request import Request, seal_request
from cloister.trusted.protocol.sealing import Place, open_response
from cloister.trusted.protocol.statement import (
    NO_CHECKPOINT,
    REVEAL_ON_COMMIT,
    Checkpoint,
    ResultStatement,
    verify_statement,
)
from cloister.trusted.protocol.upgrade import EVERY_ORGANISATION
from cloister.wire.messages import (
    Activate,
    AskLedger,
    EnclaveMessage,
    Exported,
    ExportKeys,
    GetParameter,
    GetRange,
    GetState,
    GetStatus,
    HostMessage,
    ImportKeys,
    Invoke,
    KeysMade,
    LedgerConfirm,
    LedgerReplied,
    MakeKeys,
    OpenCommitted,
    Opened,
    Provision,
    Provisioned,
    Refusal,
    Result,
    RowsAnswer,
    Sealed,
    Status,
    ValueAnswer,
)
from support.certificates import make_identity
from support.chain import CHANNEL, REGISTRY, Chain, LedgerDouble, ledger_measurement, rows_between

_Reply = TypeVar("_Reply")
CHAINCODE = "auction"
AUTHORITY_SEED = bytes([7]) * 32
SAMPLES = Path(__file__).parents[2] / "src" / "cloister" / "samples"
ENDORSEMENTS = Endorsements(KIND_SIMULATION, b"").encode()
GENESIS = Chain().genesis_hash


def simulation_policy(seed: bytes = AUTHORITY_SEED) -> AppraisalPolicy:
    """A policy that accepts the test's simulation authority."""
    key = make_simulation_platform(bytes(32), seed).authority.public_key().public_bytes_raw()
    return AppraisalPolicy(kinds=(KIND_SIMULATION,), simulation_authorities=(key.hex(),))


def make_ledger(chain: Chain | None = None) -> LedgerDouble:
    """A ledger enclave of the test's channel."""
    return LedgerDouble(chain or Chain(), simulation_policy(), AUTHORITY_SEED)


@functools.cache
def _measurement(digest: bytes) -> bytes:
    return compute_measurement(digest)


def make_enclave(
    image: ContractImage,
    *,
    random_bytes: Callable[[int], bytes] = os.urandom,
    seed: bytes = AUTHORITY_SEED,
) -> Enclave:
    """A new enclave for a loaded contract."""
    platform: SimulationPlatform = make_simulation_platform(_measurement(image.digest), seed)
    return Enclave(platform=platform, image=image, random_bytes=random_bytes)


def provision_message(
    msp_id: str = "Org1MSP", *, sequence: int = 1, policy: AppraisalPolicy | None = None
) -> Provision:
    """A Provision for the test's channel."""
    return Provision(
        channel=CHANNEL,
        genesis_hash=GENESIS,
        chaincode=CHAINCODE,
        sequence=sequence,
        msp_id=msp_id,
        policy=(policy or simulation_policy()).encode(),
        registry=REGISTRY,
        upgrade_policy_hash=EVERY_ORGANISATION,
        ledger_measurement=ledger_measurement(),
    )


def expect(reply: EnclaveMessage | None, kind: type[_Reply]) -> _Reply:
    """The reply, which must be of this kind."""
    assert isinstance(reply, kind), f"expected {kind.__name__}, got {reply!r}"
    return reply


def drive(enclave: Enclave, ledger: LedgerDouble, message: HostMessage, *, call: int = 50) -> EnclaveMessage | None:
    """A call that asks the ledger enclave only, to its end."""
    reply = enclave.handle(call, message)
    while isinstance(reply, AskLedger):
        reply = enclave.handle(call, LedgerReplied(ledger.reply(reply.ledger)))
    return reply


def settle(enclave: Enclave, ledger: LedgerDouble, message: Provision | None = None) -> Provisioned:
    """Provision an enclave whose definition is committed, and connect it."""
    provision = message or provision_message()
    provisioned = expect(enclave.handle(1, provision), Provisioned)
    status = status_of(enclave)
    ledger.chain.definitions.setdefault(provision.sequence, status.measurement)
    expect(ledger.connect(enclave), LedgerConfirm)
    return provisioned


def bring_up_first(enclave: Enclave, ledger: LedgerDouble, message: Provision | None = None) -> KeysMade:
    """Provision, make keys, register, activate: what the first organisation does."""
    settle(enclave, ledger, message)
    made = expect(drive(enclave, ledger, MakeKeys()), KeysMade)
    descriptor = parse_descriptor(made.descriptor)
    ledger.chain.key_sets.setdefault(descriptor.sequence, made.descriptor)
    ledger.chain.add()
    expect(drive(enclave, ledger, Activate()), Sealed)
    return made


def bring_up_next(
    first: Enclave, made: KeysMade, newcomer: Enclave, ledger: LedgerDouble, message: Provision | None = None
) -> bytes:
    """Hand the keys over: what every other organisation does. Returns the sealed state."""
    provisioned = settle(newcomer, ledger, message or provision_message("Org2MSP"))
    exported = expect(drive(first, ledger, ExportKeys(provisioned.evidence, ENDORSEMENTS, b"")), Exported)
    message_in = ImportKeys(exported.export, made.evidence, ENDORSEMENTS)
    return expect(drive(newcomer, ledger, message_in), Sealed).sealed


@dataclass
class Caller:
    """A client identity that signs proposals."""

    msp_id: str = "Org1MSP"
    name: str = "User1"
    key: ec.EllipticCurvePrivateKey = field(init=False)
    creator: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.key, certificate = make_identity(self.name)
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        self.creator = SerializedIdentity(self.msp_id, pem).encode()

    def sign(self, message: bytes) -> bytes:
        """DER ECDSA over SHA-256(message), low S."""
        return to_low_s(self.key.sign(message, ec.ECDSA(hashes.SHA256())), self.key.curve)

    def signed_proposal(
        self, argument: bytes, *, nonce: bytes, channel: str = CHANNEL, chaincode: str = CHAINCODE
    ) -> bytes:
        """A signed proposal with one argument."""
        proposal = build_proposal(
            channel=channel,
            chaincode=chaincode,
            arguments=[argument],
            creator=self.creator,
            nonce=nonce,
            timestamp_ns=1_700_000_000_000_000_000,
        )
        return encode_signed_proposal(proposal.encoded, self.sign(proposal.encoded))


@dataclass
class OpenedResult:
    """A result as a client sees it after all checks. `outcome` of what is revealed on commit: after the commit."""

    outcome: Outcome
    statement: ResultStatement
    result: Result
    sealed: SealedOutcome


Answer = ValueAnswer | RowsAnswer | LedgerReplied
Question = GetState | GetParameter | GetRange | AskLedger


@dataclass
class World:
    """What an enclave's host has: a peer and a ledger enclave, at one chain. `trace`: what was asked for."""

    chain: Chain = field(default_factory=Chain)
    ledger: LedgerDouble = field(init=False)
    trace: list[EnclaveMessage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger = make_ledger(self.chain)

    @property
    def state(self) -> dict[str, bytes]:
        """The peer's committed state."""
        return self.chain.states[-1]

    def answer(self, question: Question) -> Answer:
        """An honest host's answer."""
        self.trace.append(question)
        sealed = self.ledger.reply(question.ledger) if question.ledger else b""
        if isinstance(question, AskLedger):
            return LedgerReplied(sealed)
        return self.peer(question, sealed)

    def peer(self, question: GetState | GetParameter | GetRange, sealed: bytes) -> ValueAnswer | RowsAnswer:
        """An honest peer's answer."""
        if isinstance(question, GetState):
            return ValueAnswer(self.state.get(question.key), sealed)
        if isinstance(question, GetParameter):
            return ValueAnswer(self.chain.parameters[-1].get(question.key), sealed)
        keys = rows_between(self.state, question.bookmark or question.start, question.end)
        page = keys[: question.limit] if question.limit else keys
        bookmark = keys[len(page)] if len(page) < len(keys) else ""
        return RowsAnswer(tuple((key, self.state[key]) for key in page), bookmark, sealed)

    def run(self, enclave: Enclave, signed_proposal: bytes, *, call: int = 100) -> Result | Refusal:
        """Drive one execution to its end; nothing is committed."""
        reply = enclave.handle(call, Invoke(signed_proposal))
        while isinstance(reply, GetState | GetParameter | GetRange | AskLedger):
            reply = enclave.handle(call, self.answer(reply))
        assert isinstance(reply, Result | Refusal), reply
        return reply


@dataclass
class Session:
    """An enclave, a world and a caller: `call` runs a function and checks the result as a client does."""

    enclave: Enclave
    descriptor: KeySetDescriptor
    world: World
    caller: Caller = field(default_factory=Caller)

    @property
    def chain(self) -> Chain:
        """The world's chain."""
        return self.world.chain

    @property
    def ledger(self) -> LedgerDouble:
        """The world's ledger enclave."""
        return self.world.ledger

    def propose(
        self,
        function: str,
        *arguments: str,
        nonce: bytes | None = None,
        minimum: Checkpoint = NO_CHECKPOINT,
    ) -> tuple[bytes, bytes, bytes]:
        """(signed proposal, sealed request, response key)."""
        nonce = nonce or os.urandom(NONCE_BYTES)
        response_key = os.urandom(32)
        encoded = tuple(argument.encode() for argument in arguments)
        request = Request(function, encoded, response_key, minimum=minimum)
        transaction_id = compute_transaction_id(nonce, self.caller.creator)
        sealed = seal_request(request, self.descriptor, transaction_id=transaction_id, creator=self.caller.creator)
        return self.caller.signed_proposal(sealed, nonce=nonce), sealed, response_key

    def call(self, function: str, *arguments: str) -> OpenedResult:
        """Run, verify, commit, open."""
        signed, _, response_key = self.propose(function, *arguments)
        result = self.world.run(self.enclave, signed)
        assert isinstance(result, Result), result
        sealed, statement = self.verify(result)
        if not statement.is_query:
            self.chain.commit(signed, result)
        if statement.reveal == REVEAL_ON_COMMIT:
            return OpenedResult(self.open_committed(statement, response_key), statement, result, sealed)
        return OpenedResult(self.open_endorsed(sealed, statement, response_key), statement, result, sealed)

    def verify(self, result: Result) -> tuple[SealedOutcome, ResultStatement]:
        """The sealed outcome and its statement, the enclave's own."""
        sealed = decode_sealed_outcome(result.payload)
        return sealed, verify_statement(sealed.statement, sealed.signature, self.descriptor.result_key)

    def open_endorsed(self, sealed: SealedOutcome, statement: ResultStatement, response_key: bytes) -> Outcome:
        """The outcome of what is revealed at endorsement."""
        content = open_response(
            response_key=response_key,
            place=Place(GENESIS, CHANNEL, CHAINCODE),
            transaction_id=statement.transaction_id,
            sealed=sealed.ciphertext,
        )
        return decode_outcome(content)

    def ask_open(self, transaction_id: str, block: int | bytes | None = None) -> Opened | Refusal:
        """Ask the enclave to open a transaction out of a block (number or bytes; None: where it stands)."""
        number = self.chain.places[transaction_id][0] if block is None else block
        encoded = number if isinstance(number, bytes) else self.chain.blocks[number]
        opened = drive(self.enclave, self.ledger, OpenCommitted(transaction_id, encoded))
        assert isinstance(opened, Opened | Refusal), opened
        return opened

    def open_committed(self, statement: ResultStatement, response_key: bytes) -> Outcome:
        """The outcome of a committed transaction, checked as a client does."""
        opened = expect(self.ask_open(statement.transaction_id), Opened)
        pending = PendingOutcome(statement.transaction_id, statement.response_hash, response_key)
        return verify_committed(opened.payload, self.descriptor, pending).outcome


@functools.cache
def load_sample(name: str) -> ContractImage:
    """One of the package's sample contracts."""
    return load_contract_image(str(SAMPLES / f"{name}.py"))


def new_session(sample: str = "auction") -> Session:
    """A ready enclave with the sample contract, and a channel of its own."""
    return session_of(load_sample(sample))


def session_of(image: ContractImage) -> Session:
    """A ready enclave with a contract, and a channel of its own."""
    enclave, world = make_enclave(image), World()
    made = bring_up_first(enclave, world.ledger)
    return Session(enclave, parse_descriptor(made.descriptor), world)


def status_of(enclave: Enclave) -> Status:
    """The enclave's status."""
    reply = enclave.handle(0, GetStatus())
    assert isinstance(reply, Status)
    return reply
