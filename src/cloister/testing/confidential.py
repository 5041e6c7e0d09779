"""A confidential chaincode on a channel in this process: no Fabric, no gRPC, milliseconds per call.

    channel = ConfidentialChannel(Auction)
    ann, bob = channel.client("ann"), channel.client("bob", "Org2MSP")
    await ann.submit("init", "house")
    assert await bob.evaluate("status") == b"open"

Real are: the chaincode enclaves (one per organisation), the ledger enclave, which judges every block, signatures, the
client and its checks. Made here are: the peers' simulations, ordering, and the enclave registry's one answer.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import inspect
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cloister.client.checkpoints import Checkpoints, InMemoryCheckpoints
from cloister.client.confidential import ConfidentialContract, ConfidentialResult, open_confidential
from cloister.client.credentials import Trust
from cloister.client.results import PendingOutcome, VerifiedOutcome
from cloister.client.retry import PATIENCE_S
from cloister.contract import Contract, ContractChaincode
from cloister.errors import UsageError
from cloister.fabric.block import parse_block
from cloister.fabric.proposal import NONCE_BYTES
from cloister.fabric.transaction import VALIDATION_PARAMETER, parse_endorsed_transaction
from cloister.gateway import Gateway, Identity, connect, new_private_key_signer
from cloister.gateway import Signer as DigestSigner
from cloister.gateway.session import Deadlines, Session
from cloister.trusted.attest.evidence import KIND_SIMULATION, Endorsements, decode_evidence
from cloister.trusted.attest.measurement import compute_ledger_measurement, compute_measurement
from cloister.trusted.attest.platform import make_simulation_platform
from cloister.trusted.attest.policy import AppraisalPolicy
from cloister.trusted.chaincode.contract_image import ContractImage, LoadedContract, load_contract_image
from cloister.trusted.chaincode.enclave import Enclave
from cloister.trusted.ledger.confidential import enclave_key, key_set_key
from cloister.trusted.ledger.enclave import LedgerEnclave
from cloister.trusted.ledger.identities import SignatureChecker
from cloister.trusted.ledger.judge import start
from cloister.trusted.ledger.transaction_ids import TransactionIds
from cloister.trusted.protocol.upgrade import EVERY_ORGANISATION
from cloister.wire.ledger_messages import StartLedger
from cloister.wire.messages import (
    Activate,
    EnclaveMessage,
    Exported,
    ExportKeys,
    ImportKeys,
    KeysMade,
    LedgerConfirm,
    MakeKeys,
    Provision,
    Provisioned,
    Sealed,
)

from .channel import Channel
from .committed_state import CommittedState
from .configs import Change, config_of
from .host import HONEST, Behaviour, Host, LedgerHost
from .local_gateway import LocalGateway
from .signers import Signer, Wanted

ContractSource = type[Contract] | ContractImage | str | Path
"""A contract class, or FILE.py[:Class], which is then measured and checked as it will be when it is deployed."""
AUTHORITY_SEED = bytes([7]) * 32
"""The simulation authority's, in every channel made here."""
BATCH = 32
"""Transactions that a block has at most."""
_NO_ENDORSEMENTS = Endorsements(KIND_SIMULATION, b"").encode()
_Reply = TypeVar("_Reply")
_compute_measurement = functools.cache(compute_measurement)
_ledger_measurement = functools.cache(compute_ledger_measurement)


@dataclass(frozen=True)
class Call:
    """One call of a client. `kind`: submit or evaluate."""

    client: Client
    kind: str
    function: str
    arguments: tuple[str | bytes, ...]


Proceed = Callable[[], Awaitable[ConfidentialResult]]
CallObserver = Callable[[Call, Proceed], Awaitable[ConfidentialResult]]


