"""The chaincode enclave as a state machine: messages from a host in, messages to it out. No I/O.

Trust level: trusted.
States: new → (Provision | Restore) → provisioned → (MakeKeys → candidate → Activate | ImportKeys) → ready.
Whatever needs the ledger enclave is a task that asks questions; tasks may be interleaved, and one never sees another's
state. A candidate key set is used only once it is known as the first committed one; the loser of a race is provisioned
anew.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from cloister.errors import MalformedInput, Refused
from cloister.trusted.attest.evidence import (
    ROLE_CHAINCODE,
    AttestedData,
    Evidence,
    compute_report_data,
    decode_attested_data,
)
from cloister.trusted.attest.identity_keys import IdentityKeys
from cloister.trusted.attest.platform import Platform
from cloister.trusted.attest.policy import parse_policy
from cloister.trusted.attest.session import Initiator
from cloister.trusted.protocol.key_set import sign_descriptor
from cloister.trusted.protocol.request import RequestScope
from cloister.trusted.protocol.sealing import Place, ValueCipher
from cloister.trusted.protocol.statement import NO_CHECKPOINT, Checkpoint
from cloister.trusted.protocol.upgrade import EVERY_ORGANISATION
from cloister.wire.messages import (
    Abandon,
    Activate,
    Answer,
    AskLedger,
    ConnectLedger,
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
    LedgerHello,
    LedgerReplied,
    LedgerWelcome,
    MakeKeys,
    OpenCommitted,
    Provision,
    Provisioned,
    Refusal,
    Restore,
    RowsAnswer,
    Sealed,
    Status,
    ValueAnswer,
)

from .admission import Creators, admit
from .ask import Task, TaskRefused
from .contract_image import ContractImage
from .execution import Enclosure, execute
from .key_life import export_ring, import_ring, require_first, require_no_earlier
from .keys import KeyRing, describe_key_set, make_key_ring
from .ledger_session import LedgerSession
from .member import Member
from .names import KeyNames
from .opening import open_committed
from .vault import IDENTITY_SEED_BYTES, VaultState, open_state, seal_state

MAX_TASKS = 1024
"""Tasks in flight at once; one more is refused with `busy`."""
_INSTANCE_ID_BYTES = 16
_Work = Coroutine[Any, Any, EnclaveMessage]


class Enclave:
    """One enclave process's state. `random_bytes` must be the platform's own generator."""

    def __init__(self, *, platform: Platform, image: ContractImage, random_bytes: Callable[[int], bytes]) -> None:
        self._platform = platform
        self._image = image
        self._random = random_bytes
        self._member: Member | None = None
        self._active: KeyRing | None = None
        self._candidate: KeyRing | None = None
        self._initiator: Initiator | None = None
        self._session: LedgerSession | None = None
        self._enclosed: tuple[Member, Enclosure] | None = None
        self._highest = NO_CHECKPOINT
        self._tasks: dict[int, Task[EnclaveMessage]] = {}
        self._creators = Creators()

    def handle(self, call: int, message: HostMessage) -> EnclaveMessage | None:
        """The reply to one message; None if there is none. Every refusal becomes a coarse `Refusal`."""
        try:
            return self._dispatch(call, message)
        except TaskRefused as refused:
            self._forget(call)
            return Refusal(refused.reason, refused.detail)
        except Refused as refused:
            self._forget(call)
            return Refusal(refused.reason, "")
        except MalformedInput:
            self._forget(call)
            return Refusal("malformed", "")
        except Exception:  # noqa: BLE001 - the top level: a fault of ours refuses one call and tells nothing of it
            self._forget(call)
            return Refusal("internal", "")

    def drop_tasks(self) -> None:
        """Forget everything in flight: the connection is gone."""
        for call in list(self._tasks):
            self._forget(call)

    def _dispatch(self, call: int, message: HostMessage) -> EnclaveMessage | None:
        match message:
            case ValueAnswer() | RowsAnswer() | LedgerReplied():
                task = self._tasks.get(call)
                return self._step(call, task, message) if task is not None else None  # it crossed with the task's end
            case Abandon():
                self._forget(call)
                return None
            case Invoke() | OpenCommitted() | MakeKeys() | Activate() | ExportKeys() | ImportKeys():
                return self._begin(call, message)
            case _:
                return self._dispatch_life(message)

    def _dispatch_life(
        self, message: GetStatus | Restore | Provision | ConnectLedger | LedgerWelcome
    ) -> EnclaveMessage:
        match message:
            case GetStatus():
                return self._status()
            case Restore():
                return self._restore(message)
            case Provision():
                return self._provision(message)
            case ConnectLedger():
                self._initiator = Initiator(self._provisioned().party, self._random)
                return LedgerHello(self._initiator.hello)
            case LedgerWelcome():
                return self._connected(message)

    # --- tasks ------------------------------------------------------------------------------------------------------

    def _begin(
        self, call: int, message: Invoke | OpenCommitted | MakeKeys | Activate | ExportKeys | ImportKeys
    ) -> EnclaveMessage:
        if call in self._tasks:
            raise Refused("call refused: its number is in use", reason="malformed")
        if len(self._tasks) >= MAX_TASKS:
            raise Refused("call refused: too many in flight", reason="busy")
        task = Task(self._work(message))
        self._tasks[call] = task
        return self._step(call, task, None)

    def _work(self, message: Invoke | OpenCommitted | MakeKeys | Activate | ExportKeys | ImportKeys) -> _Work:
        match message:
            case Invoke():
                enclosure = self._enclosure()
                place = enclosure.place
                admitted = admit(
                    message.signed_proposal,
                    channel=place.channel,
                    chaincode=place.chaincode,
                    creators=self._creators,
                )
                return execute(admitted, enclosure)
            case OpenCommitted():
                return open_committed(message.transaction_id, message.committed, self._enclosure())
            case MakeKeys():
                return self._make_keys()
            case Activate():
                return self._activate()
            case ExportKeys():
                return self._export(message)
            case ImportKeys():
                return self._import(message)

    def _step(self, call: int, task: Task[EnclaveMessage], answer: Answer | None) -> EnclaveMessage:
        reply = task.step(answer)
        if not isinstance(reply, GetState | GetParameter | GetRange | AskLedger):
            self._tasks.pop(call, None)
        return reply

    def _forget(self, call: int) -> None:
        task = self._tasks.pop(call, None)
        if task is not None:
            task.close()

    def _enclosure(self) -> Enclosure:
        """Made anew whenever one of the three things that it is made of is another one."""
        (member, ring), session = self._ready(), self._ledger()
        if self._enclosed is not None:
            known_member, known = self._enclosed
            if known_member is member and known.ring is ring and known.session is session:
                return known
        attested = member.attested
        place = Place(attested.genesis_hash, attested.channel, attested.chaincode)
        enclosure = Enclosure(
            place=place,
            scope=RequestScope(
                channel=attested.channel,
                genesis_hash=attested.genesis_hash,
                chaincode=attested.chaincode,
                sequence=attested.sequence,
                measurement=self._platform.measurement,
            ),
            ring=ring,
            image=self._image,
            session=session,
            ciphers={key_set_id: ValueCipher(item.value_key, place) for key_set_id, item in ring.by_id.items()},
            names=KeyNames(ring.name_key, self._image.chaincode.clear_key_spaces),
        )
        self._enclosed = (member, enclosure)
        return enclosure

    # --- the ledger enclave -----------------------------------------------------------------------------------------

    def _connected(self, message: LedgerWelcome) -> LedgerConfirm:
        """From here on questions go to this ledger enclave. What is in flight goes on with the one before."""
        member, initiator = self._provisioned(), self._initiator
        if initiator is None:
            raise Refused("session refused: no hello was sent", reason="session")
        self._initiator = None
        counterpart = member.appraise_ledger(*initiator.evidence_of(message.welcome))
        confirm, asker = initiator.confirm(message.welcome, counterpart)
        definition = member.attested.sequence, self._platform.measurement.hex()
        self._note_highest()
        self._session = LedgerSession(asker, definition, self._highest)
        return LedgerConfirm(confirm)

    def _note_highest(self) -> Checkpoint:
        if self._session is not None and self._session.highest.height > self._highest.height:
            self._highest = self._session.highest
        return self._highest

    def _ledger(self) -> LedgerSession:
        if self._session is None:
            raise Refused("refused: no session with a ledger enclave", reason="no-ledger")
        return self._session

    # --- life -------------------------------------------------------------------------------------------------------

    def _status(self) -> Status:
        member = self._member
        ring = self._active or self._candidate
        state = "new"
        if member is not None:
            state = "provisioned"
            if self._is_ready(member):
                state = "ready"
            elif self._candidate is not None:
                state = "candidate"
        return Status(
            state=state,
            kind=self._platform.kind,
            measurement=self._platform.measurement,
            sequence=member.attested.sequence if member else 0,
            evidence=member.evidence.encode() if member else b"",
            key_set_id=ring.key_set_id(ring.current) if ring else b"",
            ledger=int(self._session is not None),
        )

    def _restore(self, message: Restore) -> Status:
        if self._member is not None:
            raise Refused("restore refused: provisioned already", reason="state")
        state = open_state(message.sealed, secret=self._platform.sealing_secret())
        attested = decode_attested_data(state.evidence.attested_data)
        self._member = Member(IdentityKeys(state.identity_seed), state.evidence, attested, state.policy)
        self._active, self._candidate = state.active, state.candidate
        return self._status()

    def _provision(self, message: Provision) -> Provisioned:
        """A fresh identity. Keys of an earlier sequence of the same chaincode are kept, all else is forgotten.

        Once there are keys, whom this enclave believes stays as it was: with a policy or a ledger enclave of his own
        choosing the host would have it hand the keys to him.
        """
        if self._active and not self._continues(self._active, message):
            raise Refused("provisioning refused: this enclave holds keys of another definition", reason="state")
        if message.upgrade_policy_hash != EVERY_ORGANISATION:
            raise Refused("provisioning refused: an upgrade policy that is not known", reason="upgrade")
        self._candidate = self._initiator = self._session = self._enclosed = None
        seed = self._random(IDENTITY_SEED_BYTES)
        keys = IdentityKeys(seed)
        attested = AttestedData(
            role=ROLE_CHAINCODE,
            channel=message.channel,
            genesis_hash=message.genesis_hash,
            chaincode=message.chaincode,
            sequence=message.sequence,
            msp_id=message.msp_id,
            signing_key=keys.signing_public,
            hpke_key=keys.hpke_key.public_bytes,
            policy_id=parse_policy(message.policy).policy_id,
            registry=message.registry,
            upgrade_policy_hash=message.upgrade_policy_hash,
            key_set_id=b"",
            ledger_measurement=message.ledger_measurement,
            instance_id=self._random(_INSTANCE_ID_BYTES),
        )
        self._member = self._attest(keys, attested, message.policy)
        return Provisioned(self._member.evidence.encode(), self._seal())

    def _attest(self, keys: IdentityKeys, attested: AttestedData, policy: bytes) -> Member:
        encoded = attested.encode()
        decode_attested_data(encoded)  # refuses what no reader would accept
        statement = self._platform.attest(compute_report_data(self._platform.kind, encoded))
        return Member(keys, Evidence(self._platform.kind, encoded, statement), attested, policy)

    async def _make_keys(self) -> KeysMade:
        member = self._provisioned()
        if self._is_ready(member):
            raise Refused("keys refused: this definition has keys already", reason="state")
        active = self._active
        held = active.current.sequence if active is not None else 0
        if member.attested.sequence > held + 1:
            await require_no_earlier(member.attested.sequence, self._ledger(), after=held)
            self._require_unchanged(member, active)
        if self._candidate is None:
            self._candidate = make_key_ring(
                genesis_hash=member.attested.genesis_hash,
                chaincode=member.attested.chaincode,
                sequence=member.attested.sequence,
                measurement=self._platform.measurement,
                earlier=self._active,
                random_bytes=self._random,
            )
            key_set_id = self._candidate.key_set_id(self._candidate.current)
            member = self._attest(member.keys, replace(member.attested, key_set_id=key_set_id), member.policy)
            self._member = member
        channel = member.attested.channel
        descriptor = describe_key_set(self._candidate, channel=channel, maker=member.evidence.evidence_id)
        previous = self._candidate.previous
        signed = sign_descriptor(
            descriptor, member.keys.signing_key, previous=previous.result_key if previous is not None else None
        )
        return KeysMade(signed, member.evidence.encode(), self._seal())

    async def _activate(self) -> Sealed:
        member, active, candidate = self._provisioned(), self._active, self._candidate
        if candidate is None:
            raise Refused("activation refused: no candidate", reason="state")
        await require_first(candidate, self._ledger())
        self._require_unchanged(member, active)
        self._active, self._candidate = candidate, None
        return Sealed(self._seal())

    async def _export(self, message: ExportKeys) -> Exported:
        member, ring = self._ready()
        exported = await export_ring(message, member, ring, self._ledger())
        self._require_unchanged(member, ring)
        return Exported(exported)

    async def _import(self, message: ImportKeys) -> Sealed:
        member = self._provisioned()
        if self._is_ready(member):
            raise Refused("import refused: keys are there already", reason="state")
        earlier = self._active
        ring = await import_ring(message, member, earlier, self._ledger())
        self._require_unchanged(member, earlier)
        self._active, self._candidate = ring, None
        return Sealed(self._seal())

    # --- helpers ----------------------------------------------------------------------------------------------------

    def _require_unchanged(self, member: Member, active: KeyRing | None) -> None:
        """After a question: the host may have provisioned anew in between, or brought other keys."""
        if self._member is not member or self._active is not active:
            raise Refused("refused: provisioned anew meanwhile, or other keys came", reason="state")

    def _continues(self, ring: KeyRing, message: Provision) -> bool:
        before = self._provisioned().attested
        same = (
            (before.channel, message.channel),
            (ring.genesis_hash, message.genesis_hash),
            (ring.chaincode, message.chaincode),
            (before.policy_id, parse_policy(message.policy).policy_id),
            (before.registry, message.registry),
            (before.upgrade_policy_hash, message.upgrade_policy_hash),
            (before.ledger_measurement, message.ledger_measurement),
        )
        return all(kept == given for kept, given in same) and ring.current.sequence < message.sequence

    def _is_ready(self, member: Member) -> bool:
        return self._active is not None and self._active.current.sequence == member.attested.sequence

    def _provisioned(self) -> Member:
        if self._member is None:
            raise Refused("refused: the enclave is not provisioned", reason="not-provisioned")
        return self._member

    def _ready(self) -> tuple[Member, KeyRing]:
        if self._member is None or self._active is None or not self._is_ready(self._member):
            raise Refused("refused: the enclave has no keys yet", reason="not-initialised")
        return self._member, self._active

    def _seal(self) -> bytes:
        member = self._provisioned()
        state = VaultState(member.keys.seed, member.evidence, member.policy, self._active, self._candidate)
        return seal_state(state, secret=self._platform.sealing_secret(), random_bytes=self._random)
