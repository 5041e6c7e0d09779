"""The judge: block after block, from the genesis block on. What it has not accepted, it never answers about.

Steps per block: 1 the chain (blocks.py) · 2 each transaction by itself, on the state before the block · 3 repeated
transaction ids · 4 reads, in order · 5 apply. A configuration takes effect for everything after its block.
What is not judged yet stands in docs/ledger.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fabric_protos.common import common_pb2

from cloister.errors import MalformedInput
from cloister.fabric.block import Block, parse_block
from cloister.fabric.proposal import compute_transaction_id
from cloister.fabric.transaction import Version

from .blocks import is_config_block, verify_link, verify_signatures
from .channel_config import ChannelConfig, load_config, load_config_block_payload
from .codes import Code, Invalid
from .config_update import verify_config_update
from .definitions import block_to_live, is_defined_collection
from .endorsement import BlockDependencies, check_endorsement
from .errors import LedgerHalted
from .mvcc import check_reads
from .state import State
from .transaction import Parsed, dispatch, extract_namespaces, parse_transaction
from .updates import BlockUpdates

CONFIG_KEY = "CHANNEL_CONFIG_ENV_BYTES"


@dataclass(frozen=True, slots=True)
class BlockVerdict:
    """What one block amounts to. `commit_hash` None: genesis, or a value would be needed that is not kept."""

    number: int
    header_hash: bytes
    codes: tuple[Code, ...]
    transaction_ids: tuple[str, ...]
    commit_hash: bytes | None


@dataclass
class Judge:
    """Follows one channel. Make it with `start`."""

    channel: str
    config: ChannelConfig
    height: int
    last_hash: bytes
    state: State = field(default_factory=State)
    transaction_ids: set[str] = field(default_factory=set)
    last_commit_hash: bytes | None = b""
    _expiry: dict[int, list[tuple[tuple[str, str], bytes, Version]]] = field(default_factory=dict)

    def judge(self, encoded: bytes) -> BlockVerdict:
        """Judge and apply the next block. Raises: LedgerHalted; then nothing has changed."""
        try:
            block = parse_block(encoded)
        except MalformedInput as error:
            raise LedgerHalted("does not decode", reason="data", block_number=self.height) from error
        verify_link(block, number=self.height, previous_hash=self.last_hash)
        verify_signatures(block, self.config)
        try:
            return self._judge(block)
        except LedgerHalted as halted:
            if halted.block_number is None:
                raise LedgerHalted(halted.message, reason=halted.reason, block_number=block.number) from halted
            raise

    def _judge(self, block: Block) -> BlockVerdict:
        parsed = [
            parse_transaction(encoded, index, channel=self.channel, msps=self.config.msps)
            for index, encoded in enumerate(block.transactions)
        ]
        dependencies = BlockDependencies()
        for item, encoded in zip(parsed, block.transactions, strict=True):
            self._judge_alone(item, dependencies)
            if item.endorsed is None and not item.config_data:
                _note_unjudged(encoded, dependencies)
        _mark_repeated(parsed)
        self._require_defined_collections(parsed)
        updates = BlockUpdates()
        config = self._apply(block, parsed, updates)
        codes = tuple(item.code for item in parsed)
        commit_hash = self._commit_hash(codes, updates)
        self._commit(block, parsed, updates, config, commit_hash)
        return BlockVerdict(
            block.number, self.last_hash, codes, tuple(item.transaction_id for item in parsed), commit_hash
        )

    def _judge_alone(self, parsed: Parsed, dependencies: BlockDependencies) -> None:
        """Steps that need no other transaction of the block but for key-level policies."""
        if parsed.code is not Code.VALID or parsed.action is None:
            return
        if parsed.indexed_id in self.transaction_ids:
            parsed.code = Code.DUPLICATE_TXID
            return
        try:
            parsed.endorsed = dispatch(parsed)
            parsed.code = check_endorsement(parsed.endorsed, self.state, self.config, dependencies)
        except Invalid as invalid:
            parsed.code = invalid.code

    def _apply(self, block: Block, parsed: list[Parsed], updates: BlockUpdates) -> ChannelConfig | None:
        """The sequential pass; the new configuration, if the block brings one."""
        config = None
        for item in parsed:
            if item.code is not Code.VALID:
                continue
            version = Version(block.number, item.index)
            if item.endorsed is not None:
                item.code = check_reads(item.endorsed.namespaces, self.state, updates)
                if item.code is Code.VALID:
                    updates.add(item.endorsed.namespaces, version, self.state)
            elif item.config_data:
                config = self._load_config(item.config_data, block)
                updates.set_public("", CONFIG_KEY, item.config_data, version)
        return config

    def _load_config(self, data: bytes, block: Block) -> ChannelConfig:
        if not is_config_block(block):
            raise LedgerHalted("a configuration among other transactions", reason="config", block_number=block.number)
        return load_config(verify_config_update(data, channel=self.channel, current=self.config))

    def _require_defined_collections(self, parsed: list[Parsed]) -> None:
        """A hashed write to a collection that is not defined halts a peer, be the transaction valid or not."""
        for item in parsed:
            for space in item.endorsed.namespaces if item.endorsed is not None else ():
                for hashed in space.hashed:
                    writes = hashed.rwset.hashed_writes or hashed.rwset.metadata_writes
                    if writes and not is_defined_collection(
                        space.namespace, hashed.collection, self.state, self.config
                    ):
                        raise LedgerHalted("a write to a collection that is not defined", reason="collection")

    def _commit_hash(self, codes: tuple[Code, ...], updates: BlockUpdates) -> bytes | None:
        if self.last_commit_hash is None or updates.incomplete:
            return None
        return updates.commit_hash(bytes(codes), self.last_commit_hash)

    def _commit(
        self,
        block: Block,
        parsed: list[Parsed],
        updates: BlockUpdates,
        config: ChannelConfig | None,
        commit_hash: bytes | None,
    ) -> None:
        self._plan_expiry(block.number, updates)
        updates.commit(self.state)
        self._expire(block.number, updates)
        self.transaction_ids.update(item.indexed_id for item in parsed)
        self.config = config or self.config
        self.height, self.last_hash = block.number + 1, block.header_hash
        self.last_commit_hash = commit_hash

    def _plan_expiry(self, number: int, updates: BlockUpdates) -> None:
        for space, keys in updates.by_space.items():
            if space[1] and (lifetime := block_to_live(space[0], space[1], self.state)):
                for key, update in keys.items():
                    if update.entry is not None:
                        self._expiry.setdefault(number + lifetime + 1, []).append((space, key, update.version))

    def _expire(self, number: int, updates: BlockUpdates) -> None:
        """Hashed keys whose time is over go after this block's validation, unless written again since."""
        for space, key, version in self._expiry.pop(number, []):
            entry = self.state.get(space, key)
            if entry is not None and entry.version.block == version.block and updates.get(space, key) is None:
                self.state.delete(space, key)