class Client:
    """A member of the channel. Its calls go through the real client, with all that this one checks."""

    def __init__(self, channel: ConfidentialChannel, name: str, gateway: LocalGateway, signer: Signer) -> None:
        self.name = name
        self.gateway = gateway
        self.signer = signer
        self.checkpoints: Checkpoints = channel.checkpoints or InMemoryCheckpoints()
        self._channel = channel
        self._contract: ConfidentialContract | None = None

    @property
    def msp_id(self) -> str:
        """Its organisation's."""
        return self.signer.msp_id

    async def contract(self) -> ConfidentialContract:
        """The confidential client itself; opened, and its enclave's evidence verified, by the first call."""
        if self._contract is None:
            network = self._channel.connect(self).network(self._channel.name)
            self._contract = await open_confidential(
                network,
                self._channel.chaincode,
                self._channel.trust,
                checkpoints=self.checkpoints,
                patience_s=self._channel.patience_s,
            )
        return self._contract

    async def submit(
        self, function: str, *arguments: str | bytes, transient: Mapping[str, bytes] | None = None
    ) -> bytes:
        """Run and commit a transaction; the contract's answer. Raises: as `ConfidentialContract.submit`."""
        return (await self.submit_whole(function, *arguments, transient=transient)).payload

    async def submit_whole(
        self, function: str, *arguments: str | bytes, transient: Mapping[str, bytes] | None = None
    ) -> ConfidentialResult:
        """The same, with transaction id, block and the verified statement."""
        contract = await self.contract()
        call = Call(self, "submit", function, arguments)
        return await self._channel.around(call, lambda: contract.submit(function, *arguments, transient=transient))

    async def evaluate(
        self, function: str, *arguments: str | bytes, transient: Mapping[str, bytes] | None = None
    ) -> bytes:
        """Ask a query; the contract's answer. Raises: as `ConfidentialContract.evaluate`."""
        contract = await self.contract()
        call = Call(self, "evaluate", function, arguments)
        asked = self._channel.around(call, lambda: contract.evaluate(function, *arguments, transient=transient))
        return (await asked).payload

    async def open(self, pending: PendingOutcome) -> VerifiedOutcome:
        """Open a committed outcome. Raises: as `ConfidentialContract.open`."""
        return await (await self.contract()).open(pending)


