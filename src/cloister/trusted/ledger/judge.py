"""The judge: block after block, from the genesis block on. What it has not accepted, it never answers about.

Three steps, so that the long ones can run beside answering: `prepare_blocks` (blocks.py) needs no state, `judge` only
reads it, `commit` writes it and is short. Within `judge`: 1 the chain · 2 each transaction by itself, on the state
before the block · 3 repeated transaction ids · 4 reads, in order. A configuration takes effect for everything after
its block. What is not judged yet stands in docs/ledger.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from fabric_protos.common import common_pb2

from cloister.errors import MalformedInput
from cloister.fabric.decoding import decode_message
from cloister.fabric.transaction import Version

from .blocks import PreparedBlock, prepare_blocks, verify_link, verify_signatures
from .channel_config import ChannelConfig, load_config, load_config_block_payload
from .codes import Code, Invalid
from .config_update import check_compatible, verify_config_update
from .definitions import LEGACY, LIFECYCLE, Definitions
from .endorsement import BlockDependencies, check_endorsement
from .errors import IdentityInvalid, LedgerHalted
from .identities import SignatureChecker
from .mvcc import check_reads
from .policies import is_genuine
from .state import Space, State
from .transaction import Stage, Transaction, extract_namespaces
from .transaction_ids import Position, TransactionIds
from .updates import BlockUpdates

CONFIG_KEY = "CHANNEL_CONFIG_ENV_BYTES"
KEPT_NAMESPACES = frozenset({LIFECYCLE, LEGACY})
"""Namespaces whose values the judge itself needs."""


@dataclass(frozen=True, slots=True)
class BlockVerdict:
    """What one block amounts to. `commit_hash` None: genesis, not asked for, or a value is needed that is not kept."""

    number: int
    header_hash: bytes
    codes: tuple[Code, ...]
    transaction_ids: tuple[str, ...]
    commit_hash: bytes | None


class Observer(Protocol):
    """Whoever wants to know more of each block than its verdicts; told in this order, for each block that is judged."""

    def begin(self, number: int) -> None:
        """A block is being judged; what was told of an earlier one that was not committed is void."""
        ...

    def valid(self, transaction: Transaction, state: State, updates: BlockUpdates) -> bool:
        """A valid transaction, before its writes enter `updates`; True if a result statement covers it."""
        ...

    def commit(self, number: int, state: State, updates: BlockUpdates) -> None:
        """The block is accepted; the state is still the one before it."""
        ...


@dataclass(slots=True)
class JudgedBlock:
    """A block with its verdicts, not yet committed. Good for the judge's next `commit` only."""

    verdict: BlockVerdict
    prepared: PreparedBlock
    updates: BlockUpdates
    covered: frozenset[int]
    config: ChannelConfig | None


