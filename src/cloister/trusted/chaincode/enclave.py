"""The chaincode enclave as a state machine: messages from a host in, messages to it out. No I/O.

Trust level: trusted.
States: new → (Provision | Restore) → provisioned → (MakeKeys → candidate → Activate | ImportKeys) → ready.
A candidate key set is used only once it is known as the first committed one; the loser of a race is provisioned anew.
Calls may be interleaved; one execution never sees another's state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from cloister.errors import MalformedInput, Refused
from cloister.trusted.attest.appraise import Binding, Verdict, appraise, require_binding
from cloister.trusted.attest.evidence import (
    ROLE_CHAINCODE,
    AttestedData,
    Evidence,
    compute_report_data,
    decode_attested_data,
    decode_endorsements,
    decode_evidence,
)
from cloister.trusted.attest.platform import Platform
from cloister.trusted.attest.policy import ReferenceValues, parse_policy
from cloister.wire.messages import (
    Abandon,
    Activate,
    EnclaveMessage,
    Exported,
    ExportKeys,
    GetStatus,
    HostMessage,
    ImportKeys,
    Invoke,
    KeysMade,
    MakeKeys,
    Provision,
    Provisioned,
    Refusal,
    Restore,
    Result,
    RowsAnswer,
    Sealed,
    Status,
    ValueAnswer,
)

from .admission import admit
from .contract_image import ContractImage
from .execution import Enclosure, Execution
from .handover import MAX_EXPORT_BYTES, ExportScope, export_keys, import_keys
from .identity_keys import IdentityKeys
from .immediate import run_immediately
from .key_set import describe_key_set, parse_descriptor, sign_descriptor
from .keys import KeyRing, make_key_ring
from .ledger_view import LedgerView
from .sealing import Place
from .vault import IDENTITY_SEED_BYTES, VaultState, open_state, seal_state

MAX_EXECUTIONS = 1024
"""Executions in flight at once; one more is refused with `busy`."""
_INSTANCE_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class _Member:
    """A provisioned enclave's own facts."""

    keys: IdentityKeys
    evidence: Evidence
    attested: AttestedData
    policy: bytes


