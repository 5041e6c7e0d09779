"""Chaincode enclaves in the test's own process, with a dictionary in the place of peer and ledger."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cloister.fabric.identity import SerializedIdentity, to_low_s
from cloister.fabric.proposal import NONCE_BYTES, build_proposal, compute_transaction_id, encode_signed_proposal
from cloister.trusted.attest.evidence import KIND_SIMULATION, Endorsements
from cloister.trusted.attest.measurement import compute_measurement
from cloister.trusted.attest.platform import SimulationPlatform, make_simulation_platform
from cloister.trusted.attest.policy import AppraisalPolicy
from cloister.trusted.chaincode.contract_image import ContractImage, load_contract_image
from cloister.trusted.chaincode.enclave import Enclave
from cloister.trusted.chaincode.key_set import KeySetDescriptor, parse_descriptor
from cloister.trusted.chaincode.ledger_view import LedgerView, NoLedgerEnclave
from cloister.trusted.chaincode.outcome import Outcome, SealedOutcome, decode_outcome, decode_sealed_outcome
from cloister.trusted.chaincode.request import Request, seal_request
from cloister.trusted.chaincode.sealing import Place, open_response
from cloister.trusted.chaincode.statement import ResultStatement, verify_statement
from cloister.wire.messages import (
    Activate,
    EnclaveMessage,
    Exported,
    ExportKeys,
    GetParameter,
    GetRange,
    GetState,
    GetStatus,
    ImportKeys,
    Invoke,
    KeysMade,
    MakeKeys,
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

_Reply = TypeVar("_Reply")
GENESIS = bytes(range(32))
CHANNEL = "mychannel"
CHAINCODE = "auction"
REGISTRY = "registry"
AUTHORITY_SEED = bytes([7]) * 32
SAMPLES = Path(__file__).parents[2] / "src" / "cloister" / "samples"
ENDORSEMENTS = Endorsements(KIND_SIMULATION, b"").encode()


def simulation_policy(seed: bytes = AUTHORITY_SEED) -> AppraisalPolicy:
    """A policy that accepts the test's simulation authority."""
    key = make_simulation_platform(bytes(32), seed).authority.public_key().public_bytes_raw()
    return AppraisalPolicy(kinds=(KIND_SIMULATION,), simulation_authorities=(key.hex(),))


def make_enclave(
    image: ContractImage,
    *,
    view: LedgerView | None = None,
    random_bytes: Callable[[int], bytes] = os.urandom,
    seed: bytes = AUTHORITY_SEED,
) -> Enclave:
    """A new enclave for a loaded contract."""
    platform: SimulationPlatform = make_simulation_platform(compute_measurement(image.digest), seed)
    return Enclave(platform=platform, image=image, view=view or NoLedgerEnclave(), random_bytes=random_bytes)


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
        upgrade_policy_hash=bytes(32),
        ledger_measurement=b"",
    )


def expect(reply: EnclaveMessage | None, kind: type[_Reply]) -> _Reply:
    """The reply, which must be of this kind."""
    assert isinstance(reply, kind), f"expected {kind.__name__}, got {reply!r}"
    return reply


def bring_up_first(enclave: Enclave, message: Provision | None = None) -> KeysMade:
    """Provision, make keys, activate: what the first organisation does."""
    expect(enclave.handle(1, message or provision_message()), Provisioned)
    made = enclave.handle(2, MakeKeys())
    assert isinstance(made, KeysMade)
    expect(enclave.handle(3, Activate(made.descriptor)), Sealed)
    return made


def bring_up_next(first: Enclave, made: KeysMade, newcomer: Enclave, message: Provision | None = None) -> bytes:
    """Hand the keys over: what every other organisation does. Returns the sealed state."""
    provisioned = newcomer.handle(1, message or provision_message("Org2MSP"))
    assert isinstance(provisioned, Provisioned)
    exported = first.handle(9, ExportKeys(provisioned.evidence, ENDORSEMENTS, 0))
    assert isinstance(exported, Exported), exported
    sealed = newcomer.handle(2, ImportKeys(exported.export, made.evidence, ENDORSEMENTS, made.descriptor, 0))
    assert isinstance(sealed, Sealed), sealed
    return sealed.sealed


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
class Opened:
    """A result as a client sees it after all checks."""

    outcome: Outcome
    statement: ResultStatement
    result: Result
    sealed: SealedOutcome