@dataclass
class Judge:
    """Follows one channel. Make it with `start`. `height` is the number of the next block."""

    channel: str
    config: ChannelConfig
    config_block: int
    height: int
    last_hash: bytes
    state: State
    transaction_ids: TransactionIds
    observers: tuple[Observer, ...] = ()
    commit_hashes: bool = True
    """Whether to compute the peers' commit hashes."""
    min_orderer_signatures: int = 0
    """So many distinct orderers must have signed a block, beside what BlockValidation asks."""
    last_commit_hash: bytes | None = b""
    expiry: dict[int, list[tuple[Space, bytes, Version]]] = field(default_factory=dict)
    """Block number → private data that is to go with it, if not written again since."""

    def __post_init__(self) -> None:
        self._definitions = Definitions(self.state.value, self.config)

    def follow(self, encoded: bytes, checker: SignatureChecker | None = None) -> BlockVerdict:
        """Judge and commit the next block. Raises: LedgerHalted; then nothing has changed."""
        prepared = self._prepare(encoded, checker or SignatureChecker())
        judged = self.judge(prepared)
        self.commit(judged)
        return judged.verdict

    def judge(self, prepared: PreparedBlock) -> JudgedBlock:
        """The verdicts on the next block; changes nothing. Raises: LedgerHalted naming the block."""
        try:
            verify_link(prepared, channel=self.channel, number=self.height, previous_hash=self.last_hash)
            verify_signatures(prepared.block, self.config, orderers=self.min_orderer_signatures)
            return self._judge(prepared)
        except LedgerHalted as halted:
            raise self._placed(halted) from halted

    def commit(self, judged: JudgedBlock) -> None:
        """Accept the block that was judged last."""
        number = judged.verdict.number
        for observer in self.observers:
            observer.commit(number, self.state, judged.updates)
        self._plan_expiry(number, judged.updates)
        judged.updates.commit(self.state)
        self._expire(number, judged.updates)
        for item, code in zip(judged.prepared.transactions, judged.verdict.codes, strict=True):
            position = Position(number, item.index, code, item.index in judged.covered)
            self.transaction_ids.add(item.indexed_id, position)
        if judged.config is not None:
            self.config, self.config_block = judged.config, number
        if judged.config is not None or judged.updates.touches(LIFECYCLE, LEGACY):
            self._definitions = Definitions(self.state.value, self.config)
        self.height, self.last_hash = number + 1, judged.verdict.header_hash
        self.last_commit_hash = judged.verdict.commit_hash

    def _prepare(self, encoded: bytes, checker: SignatureChecker) -> PreparedBlock:
        try:
            return prepare_blocks([encoded], checker)[0]
        except LedgerHalted as halted:
            raise self._placed(halted) from halted

    def _placed(self, halted: LedgerHalted) -> LedgerHalted:
        return LedgerHalted(halted.message, reason=halted.reason, block_number=self.height)

    def _judge(self, prepared: PreparedBlock) -> JudgedBlock:
        for observer in self.observers:
            observer.begin(self.height)
        transactions = prepared.transactions
        dependencies = BlockDependencies()
        codes = [
            self._judge_alone(item, encoded, dependencies)
            for item, encoded in zip(transactions, prepared.block.transactions, strict=True)
        ]
        _mark_repeated(transactions, codes)
        self._require_defined_collections(transactions)
        updates = BlockUpdates()
        covered, config = self._apply(prepared, codes, updates)
        verdict = BlockVerdict(
            self.height,
            prepared.header_hash,
            tuple(codes),
            tuple(item.transaction_id for item in transactions),
            self._commit_hash(codes, updates),
        )
        return JudgedBlock(verdict, prepared, updates, frozenset(covered), config)

    def _judge_alone(self, item: Transaction, encoded: bytes, dependencies: BlockDependencies) -> Code:
        """Everything that needs no other transaction of the block but for key-level policies."""
        try:
            item.raise_problem(Stage.HEADER)
            if item.channel != self.channel:
                raise LedgerHalted("a transaction of another channel", reason="channel")
            self._check_creator(item)
            item.raise_problem(Stage.STRUCTURE)
            if item.header_type == common_pb2.CONFIG:
                return Code.VALID
            if item.indexed_id in self.transaction_ids:
                raise Invalid(Code.DUPLICATE_TXID)
            item.raise_problem(Stage.CONTENT)
        except Invalid as invalid:
            _note_unjudged(encoded, dependencies)
            return invalid.code
        return check_endorsement(item, self.state, self._definitions, self.config.msps, dependencies)

    def _check_creator(self, item: Transaction) -> None:
        msps = self.config.msps
        try:
            if item.creator is None:
                raise IdentityInvalid("no creator")
            identity = msps.deserialize(item.creator.identity)
            msps.validate(identity)
        except IdentityInvalid as error:
            raise Invalid(Code.BAD_CREATOR_SIGNATURE) from error
        if not is_genuine(item.creator, identity):
            raise Invalid(Code.BAD_CREATOR_SIGNATURE)

    def _apply(
        self, prepared: PreparedBlock, codes: list[Code], updates: BlockUpdates
    ) -> tuple[set[int], ChannelConfig | None]:
        """The sequential pass: (covered transactions, the new configuration if the block brings one)."""
        config = None
        covered = set()
        for index, item in enumerate(prepared.transactions):
            if codes[index] is not Code.VALID:
                continue
            version = Version(self.height, index)
            if item.config_data:
                config = self._load_config(item.config_data, prepared)
                keep = self.state.keeps("")
                updates.set_public("", CONFIG_KEY, item.config_data, version, keep=keep)
                continue
            codes[index] = check_reads(item.namespaces, self.state, updates)
            if codes[index] is Code.VALID:
                for observer in self.observers:
                    if observer.valid(item, self.state, updates):
                        covered.add(index)
                updates.add(item.namespaces, version, self.state)
        return covered, config

    def _load_config(self, data: bytes, prepared: PreparedBlock) -> ChannelConfig:
        if not prepared.is_config:
            raise LedgerHalted("a configuration among other transactions", reason="config")
        config = load_config(verify_config_update(data, channel=self.channel, current=self.config))
        check_compatible(self.config, config)
        return config

    def _require_defined_collections(self, transactions: tuple[Transaction, ...]) -> None:
        """A hashed write to a collection that is not defined halts a peer, be the transaction valid or not."""
        for item in transactions:
            for space in item.namespaces:
                for hashed in space.hashed:
                    if hashed.writes_anything and not self._definitions.is_defined_collection(
                        space.namespace, hashed.collection
                    ):
                        raise LedgerHalted("a write to a collection that is not defined", reason="collection")

    def _commit_hash(self, codes: list[Code], updates: BlockUpdates) -> bytes | None:
        if not self.commit_hashes or self.last_commit_hash is None:
            return None
        return updates.commit_hash(bytes(codes), self.last_commit_hash)

    def _plan_expiry(self, number: int, updates: BlockUpdates) -> None:
        for space, keys in updates.by_space.items():
            if space[1] and (lifetime := self._definitions.block_to_live(*space)):
                for key, update in keys.items():
                    if update.entry is not None:
                        self.expiry.setdefault(number + lifetime + 1, []).append((space, key, update.version))

    def _expire(self, number: int, updates: BlockUpdates) -> None:
        """Hashed keys whose time is over go after this block's validation, unless written again since."""
        for space, key, version in self.expiry.pop(number, []):
            entry = self.state.get(space, key)
            if entry is not None and entry.version.block == version.block and updates.get(space, key) is None:
                self.state.delete(space, key)