class ConfidentialChannel:
    """A channel of two organisations (Org1MSP, Org2MSP) on which one chaincode is confidential, committed and ready.

    `contract`: see `ContractSource`. `template`: a channel whose authorities and clients are taken over, so that two
    channels have equal identities. `seed`: makes what enclaves and clients draw the same each time, so that equal calls
    touch equal stored keys. `checkpoints`: where all clients keep theirs (None: each its own).
    `patience_s`: how long clients try again.
    """

    def __init__(
        self,
        contract: ContractSource,
        *,
        chaincode: str = "contract",
        template: Channel | None = None,
        clients: dict[tuple[str, str], Signer] | None = None,
        seed: bytes | None = None,
        checkpoints: Checkpoints | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.forged = (template or Channel()).fork()
        """The channel as whoever has all keys can continue it: for rogue transactions and blocks."""
        self.chaincode = chaincode
        self.registry = "registry"
        self.checkpoints = checkpoints
        self.patience_s = patience_s
        self._seed = seed
        self._streams: dict[str, _Seeded] = {}
        self.image = image_of(contract)
        self.state = CommittedState()
        self.hosts: list[Host] = []
        self.around: CallObserver = go_on
        """Called around each call of a client; for attacks beside it."""
        self._clients = {} if clients is None else clients
        self._behaviour = HONEST
        self._pending: list[bytes] = []
        self._places: dict[str, tuple[int, int]] = {}
        self._judge, _ = start(self.forged.blocks[0], transaction_ids=TransactionIds(b"salt"), commit_hashes=False)
        self._checker = SignatureChecker()
        self.measurement = _compute_measurement(self.image.digest)
        self.policy = _policy()
        self.ledger = self.new_ledger()
        self.maker_evidence = b""
        """Of the enclave that made the keys."""
        self._key_set = b""
        self._bring_up()

    # --- what a test uses -------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The channel's."""
        return self.forged.name

    @property
    def height(self) -> int:
        """Number of blocks."""
        return len(self.forged.blocks)

    @property
    def trust(self) -> Trust:
        """What clients believe in."""
        return Trust(
            policy=self.policy,
            genesis_hash=self.forged.genesis_hash,
            measurements=frozenset({self.measurement}),
            ledger_measurements=frozenset({_ledger_measurement()}),
            registry=self.registry,
        )

    def client(self, name: str = "User1", msp_id: str = "Org1MSP") -> Client:
        """A member by its name: the same name is the same certificate. Raises: UsageError (no such organisation)."""
        host = next((host for host in self.hosts if host.msp_id == msp_id), None)
        if host is None:
            known = ", ".join(item.msp_id for item in self.hosts)
            raise UsageError(f"no organisation {msp_id}: expected one of {known}")
        signer = self._clients.get((msp_id, name))
        if signer is None:
            authority = next(item for item in self.forged.authorities if item.msp_id == msp_id)
            signer = self._clients[msp_id, name] = authority.issue(Wanted(name, ("client",)))
        return Client(self, name, LocalGateway(self, host), signer)

    # --- the parts, for attacks -------------------------------------------------------------------------------------

    def forged_at_genesis(self) -> Channel:
        """The channel with its authorities, of which only the genesis block is there."""
        found = self.forged.fork()
        found.blocks = found.blocks[:1]
        return found

    def connect(self, client: Client) -> Gateway:
        """A Gateway connection for a client."""
        identity = Identity(client.msp_id, client.signer.certificate_pem)
        if self._seed is None:
            return connect(client.gateway, identity, _digest_signer(client.signer))
        session = Session(client.gateway, "the peer", identity, _digest_signer(client.signer), Deadlines())
        return _SeededGateway(session, self._random_of(f"{client.msp_id}/{client.name}"))

    def new_ledger(self) -> LedgerHost:
        """Another ledger enclave, at height 1."""
        platform = make_simulation_platform(_ledger_measurement(), AUTHORITY_SEED)
        enclave = LedgerEnclave(platform=platform, checker=SignatureChecker(), random_bytes=os.urandom)
        host = LedgerHost(enclave)
        host.call(StartLedger(self.forged.blocks[0], "Org1MSP", self.policy.encode(), self.registry))
        return host

    def new_enclave(self, label: str = "") -> Enclave:
        """Another enclave with the contract, not provisioned. `label`: for what it draws, if that is seeded."""
        platform = make_simulation_platform(self.measurement, AUTHORITY_SEED)
        return Enclave(platform=platform, image=self.image, random_bytes=self._random_of(label))

    def provision(self, msp_id: str, *, sequence: int = 1, policy: AppraisalPolicy | None = None) -> Provision:
        """Where an organisation's enclave belongs."""
        return Provision(
            channel=self.name,
            genesis_hash=self.forged.genesis_hash,
            chaincode=self.chaincode,
            sequence=sequence,
            msp_id=msp_id,
            policy=(policy or self.policy).encode(),
            registry=self.registry,
            upgrade_policy_hash=EVERY_ORGANISATION,
            ledger_measurement=_ledger_measurement(),
        )

    def order(self, envelope: bytes) -> None:
        """Take a signed transaction for one of the next blocks."""
        self._pending.append(envelope)
        if len(self._pending) >= BATCH:
            self.cut()

    def cut(self) -> None:
        """Make a block of what was ordered, if anything was, and have everybody follow it."""
        if self._pending:
            transactions, self._pending = self._pending, []
            self.add_block(self.forged.make(*transactions))

    def add_block(self, block: bytes) -> None:
        """The next block: peers commit what is valid, the ledger enclave judges for itself."""
        number = self.height
        self.forged.blocks.append(block)
        verdict = self._judge.follow(block, self._checker)
        transactions = parse_block(block).transactions
        for index, (code, transaction_id) in enumerate(zip(verdict.codes, verdict.transaction_ids, strict=True)):
            self._places.setdefault(transaction_id, (number, int(code)))
            if not code and config_of(transactions[index]) is None:
                self._commit(transactions[index], (number, index))
        self.ledger.follow([block])

    def reconfigure(self, path: Sequence[str], change: Change) -> None:
        """A block with a new configuration, signed by all administrators."""
        fork = self.forged.fork()
        block = fork.reconfigure(path, change)
        self.add_block(block)
        self.forged.last_config = fork.last_config

    async def committed(self, transaction_id: str) -> tuple[int, int]:
        """Wait for a transaction: its block's number and validation code."""
        if transaction_id not in self._places:
            await asyncio.sleep(0)  # whoever else is about to submit shares the block
        if transaction_id not in self._places:
            self.cut()
        return self._places[transaction_id]

    def block_of(self, transaction_id: str) -> bytes | None:
        """The block in which a transaction stands."""
        place = self._places.get(transaction_id)
        return self.forged.blocks[place[0]] if place is not None else None

    def peer_of(self, host: Host) -> Signer:
        """The peer of a host's organisation."""
        return next(peer for peer in self.forged.peers if peer.msp_id == host.msp_id)

    def signer_of(self, creator: bytes) -> Signer:
        """The client with this serialised identity. Raises: UsageError."""
        for signer in self._clients.values():
            if signer.creator == creator:
                return signer
        raise UsageError("no client of this channel has this certificate")

    def key_set_answer(self) -> bytes:
        """What the enclave registry tells a client."""
        return self.behaviour.key_set(self._key_set)

    @property
    def behaviour(self) -> Behaviour:
        """What hosts, peers and orderers do; set it to attack."""
        return self._behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self._behaviour = self.ledger.behaviour = behaviour
        for host in self.hosts:
            host.behaviour = behaviour

    def replace_ledger(self, ledger: LedgerHost) -> None:
        """Another ledger enclave in the place of the one before; enclaves make sessions with it."""
        ledger.behaviour, self.ledger = self._behaviour, ledger
        for host in self.hosts:
            host.ledger = ledger
            host.connect()

    def rogue(self, *writes: tuple[str, bytes | None]) -> str:
        """Commit writes (None deletes) under the chaincode's name that no enclave signed, endorsed by all peers, valid
        by all of Fabric's rules; the transaction's id."""
        draft = self.forged.put(*writes, chaincode=self.chaincode)
        envelope = draft.build()
        self.cut()
        self.add_block(self.forged.make(envelope))
        return parse_endorsed_transaction(envelope).transaction_id

    def _random_of(self, label: str) -> Callable[[int], bytes]:
        """What is drawn under this label: one stream, however often it is asked for."""
        if self._seed is None:
            return os.urandom
        return self._streams.setdefault(label, _Seeded(self._seed + b"/" + label.encode()))

    # --- within -----------------------------------------------------------------------------------------------------

    def _commit(self, envelope: bytes, version: tuple[int, int]) -> None:
        part = parse_endorsed_transaction(envelope).action.namespace(self.chaincode)
        if part is None:
            return
        for write in part.writes:
            self.state.put(write.key, None if write.is_delete else write.value, version)
        for metadata in part.metadata_writes:
            parameter = dict(metadata.entries).get(VALIDATION_PARAMETER)
            self.state.put_parameter(metadata.key, parameter, version)

    def _bring_up(self) -> None:
        forged = self.forged
        definitions = (
            forged.define(1, "1.0", self.registry).build(),
            forged.define(1, self.measurement, self.chaincode).build(),
        )
        self.add_block(forged.make(*definitions))
        self.hosts = [
            Host(peer.msp_id, self.new_enclave(peer.msp_id), self.ledger, self.state, lambda: self.height)
            for peer in forged.peers
        ]
        evidence = [self.settle(host).evidence for host in self.hosts]
        first = self.hosts[0]
        made = expect(first.drive(MakeKeys()), KeysMade)
        stored = (key_set_key(self.chaincode, 1), made.descriptor)
        shown = [self.registration(item) for item in (made.evidence, *evidence[1:])]
        self.add_block(forged.make(forged.put(stored, *shown, chaincode=self.registry).build()))
        first.sealed = expect(first.drive(Activate()), Sealed).sealed
        for host, its_evidence in zip(self.hosts[1:], evidence[1:], strict=True):
            exported = expect(first.drive(ExportKeys(its_evidence, _NO_ENDORSEMENTS, b"")), Exported)
            keys = ImportKeys(exported.export, made.evidence, _NO_ENDORSEMENTS)
            host.sealed = expect(host.drive(keys), Sealed).sealed
        self.maker_evidence = made.evidence
        document = {
            "sequence": 1,
            "version": self.measurement.hex(),
            "descriptor": base64.b64encode(made.descriptor).decode("ascii"),
            "evidence": base64.b64encode(made.evidence).decode("ascii"),
            "endorsements": base64.b64encode(_NO_ENDORSEMENTS).decode("ascii"),
        }
        self._key_set = json.dumps(document, sort_keys=True).encode()

    def register(self, evidence: bytes) -> None:
        """Have the registry show an enclave: no other gets keys."""
        write = self.forged.put(self.registration(evidence), chaincode=self.registry)
        self.add_block(self.forged.make(write.build()))

    def registration(self, evidence: bytes) -> tuple[str, bytes]:
        """What the registry writes for an enclave."""
        record = {"evidence": base64.b64encode(evidence).decode("ascii")}
        return enclave_key(self.chaincode, 1, decode_evidence(evidence).evidence_id), json.dumps(record).encode()

    def settle(self, host: Host) -> Provisioned:
        """Provision a host's enclave and connect it to the ledger enclave."""
        provisioned = expect(host.enclave.handle(0, self.provision(host.msp_id)), Provisioned)
        expect(host.connect(), LedgerConfirm)
        return provisioned


def image_of(contract: ContractSource) -> ContractImage:
    """The loaded contract. A file is measured, checked and loaded for each call as in deployment; of a class each call
    gets an object of its own, and no more.

    Raises: UsageError, ContractInvalid.
    """
    if isinstance(contract, ContractImage):
        return contract
    if isinstance(contract, str | Path):
        return load_contract_image(str(contract))
    try:
        source = inspect.getsource(contract)
    except (OSError, TypeError):
        source = contract.__qualname__
    chaincode = ContractChaincode(contract())

    def load() -> LoadedContract:
        return LoadedContract(chaincode.renewed([contract()]), Context(), lambda: None)

    return ContractImage(chaincode, hashlib.sha256(source.encode()).digest(), load)


def expect(reply: EnclaveMessage | None, kind: type[_Reply]) -> _Reply:
    """The reply, which must be of this kind. Raises: UsageError."""
    if not isinstance(reply, kind):
        raise UsageError(f"enclave: expected {kind.__name__}, got {reply!r}")
    return reply


async def go_on(call: Call, proceed: Proceed) -> ConfidentialResult:
    """Nobody watches."""
    del call
    return await proceed()


@functools.cache
def _policy() -> AppraisalPolicy:
    key = make_simulation_platform(bytes(32), AUTHORITY_SEED).authority.public_key().public_bytes_raw()
    return AppraisalPolicy(kinds=(KIND_SIMULATION,), simulation_authorities=(key.hex(),))


def _digest_signer(signer: Signer) -> DigestSigner:
    return new_private_key_signer(
        signer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), name="client"
    )


class _Seeded:
    """The same bytes each time, for the same seed and the same order of calls."""

    def __init__(self, seed: bytes) -> None:
        self._seed, self._count = seed, 0

    def __call__(self, length: int) -> bytes:
        self._count += 1
        return hashlib.shake_256(self._seed + self._count.to_bytes(8, "big")).digest(length)


class _SeededGateway(Gateway):
    def __init__(self, session: Session, random_bytes: Callable[[int], bytes]) -> None:
        super().__init__(session, owns_channel=False)
        self._random_bytes = random_bytes

    def new_nonce(self) -> bytes:
        return self._random_bytes(NONCE_BYTES)