@dataclass
class World:
    """One committed state, and what was asked for on the way to it."""

    state: dict[str, bytes] = field(default_factory=dict)
    parameters: dict[str, bytes] = field(default_factory=dict)
    trace: list[EnclaveMessage] = field(default_factory=list)

    def answer(self, question: EnclaveMessage) -> ValueAnswer | RowsAnswer:
        """An honest peer's answer."""
        self.trace.append(question)
        if isinstance(question, GetState):
            return ValueAnswer(self.state.get(question.key))
        if isinstance(question, GetParameter):
            return ValueAnswer(self.parameters.get(question.key))
        assert isinstance(question, GetRange)
        keys = sorted((key for key in self.state if question.start <= key < question.end), key=str.encode)
        if question.bookmark:
            keys = [key for key in keys if key >= question.bookmark]
        page = keys[: question.limit] if question.limit else keys
        bookmark = keys[len(page)] if len(page) < len(keys) else ""
        return RowsAnswer(tuple((key, self.state[key]) for key in page), bookmark)

    def run(self, enclave: Enclave, signed_proposal: bytes, *, call: int = 100) -> Result | Refusal:
        """Drive one execution to its end; nothing is committed."""
        reply = enclave.handle(call, Invoke(signed_proposal))
        while isinstance(reply, GetState | GetParameter | GetRange):
            reply = enclave.handle(call, self.answer(reply))
        assert isinstance(reply, Result | Refusal)
        return reply

    def commit(self, result: Result) -> None:
        """Apply a result's writes."""
        self.state.update(result.puts)
        self.parameters.update(result.parameters)
        for key in result.deletes:
            self.state.pop(key, None)


@dataclass
class Session:
    """An enclave, a world and a caller: `call` runs a function and checks the result as a client does."""

    enclave: Enclave
    descriptor: KeySetDescriptor
    world: World = field(default_factory=World)
    caller: Caller = field(default_factory=Caller)

    def propose(self, function: str, *arguments: str, nonce: bytes | None = None) -> tuple[bytes, bytes, bytes]:
        """(signed proposal, sealed request, response key)."""
        nonce = nonce or os.urandom(NONCE_BYTES)
        response_key = os.urandom(32)
        request = Request(function, tuple(argument.encode() for argument in arguments), response_key)
        transaction_id = compute_transaction_id(nonce, self.caller.creator)
        sealed = seal_request(request, self.descriptor, transaction_id=transaction_id, creator=self.caller.creator)
        return self.caller.signed_proposal(sealed, nonce=nonce), sealed, response_key

    def call(self, function: str, *arguments: str, commit: bool = True) -> Opened:
        """Run, open, verify, commit."""
        signed, _, response_key = self.propose(function, *arguments)
        result = self.world.run(self.enclave, signed)
        assert isinstance(result, Result), result
        opened = self.open(result, response_key)
        if commit:
            self.world.commit(result)
        return opened

    def open(self, result: Result, response_key: bytes) -> Opened:
        """Verify the statement and open the outcome."""
        sealed = decode_sealed_outcome(result.payload)
        statement = verify_statement(sealed.statement, sealed.signature, self.descriptor.result_key)
        place = Place(GENESIS, CHANNEL, CHAINCODE)
        content = open_response(
            response_key=response_key,
            place=place,
            transaction_id=statement.transaction_id,
            sealed=sealed.ciphertext,
        )
        return Opened(decode_outcome(content), statement, result, sealed)


def load_sample(name: str) -> ContractImage:
    """One of the package's sample contracts."""
    return load_contract_image(str(SAMPLES / f"{name}.py"))


def new_session(sample: str = "auction", *, view: LedgerView | None = None) -> Session:
    """A ready enclave with the sample contract."""
    enclave = make_enclave(load_sample(sample), view=view)
    made = bring_up_first(enclave)
    return Session(enclave, parse_descriptor(made.descriptor))


def status_of(enclave: Enclave) -> Status:
    """The enclave's status."""
    reply = enclave.handle(0, GetStatus())
    assert isinstance(reply, Status)
    return reply