def start(genesis: bytes) -> tuple[Judge, BlockVerdict]:
    """From block 0, the trust root: whoever starts here must know its hash. Raises: LedgerHalted."""
    try:
        block = parse_block(genesis)
    except MalformedInput as error:
        raise LedgerHalted("does not decode", reason="data", block_number=0) from error
    verify_link(block, number=0, previous_hash=b"")
    if not is_config_block(block):
        raise LedgerHalted("the first block is no config block", reason="config", block_number=0)
    channel, data, indexed_id = _genesis_payload(block)
    judge = Judge(channel, load_config_block_payload(data), 1, block.header_hash)
    updates = BlockUpdates()
    updates.set_public("", CONFIG_KEY, data, Version(0, 0))
    updates.commit(judge.state)
    judge.transaction_ids.add(indexed_id)
    return judge, BlockVerdict(0, block.header_hash, (Code.VALID,), ("",), None)


def _genesis_payload(block: Block) -> tuple[str, bytes, str]:
    """(channel, config envelope, id under which the transaction is filed)."""
    envelope = common_pb2.Envelope.FromString(block.transactions[0])
    payload = common_pb2.Payload.FromString(envelope.payload)
    header = common_pb2.ChannelHeader.FromString(payload.header.channel_header)
    signature = common_pb2.SignatureHeader.FromString(payload.header.signature_header)
    indexed = header.tx_id or compute_transaction_id(signature.nonce, signature.creator)
    return header.channel_id, payload.data, indexed


def _note_unjudged(encoded: bytes, dependencies: BlockDependencies) -> None:
    """A transaction that failed before its endorsements were looked at still makes later ones wait for its keys."""
    namespaces = extract_namespaces(encoded)
    if namespaces is None:
        dependencies.opaque = True
    else:
        dependencies.note(namespaces, set(), set())


def _mark_repeated(parsed: list[Parsed]) -> None:
    """The second and later valid transaction of one id in a block."""
    seen: set[str] = set()
    for item in parsed:
        if item.code is Code.VALID and item.transaction_id:
            if item.transaction_id in seen:
                item.code = Code.DUPLICATE_TXID
            seen.add(item.transaction_id)