class Enclave:
    """One enclave process's state. `random_bytes` must be the platform's own generator."""

    def __init__(
        self, *, platform: Platform, image: ContractImage, view: LedgerView, random_bytes: Callable[[int], bytes]
    ) -> None:
        self._platform = platform
        self._image = image
        self._view = view
        self._random = random_bytes
        self._member: _Member | None = None
        self._active: KeyRing | None = None
        self._candidate: KeyRing | None = None
        self._executions: dict[int, Execution] = {}

    def handle(self, call: int, message: HostMessage) -> EnclaveMessage | None:
        """The reply to one message; None if there is none. Every refusal becomes a coarse `Refusal`."""
        try:
            return self._dispatch(call, message)
        except Refused as refused:
            self._forget(call)
            return Refusal(refused.reason)
        except MalformedInput:
            self._forget(call)
            return Refusal("malformed")
        except Exception:  # noqa: BLE001 - the top level: a fault of ours refuses one call and tells nothing of it
            self._forget(call)
            return Refusal("internal")

    def drop_executions(self) -> None:
        """Forget everything in flight: the connection is gone."""
        for call in list(self._executions):
            self._forget(call)

    def _dispatch(self, call: int, message: HostMessage) -> EnclaveMessage | None:
        match message:
            case Invoke():
                return self._invoke(call, message)
            case ValueAnswer() | RowsAnswer():
                return self._answer(call, message)
            case Abandon():
                self._forget(call)
                return None
            case _:
                return self._dispatch_life(message)

    def _dispatch_life(
        self, message: GetStatus | Restore | Provision | MakeKeys | Activate | ExportKeys | ImportKeys
    ) -> EnclaveMessage:
        match message:
            case GetStatus():
                return self._status()
            case Restore():
                return self._restore(message)
            case Provision():
                return self._provision(message)
            case MakeKeys():
                return self._make_keys()
            case Activate():
                return self._activate(message)
            case ExportKeys():
                return self._export(message)
            case ImportKeys():
                return self._import(message)

    # --- executions -------------------------------------------------------------------------------------------------

    def _invoke(self, call: int, message: Invoke) -> EnclaveMessage:
        if call in self._executions:
            raise Refused("call refused: its number is in use", reason="malformed")
        if len(self._executions) >= MAX_EXECUTIONS:
            raise Refused("call refused: too many in flight", reason="busy")
        member, ring = self._ready()
        attested = member.attested
        admitted = admit(message.signed_proposal, channel=attested.channel, chaincode=attested.chaincode)
        enclosure = Enclosure(
            place=Place(attested.genesis_hash, attested.channel, attested.chaincode),
            sequence=attested.sequence,
            measurement=self._platform.measurement,
            ring=ring,
            image=self._image,
            view=self._view,
        )
        execution = Execution(admitted, enclosure)
        self._executions[call] = execution
        return self._step(call, execution, None)

    def _answer(self, call: int, answer: ValueAnswer | RowsAnswer) -> EnclaveMessage | None:
        execution = self._executions.get(call)
        if execution is None:
            return None  # an answer that crossed with the end of its call
        return self._step(call, execution, answer)

    def _step(self, call: int, execution: Execution, answer: ValueAnswer | RowsAnswer | None) -> EnclaveMessage:
        reply = execution.step(answer)
        if isinstance(reply, Result):
            del self._executions[call]
        return reply

    def _forget(self, call: int) -> None:
        execution = self._executions.pop(call, None)
        if execution is not None:
            execution.close()

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
        )

    def _restore(self, message: Restore) -> Status:
        if self._member is not None:
            raise Refused("restore refused: provisioned already", reason="state")
        state = open_state(message.sealed, secret=self._platform.sealing_secret())
        attested = decode_attested_data(state.evidence.attested_data)
        self._member = _Member(IdentityKeys(state.identity_seed), state.evidence, attested, state.policy)
        self._active, self._candidate = state.active, state.candidate
        return self._status()

    def _provision(self, message: Provision) -> Provisioned:
        """A fresh identity. Keys of an earlier sequence of the same chaincode are kept, all else is forgotten."""
        if self._active and not self._continues(self._active, message):
            raise Refused("provisioning refused: this enclave holds keys of another definition", reason="state")
        self._candidate = None
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
            session_key=keys.session_public,
            policy_id=parse_policy(message.policy).policy_id,
            registry=message.registry,
            upgrade_policy_hash=message.upgrade_policy_hash,
            key_set_id=b"",
            ledger_measurement=message.ledger_measurement,
            checkpoint_height=0,
            checkpoint_hash=b"",
            instance_id=self._random(_INSTANCE_ID_BYTES),
        )
        self._member = self._attest(keys, attested, message.policy)
        return Provisioned(self._member.evidence.encode(), self._seal())

    def _attest(self, keys: IdentityKeys, attested: AttestedData, policy: bytes) -> _Member:
        encoded = attested.encode()
        decode_attested_data(encoded)  # refuses what no reader would accept
        statement = self._platform.attest(compute_report_data(self._platform.kind, encoded))
        return _Member(keys, Evidence(self._platform.kind, encoded, statement), attested, policy)

    def _make_keys(self) -> KeysMade:
        member = self._provisioned()
        if self._is_ready(member):
            raise Refused("keys refused: this definition has keys already", reason="state")
        attested = member.attested
        if self._candidate is None:
            self._candidate = make_key_ring(
                genesis_hash=attested.genesis_hash,
                chaincode=attested.chaincode,
                sequence=attested.sequence,
                measurement=self._platform.measurement,
                earlier=self._active,
                random_bytes=self._random,
            )
            key_set_id = self._candidate.key_set_id(self._candidate.current)
            member = self._attest(member.keys, replace(attested, key_set_id=key_set_id), member.policy)
            self._member = member
        descriptor = describe_key_set(self._candidate, channel=attested.channel, maker=member.evidence.evidence_id)
        signed = sign_descriptor(descriptor, member.keys.signing_key)
        return KeysMade(signed, member.evidence.encode(), self._seal())

    def _activate(self, message: Activate) -> Sealed:
        member = self._provisioned()
        candidate = self._candidate
        if candidate is None:
            raise Refused("activation refused: no candidate", reason="state")
        key_set_id = parse_descriptor(message.descriptor).key_set_id
        if key_set_id != candidate.key_set_id(candidate.current):
            raise Refused("activation refused: another key set was first", reason="key-set")
        self._require_first(key_set_id, member.attested.sequence)
        self._active, self._candidate = candidate, None
        return Sealed(self._seal())

    def _export(self, message: ExportKeys) -> Exported:
        member, ring = self._ready()
        newcomer = self._appraise(message.evidence, message.endorsements, message.now_s, member)
        scope = self._scope(member, ring.key_set_id(ring.current), member.evidence.evidence_id, newcomer.evidence_id)
        return Exported(export_keys(ring, scope=scope, newcomer=newcomer, signing_key=member.keys.signing_key))

    def _import(self, message: ImportKeys) -> Sealed:
        member = self._provisioned()
        if self._is_ready(member):
            raise Refused("import refused: keys are there already", reason="state")
        if len(message.export) > MAX_EXPORT_BYTES:
            raise MalformedInput("key export: too long", field="export")
        exporter = self._appraise(message.exporter_evidence, message.exporter_endorsements, message.now_s, member)
        key_set_id = parse_descriptor(message.descriptor).key_set_id
        self._require_first(key_set_id, member.attested.sequence)
        scope = self._scope(member, key_set_id, exporter.evidence_id, member.evidence.evidence_id)
        ring = import_keys(message.export, scope=scope, exporter=exporter, hpke_key=member.keys.hpke_key)
        if self._active and ring.name_key != self._active.name_key:
            raise Refused("import refused: other keys than before", reason="key-ring")
        self._active, self._candidate = ring, None
        return Sealed(self._seal())

    # --- helpers ----------------------------------------------------------------------------------------------------

    def _appraise(self, evidence: bytes, endorsements: bytes, now_s: int, member: _Member) -> Verdict:
        """Appraise a sibling: same policy, same measurement as ours, same channel, chaincode, sequence, registry."""
        own = member.attested
        verdict = appraise(
            decode_evidence(evidence),
            decode_endorsements(endorsements),
            parse_policy(member.policy),
            ReferenceValues(chaincode=frozenset({self._platform.measurement})),
            now_s=now_s,
        )
        require_binding(verdict, Binding(own.channel, own.genesis_hash, own.chaincode, own.sequence, own.registry))
        if verdict.attested.upgrade_policy_hash != own.upgrade_policy_hash:
            raise Refused("evidence refused: another upgrade policy", reason="binding")
        if verdict.attested.ledger_measurement != own.ledger_measurement:
            raise Refused("evidence refused: another ledger enclave", reason="binding")
        return verdict

    def _scope(self, member: _Member, key_set_id: bytes, exporter: bytes, newcomer: bytes) -> ExportScope:
        own = member.attested
        return ExportScope(own.genesis_hash, own.chaincode, own.sequence, key_set_id, exporter, newcomer)

    def _require_first(self, key_set_id: bytes, sequence: int) -> None:
        if not run_immediately(self._view.is_first_key_set(key_set_id, sequence)):
            raise Refused("key set refused: it was not the first one committed", reason="key-set")

    def _continues(self, ring: KeyRing, message: Provision) -> bool:
        same = ring.genesis_hash == message.genesis_hash and ring.chaincode == message.chaincode
        return same and ring.current.sequence < message.sequence

    def _is_ready(self, member: _Member) -> bool:
        return self._active is not None and self._active.current.sequence == member.attested.sequence

    def _provisioned(self) -> _Member:
        if self._member is None:
            raise Refused("refused: the enclave is not provisioned", reason="not-provisioned")
        return self._member

    def _ready(self) -> tuple[_Member, KeyRing]:
        if self._member is None or self._active is None or not self._is_ready(self._member):
            raise Refused("refused: the enclave has no keys yet", reason="not-initialised")
        return self._member, self._active

    def _seal(self) -> bytes:
        member = self._provisioned()
        state = VaultState(member.keys.seed, member.evidence, member.policy, self._active, self._candidate)
        return seal_state(state, secret=self._platform.sealing_secret(), random_bytes=self._random)
