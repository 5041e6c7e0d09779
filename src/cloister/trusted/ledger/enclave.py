"""The ledger enclave: requests of hosts in, replies out. No I/O.

Trust level: trusted. States: new → (StartLedger) → following → halted. A halted one never answers again: a block that
must not be accepted was offered, so the source of blocks is not to be trusted; the host may start a new enclave with
another source. Blocks are judged outside the lock: questions are answered meanwhile, about the state before them.
Who asks is found out by appraisal: an attested chaincode enclave of this channel, whose measurement is the version of a
definition that is committed here, and which was told to obey a ledger enclave of exactly this measurement.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from cloister.errors import MalformedInput, Refused
from cloister.fabric.block import parse_block
from cloister.trusted.attest.appraise import appraise
from cloister.trusted.attest.evidence import (
    ROLE_CHAINCODE,
    ROLE_LEDGER,
    AttestedData,
    Endorsements,
    Evidence,
    compute_report_data,
    decode_attested_data,
    decode_endorsements,
    decode_evidence,
)
from cloister.trusted.attest.identity_keys import IdentityKeys
from cloister.trusted.attest.platform import Platform
from cloister.trusted.attest.policy import AppraisalPolicy, ReferenceValues, parse_policy
from cloister.trusted.attest.session import (
    Answerer,
    Counterpart,
    Party,
    Responder,
    hello_evidence,
    sealed_session,
)
from cloister.trusted.protocol.questions import ANSWERS, QUESTIONS
from cloister.wire.ledger_messages import (
    FindTransaction,
    Followed,
    GetLedgerStatus,
    LedgerRefusal,
    LedgerReply,
    LedgerRequest,
    LedgerStatus,
    ListSuspects,
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
    Suspects,
    TransactionFound,
)

from .answers import Answers, BlockHashes
from .blocks import PreparedBlock, prepare_blocks
from .channel_time import ChannelTime
from .checkpoint import CheckpointScope, dump, load, new_answers
from .confidential import KeySets
from .coverage import Coverage
from .errors import LedgerHalted
from .identities import SignatureChecker
from .judge import KEPT_NAMESPACES, JudgedBlock, start
from .sealing import PartOpener, seal_parts
from .signing_roles import other_signers
from .state import State
from .transaction_ids import TransactionIds

MAX_SESSIONS = 256
"""Sessions that stand, and that are being made; the oldest goes first."""
MAX_SUSPECTS = 10_000
"""Lines of one list: a rogue chaincode may write any number of keys, and a reply has its bounds."""
_INSTANCE_ID_BYTES, _SALT_BYTES, _SEED_BYTES = 16, 32, 32
_GROUP_BLOCKS = 8
"""Blocks whose signatures are checked at once while catching up."""


@dataclass(frozen=True, slots=True)
class _Member:
    """What a started ledger enclave is: its keys, evidence and policy."""

    keys: IdentityKeys
    evidence: Evidence
    attested: AttestedData
    policy: AppraisalPolicy


@dataclass(frozen=True, slots=True)
class _Session:
    """A session with one attested chaincode enclave."""

    answerer: Answerer
    chaincode: str
    signing_key: bytes


class LedgerEnclave:
    """One ledger enclave process's state. Methods may be called from several threads.

    `random_bytes` must be the platform's own generator; `checker` decides on how many threads signatures are checked.
    """

    def __init__(self, *, platform: Platform, checker: SignatureChecker, random_bytes: Callable[[int], bytes]) -> None:
        self._platform = platform
        self._checker = checker
        self._random = random_bytes
        self._lock = threading.Lock()
        self._following = threading.Lock()
        self._member: _Member | None = None
        self._answers: Answers | None = None
        self._opener: PartOpener | None = None
        self._records: list[bytes] = []
        self._halted: LedgerHalted | None = None
        self._offers: OrderedDict[int, tuple[Responder, AttestedData]] = OrderedDict()
        self._next_offer = 0
        self._sessions: OrderedDict[bytes, _Session] = OrderedDict()

    def handle(self, message: LedgerRequest) -> Generator[LedgerReply, None, None]:
        """The replies to one request; close it early if need be. Every refusal becomes a coarse `LedgerRefusal`."""
        try:
            if isinstance(message, SealLedger):
                yield from self._seal()
            else:
                yield self._reply(message)
        except LedgerHalted:
            yield self._status()
        except Refused as refused:
            yield LedgerRefusal(refused.reason)
        except MalformedInput:
            yield LedgerRefusal("malformed")
        except Exception:  # noqa: BLE001 - the top level: a fault of ours refuses one request and tells nothing of it
            yield LedgerRefusal("internal")

    def _reply(self, message: LedgerRequest) -> LedgerReply:
        match message:
            case SessionQuestion():
                return self._question(message)
            case NextBlocks():
                return self._follow(message)
            case SessionHello():
                return self._hello(message)
            case SessionConfirm():
                return self._confirm(message)
            case FindTransaction():
                return self._find(message)
            case _:
                return self._administer(message)

    def _administer(self, message: LedgerRequest) -> LedgerReply:
        match message:
            case StartLedger():
                self._start(message)
            case RestoreLedger():
                self._restore(message)
            case ListSuspects():
                return self._suspects()
            case GetLedgerStatus():
                pass
            case _:
                raise MalformedInput("request: not known", field="request")
        return self._status()

    # --- life -------------------------------------------------------------------------------------------------------

    def _start(self, message: StartLedger) -> None:
        with self._following:  # two starts at once could change the channel under a session
            if self._member is not None:
                raise Refused("start refused: started already", reason="state")
            self._start_alone(message)

    def _start_alone(self, message: StartLedger) -> None:
        policy = parse_policy(message.policy)
        genesis_hash = parse_block(message.genesis).header_hash
        time = ChannelTime()
        try:
            judge, verdict = start(
                message.genesis,
                state=State(KEPT_NAMESPACES),
                transaction_ids=TransactionIds(self._random(_SALT_BYTES)),
                commit_hashes=False,
            )
        except LedgerHalted as halted:
            self._halted = halted
            raise
        hashes = BlockHashes()
        hashes.add(verdict.header_hash)
        coverage = Coverage(KeySets(genesis_hash, judge.channel), message.registry)
        judge.min_orderer_signatures = policy.min_orderer_signatures
        answers = new_answers(judge, coverage, time, hashes)
        keys = IdentityKeys(self._random(_SEED_BYTES))
        attested = AttestedData(
            role=ROLE_LEDGER,
            channel=judge.channel,
            genesis_hash=genesis_hash,
            chaincode="",
            sequence=0,
            msp_id=message.msp_id,
            signing_key=keys.signing_public,
            hpke_key=keys.hpke_key.public_bytes,
            policy_id=policy.policy_id,
            registry=message.registry,
            upgrade_policy_hash=bytes(32),
            key_set_id=b"",
            ledger_measurement=self._platform.measurement,
            instance_id=self._random(_INSTANCE_ID_BYTES),
        )
        encoded = attested.encode()
        decode_attested_data(encoded)  # refuses what no reader would accept
        statement = self._platform.attest(compute_report_data(self._platform.kind, encoded))
        with self._lock:
            self._member = _Member(keys, Evidence(self._platform.kind, encoded, statement), attested, policy)
            self._answers = answers

    def _restore(self, message: RestoreLedger) -> None:
        """Go on from a sealed checkpoint of the channel that was started; only before any block was followed."""
        with self._following:
            member, answers = self._started()
            if answers.judge.height != 1:
                raise Refused("restore refused: blocks have been followed already", reason="state")
            self._restore_alone(message, member)

    def _restore_alone(self, message: RestoreLedger, member: _Member) -> None:
        if self._opener is None:
            self._opener, self._records = PartOpener(self._platform.sealing_secret()), []
        try:
            self._records += self._opener.records(message.part, last=bool(message.last))
            if not self._opener.done:
                return
            restored = load(self._records, _scope(member))
        except (Refused, MalformedInput):
            self._opener, self._records = None, []
            raise
        self._opener, self._records = None, []
        restored.judge.min_orderer_signatures = member.policy.min_orderer_signatures
        with self._lock:
            self._answers = restored

    def _seal(self) -> Iterator[LedgerReply]:
        with self._following:  # nothing changes meanwhile; questions go on
            member, answers = self._started()
            records = dump(answers, _scope(member))
            secret = self._platform.sealing_secret()
            for part, last in seal_parts(records, secret=secret, random_bytes=self._random):
                yield SealedPart(part, int(last))

    def _status(self) -> LedgerStatus:
        with self._lock:
            member, answers, halted = self._member, self._answers, self._halted
            state = "halted" if halted is not None else "new" if answers is None else "following"
            judge = answers.judge if answers is not None else None
            others = other_signers(judge.config) if judge is not None else ()
            return LedgerStatus(
                state=state,
                kind=self._platform.kind,
                measurement=self._platform.measurement,
                evidence=member.evidence.encode() if member is not None else b"",
                channel=judge.channel if judge is not None else "",
                height=judge.height if judge is not None else 0,
                block_hash=judge.last_hash if judge is not None else b"",
                keys=judge.state.count() if judge is not None else 0,
                transactions=len(judge.transaction_ids) if judge is not None else 0,
                suspects=answers.coverage.count_suspects() if answers is not None else 0,
                reason=halted.reason if halted is not None else "",
                message=halted.message if halted is not None else "",
                warning=f"blocks may also be signed by: {', '.join(others)}" if others else "",
            )

    # --- following --------------------------------------------------------------------------------------------------

    def _follow(self, message: NextBlocks) -> LedgerReply:
        with self._following:
            _, answers = self._started()
            try:
                for first in range(0, len(message.blocks), _GROUP_BLOCKS):
                    for prepared in self._prepared(message.blocks[first : first + _GROUP_BLOCKS]):
                        self._commit(answers, answers.judge.judge(prepared))
            except LedgerHalted as halted:
                with self._lock:
                    self._halted = _placed(halted, answers.judge.height)
                    self._sessions.clear()
                raise
            return Followed(answers.judge.height, answers.judge.last_hash)

    def _prepared(self, group: Sequence[bytes]) -> Iterator[PreparedBlock]:
        """Signatures of all blocks are checked at once. If one does not decode, those before it still count."""
        try:
            prepared = prepare_blocks(group, self._checker)
        except LedgerHalted:
            for encoded in group:
                yield from prepare_blocks([encoded], self._checker)
        else:
            yield from prepared

    def _commit(self, answers: Answers, judged: JudgedBlock) -> None:
        """All of it or, after a fault of ours in the middle, never an answer again."""
        with self._lock:
            self._halted = LedgerHalted("a block was not written whole", reason="internal")
            answers.commit(judged)
            self._halted = None

    def _find(self, message: FindTransaction) -> TransactionFound:
        with self._lock:
            _, answers = self._started()
            position = answers.judge.transaction_ids.find(message.transaction_id)
            if position is None:
                return TransactionFound(0, 0, 0, 0, 0)
            return TransactionFound(1, position.block, position.transaction, position.code, int(position.covered))

    def _suspects(self) -> Suspects:
        with self._lock:
            _, answers = self._started()
            lines = [
                json.dumps(
                    {
                        "chaincode": fact.namespace,
                        "key": fact.key.decode("utf-8", "replace"),
                        "parameter": fact.metadata,
                        "block": mark.block,
                        "transaction_id": mark.transaction_id,
                        "covered": mark.covered.hex(),
                        "covered_block": mark.covered_block,
                    },
                    sort_keys=True,
                )
                for fact, mark in islice(answers.coverage.suspects(), MAX_SUSPECTS)
            ]
        return Suspects(tuple(lines))

    # --- sessions ---------------------------------------------------------------------------------------------------

    def _hello(self, message: SessionHello) -> SessionWelcome:
        evidence, endorsements = hello_evidence(message.hello)
        with self._lock:
            member, answers = self._started()
            attested = self._appraise(evidence, endorsements, member, answers)
        party = Party(
            evidence=member.evidence.encode(),
            endorsements=Endorsements(self._platform.kind, b"").encode(),
            signing_key=member.keys.signing_key,
            hpke_key=member.keys.hpke_key,
        )
        counterpart = Counterpart(attested.signing_key, attested.hpke_key)
        responder = Responder(party, message.hello, counterpart, self._random)
        with self._lock:
            number, self._next_offer = self._next_offer, self._next_offer + 1
            self._offers[number] = (responder, attested)
            if len(self._offers) > MAX_SESSIONS:
                self._offers.popitem(last=False)
        return SessionWelcome(number, responder.welcome)

    def _appraise(self, evidence: bytes, endorsements: bytes, member: _Member, answers: Answers) -> AttestedData:
        """A chaincode enclave of this channel that runs what a definition committed here approves."""
        decoded = decode_evidence(evidence)
        claimed = decode_attested_data(decoded.attested_data)
        definitions = answers.coverage.watched.get(claimed.chaincode, {})
        definition = definitions.get(claimed.sequence)
        if definition is None:
            raise Refused("session refused: no such definition is committed here", reason="ledger-behind")
        verdict = appraise(
            decoded,
            decode_endorsements(endorsements),
            member.policy,
            ReferenceValues(chaincode=frozenset({definition.measurement})),
            now_s=answers.head(claimed.chaincode).time_s,
        )
        own, attested = member.attested, verdict.attested
        for found, expected in (
            (attested.role, ROLE_CHAINCODE),
            (attested.channel, own.channel),
            (attested.genesis_hash, own.genesis_hash),
            (attested.registry, own.registry),
            (attested.ledger_measurement, self._platform.measurement),
        ):
            if found != expected:
                raise Refused("session refused: an enclave that belongs elsewhere", reason="binding")
        _require_not_revoked(answers, attested.chaincode, attested.signing_key)
        return attested

    def _confirm(self, message: SessionConfirm) -> SessionReady:
        with self._lock:
            offer = self._offers.pop(message.number, None)
            if offer is None:
                raise Refused("session refused: nothing was offered", reason="session")
            responder, attested = offer
            answerer = responder.establish(message.confirm)
            self._sessions[answerer.session_id] = _Session(answerer, attested.chaincode, attested.signing_key)
            if len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)
        return SessionReady()

    def _question(self, message: SessionQuestion) -> SessionAnswer:
        session_id = sealed_session(message.sealed)
        with self._lock:
            _, answers = self._started()
            session = self._sessions.get(session_id)
            if session is None:
                raise Refused("session refused: it does not stand", reason="session")
            _require_not_revoked(answers, session.chaincode, session.signing_key)
            number, encoded = session.answerer.open(message.sealed)
            _, question = QUESTIONS.decode(encoded)
            answer = answers.answer(session.chaincode, question)
            return SessionAnswer(session.answerer.seal(number, ANSWERS.encode(answer)))

    def _started(self) -> tuple[_Member, Answers]:
        if self._halted is not None:
            raise Refused("refused: the ledger enclave has stopped", reason="halted")
        if self._member is None or self._answers is None:
            raise Refused("refused: the ledger enclave is not started", reason="not-started")
        return self._member, self._answers


def _require_not_revoked(answers: Answers, chaincode: str, signing_key: bytes) -> None:
    """From the block of its revocation on an enclave is told nothing, so it can run nothing."""
    if (chaincode, signing_key) in answers.coverage.revoked:
        raise Refused("session refused: this enclave was revoked", reason="revoked")


def _scope(member: _Member) -> CheckpointScope:
    attested = member.attested
    return CheckpointScope(attested.genesis_hash, attested.registry, attested.policy_id)


def _placed(halted: LedgerHalted, number: int) -> LedgerHalted:
    """The same reason, with the block's number."""
    if halted.block_number is not None:
        return halted
    return LedgerHalted(halted.message, reason=halted.reason, block_number=number)