def start(
    genesis: bytes,
    *,
    state: State | None = None,
    transaction_ids: TransactionIds | None = None,
    observers: tuple[Observer, ...] = (),
    commit_hashes: bool = True,
) -> tuple[Judge, BlockVerdict]:
    """From block 0, the trust root: whoever starts here must know its hash. Raises: LedgerHalted."""
    try:
        prepared = prepare_blocks([genesis], SignatureChecker())[0]
        channel = prepared.transactions[0].channel if prepared.transactions else ""
        verify_link(prepared, channel=channel, number=0, previous_hash=b"")
        if not prepared.is_config:
            raise LedgerHalted("the first block is no config block", reason="config")
        item = prepared.transactions[0]
        data = _genesis_data(prepared.block.transactions[0])
        judge = Judge(
            channel=channel,
            config=load_config_block_payload(data),
            config_block=0,
            height=1,
            last_hash=prepared.header_hash,
            state=state or State(KEPT_NAMESPACES),
            transaction_ids=transaction_ids or TransactionIds(),
            observers=observers,
            commit_hashes=commit_hashes,
        )
    except LedgerHalted as halted:
        raise LedgerHalted(halted.message, reason=halted.reason, block_number=0) from halted
    updates = BlockUpdates()
    updates.set_public("", CONFIG_KEY, data, Version(0, 0), keep=judge.state.keeps(""))
    updates.commit(judge.state)
    judge.transaction_ids.add(item.indexed_id, Position(0, 0, Code.VALID, covered=False))
    return judge, BlockVerdict(0, prepared.header_hash, (Code.VALID,), (item.transaction_id,), None)


def _genesis_data(encoded: bytes) -> bytes:
    """The serialised ConfigEnvelope. Nobody signed it: the first block has no creator."""
    try:
        envelope = decode_message(common_pb2.Envelope(), encoded, "envelope")
        data: bytes = decode_message(common_pb2.Payload(), envelope.payload, "payload").data
    except MalformedInput as error:
        raise LedgerHalted("the first block does not decode", reason="data") from error
    return data


def _note_unjudged(encoded: bytes, dependencies: BlockDependencies) -> None:
    """A transaction that failed before its endorsements were looked at still makes later ones wait for its keys."""
    namespaces = extract_namespaces(encoded)
    if namespaces is None:
        dependencies.opaque = True
    else:
        dependencies.note(namespaces, judged=set(), passed=set())


def _mark_repeated(transactions: tuple[Transaction, ...], codes: list[Code]) -> None:
    """The second and later valid transaction of one id in a block."""
    seen: set[str] = set()
    for index, item in enumerate(transactions):
        if codes[index] is Code.VALID and item.transaction_id:
            if item.transaction_id in seen:
                codes[index] = Code.DUPLICATE_TXID
            seen.add(item.transaction_id)
