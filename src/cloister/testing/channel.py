"""A small channel made in Python: genesis block, organisations, blocks of signed transactions. No Fabric program runs.

Confidential transactions are forged as a chaincode enclave and its peers would make them: statement and reads signed
under a real key set, endorsed by both organisations' peers, without any of the peer's own read versions.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID
from fabric_protos.common import common_pb2, configtx_pb2, configuration_pb2, policies_pb2
from fabric_protos.orderer import configuration_pb2 as orderer_pb2
from fabric_protos.peer import chaincode_event_pb2, proposal_pb2

from cloister.fabric.block import parse_block
from cloister.fabric.proposal import compute_transaction_id
from cloister.lifecycle import parse_policy_expression
from cloister.testing.blocks import make_block
from cloister.testing.configs import Change, config_envelope, organization, update_envelope
from cloister.testing.definitions import LIFECYCLE, ForgedDefinition
from cloister.testing.forge import Draft, rwset
from cloister.testing.signers import Authority, Signer, Wanted
from cloister.trusted.chaincode.keys import KeyRing, describe_key_set, make_key_ring
from cloister.trusted.ledger.answers import Answers, BlockHashes
from cloister.trusted.ledger.blocks import prepare_blocks
from cloister.trusted.ledger.channel_time import ChannelTime
from cloister.trusted.ledger.checkpoint import new_answers
from cloister.trusted.ledger.confidential import KeySets, key_set_key
from cloister.trusted.ledger.coverage import Coverage
from cloister.trusted.ledger.history import WINDOW, History
from cloister.trusted.ledger.identities import SignatureChecker
from cloister.trusted.ledger.judge import start
from cloister.trusted.ledger.transaction_ids import TransactionIds
from cloister.trusted.protocol.key_set import KeySetDescriptor, sign_descriptor
from cloister.trusted.protocol.outcome import SealedOutcome
from cloister.trusted.protocol.reads import (
    MetadataWrite,
    PointRead,
    RangeRead,
    ReadList,
    RestoredRead,
    Write,
    event_hash,
    metadata_digest,
    reads_digest,
    writes_digest,
)
from cloister.trusted.protocol.statement import NO_EVENT, REVEAL_AT_ENDORSEMENT, ResultStatement

CHANNEL, REGISTRY, CHAINCODE = "channel", "registry", "auction"
MEASUREMENT, NEXT_MEASUREMENT = bytes([0xA1]) * 32, bytes([0xA2]) * 32
REQUEST = b"sealed request"
MAKER = Ed25519PrivateKey.from_private_bytes(bytes([5]) * 32)
"""Signs descriptors: the ledger enclave appraises no maker."""
PARAMETER = parse_policy_expression("OR('Org1MSP.peer','Org2MSP.peer')")
"""An endorsement parameter that every forged transaction satisfies."""
_START = datetime(2024, 1, 1, tzinfo=UTC)
_RULES = policies_pb2.ImplicitMetaPolicy


def make_authority(msp_id: str) -> Authority:
    """A certificate authority of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"ca.{msp_id}")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_START)
        .not_valid_after(_START + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(msp_id, certificate, key)


class Channel:
    """Two peer organisations, one ordering one. `blocks`: the chain so far."""

    def __init__(self, name: str = CHANNEL, *, capability: str = "V2_0") -> None:
        self.name = name
        self.authorities = [make_authority("Org1MSP"), make_authority("Org2MSP")]
        self.ordering_authority = make_authority("OrdererMSP")
        self.peers = [item.issue(Wanted("peer", ("peer",))) for item in self.authorities]
        self.clients = [item.issue(Wanted("user", ("client",))) for item in self.authorities]
        self.admins = [item.issue(Wanted("admin", ("admin",))) for item in self.authorities]
        self.orderer = self.ordering_authority.issue(Wanted("orderer", ("orderer",)))
        self.orderer_admin = self.ordering_authority.issue(Wanted("admin", ("admin",)))
        self.last_config = 0
        self.blocks = [make_block(0, b"", [_genesis_envelope(self, capability)], [])]

    @property
    def genesis_hash(self) -> bytes:
        """32 bytes."""
        return parse_block(self.blocks[0]).header_hash

    @property
    def config(self) -> Any:
        """The `common.Config` of the last configuration block."""
        envelope = common_pb2.Envelope.FromString(parse_block(self.blocks[self.last_config]).transactions[0])
        payload = common_pb2.Payload.FromString(envelope.payload)
        return configtx_pb2.ConfigEnvelope.FromString(payload.data).config

    def make(self, *transactions: bytes, signers: Sequence[Signer] | None = None) -> bytes:
        """The next block; not on the chain yet."""
        last = parse_block(self.blocks[-1])
        by = [self.orderer] if signers is None else signers
        return make_block(last.number + 1, last.header_hash, transactions, by, last_config=self.last_config)

    def add(self, *transactions: bytes | Draft, is_config: bool = False) -> bytes:
        """The next block, on the chain."""
        encoded = [item.build() if isinstance(item, Draft) else item for item in transactions]
        block = self.make(*encoded)
        if is_config:
            self.last_config = len(self.blocks)
        self.blocks.append(block)
        return block

    def draft(self, *namespaces: tuple[str, Any], chaincode: str = CHAINCODE, **more: Any) -> Draft:
        """A transaction that satisfies every endorsement policy; no statement covers it."""
        fields = {"client": self.clients[0], "endorsers": self.peers, **more}
        return Draft(self.name, chaincode, namespaces=namespaces, **fields)

    def put(self, *writes: tuple[str, bytes | None], chaincode: str = CHAINCODE, **more: Any) -> Draft:
        """What a rogue chaincode under the name writes (None deletes)."""
        return self.draft((chaincode, rwset(writes=writes)), chaincode=chaincode, **more)

    def define(self, sequence: int = 1, version: bytes | str = MEASUREMENT, name: str = CHAINCODE) -> Draft:
        """A definition; bytes are a measurement."""
        text = version if isinstance(version, str) else version.hex()
        return self.draft(ForgedDefinition(name, sequence, text).write(), chaincode=LIFECYCLE)

    def register(self, keys: KeyHolder, value: bytes | None = None, *, sequence: int | None = None) -> Draft:
        """The registry's transaction with a key set's signed descriptor, or with something in its place."""
        key = key_set_key(keys.descriptor.chaincode, sequence or keys.descriptor.sequence)
        return self.put((key, keys.signed if value is None else value or None), chaincode=REGISTRY)

    def reconfigure(self, path: Sequence[str], change: Change, signers: Sequence[Signer] | None = None) -> bytes:
        """A block with a new configuration, by default signed by all administrators."""
        by = [*self.admins, self.orderer_admin] if signers is None else signers
        update = update_envelope(self.name, self.config, path, change, by)
        return self.add(config_envelope(self.name, self.config, update, path, change, self.orderer), is_config=True)

    def fork(self) -> Channel:
        """The same channel so far, with a future of its own."""
        other = copy.copy(self)
        other.blocks = list(self.blocks)
        return other

    def prepare(self) -> KeyHolder:
        """The chain gets plain and confidential definitions and the first key set; the height is 3 afterwards."""
        keys = KeyHolder.new(self)
        self.add(self.define(1, "1.0", REGISTRY), self.define(1, "1.0", "plain"), self.define())
        self.add(self.register(keys))
        return keys


@dataclass(frozen=True)
class KeyHolder:
    """Holds a key ring, as a chaincode enclave does, and makes what it would sign."""

    channel: Channel
    ring: KeyRing

    @classmethod
    def new(
        cls,
        channel: Channel,
        sequence: int = 1,
        measurement: bytes = MEASUREMENT,
        *,
        earlier: KeyHolder | None = None,
        chaincode: str = CHAINCODE,
        genesis_hash: bytes | None = None,
    ) -> KeyHolder:
        """Fresh keys for one sequence of a definition."""
        ring = make_key_ring(
            genesis_hash=genesis_hash or channel.genesis_hash,
            chaincode=chaincode,
            sequence=sequence,
            measurement=measurement,
            earlier=earlier.ring if earlier is not None else None,
            random_bytes=lambda length: hashlib.shake_256(b"%d" % sequence + measurement).digest(length),
        )
        return cls(channel, ring)

    @property
    def descriptor(self) -> KeySetDescriptor:
        """Of the current key set."""
        return describe_key_set(self.ring, channel=self.channel.name, maker=bytes(32))

    @property
    def signed(self) -> bytes:
        """The signed descriptor."""
        previous = self.ring.previous
        return sign_descriptor(self.descriptor, MAKER, previous=previous.result_key if previous is not None else None)

    def draft(self, effects: Effects, **more: Any) -> Draft:
        """A covered transaction, if its reads hold; its parts can be bent further."""
        fields: dict[str, Any] = {"client": self.channel.clients[0], "endorsers": self.channel.peers, **more}
        name = self.ring.chaincode
        part = (name, rwset(writes=effects.writes, metadata=effects.parameters))
        draft = Draft(self.channel.name, name, **fields).but(arguments=[REQUEST], namespaces=[part], **more)
        return draft.but(response=self._answering(draft, effects), nonce=draft.nonce)

    def _answering(self, draft: Draft, effects: Effects) -> Callable[[Any], None]:
        """Puts the sealed outcome in: it is about the proposal's hash, so it comes after the proposal."""

        def answer(response: Any) -> None:
            action = proposal_pb2.ChaincodeAction.FromString(response.extension)
            statement = effects.bend(self.statement(draft, response.proposal_hash, effects))
            sealed = SealedOutcome(
                statement.encode(),
                statement.sign(effects.signer or self.ring.current.result_key),
                b"ciphertext",
                (effects.read_list or effects.reads()).encode(),
            )
            action.response.payload = sealed.encode()
            if effects.event is not None:
                name, payload = effects.event
                event = chaincode_event_pb2.ChaincodeEvent(
                    chaincode_id=draft.chaincode, tx_id=statement.transaction_id, event_name=name, payload=payload
                )
                action.events = event.SerializeToString()
            response.extension = action.SerializeToString()

        return answer

    def statement(self, draft: Draft, proposal_hash: bytes, effects: Effects) -> ResultStatement:
        """What an honest enclave states."""
        current, creator = self.ring.current, draft.client.creator
        return ResultStatement(
            genesis_hash=self.ring.genesis_hash,
            channel=self.channel.name,
            chaincode=self.ring.chaincode,
            sequence=current.sequence,
            measurement=current.measurement,
            key_set_id=self.ring.key_set_id(current),
            transaction_id=compute_transaction_id(draft.nonce, creator),
            proposal_hash=proposal_hash,
            creator_hash=hashlib.sha256(creator).digest(),
            request_hash=hashlib.sha256(REQUEST).digest(),
            reveal=REVEAL_AT_ENDORSEMENT,
            reads_digest=reads_digest((*effects.points, *effects.restored), effects.ranges),
            read_list_hash=hashlib.sha256(effects.reads().encode()).digest(),
            writes_digest=writes_digest(Write(key, value) for key, value in effects.writes),
            metadata_digest=metadata_digest(MetadataWrite(key, value or b"") for key, value in effects.parameters),
            event_hash=event_hash(*effects.event) if effects.event is not None else NO_EVENT,
            response_hash=hashlib.sha256(b"ciphertext").digest(),
        )


def _same(statement: ResultStatement) -> ResultStatement:
    return statement


@dataclass(frozen=True)
class Effects:
    """What an execution read and wrote. `bend`, `signer` and `read_list` are for attackers."""

    writes: Sequence[tuple[str, bytes | None]] = ()
    parameters: Sequence[tuple[str, bytes | None]] = ()
    points: Sequence[PointRead] = ()
    restored: Sequence[RestoredRead] = ()
    ranges: Sequence[RangeRead] = ()
    event: tuple[str, bytes] | None = None
    bend: Callable[[ResultStatement], ResultStatement] = field(default=_same)
    signer: Ed25519PrivateKey | None = None
    read_list: ReadList | None = None

    def reads(self) -> ReadList:
        """As the enclave lists them."""
        return ReadList(
            tuple(item.key for item in self.points if not item.metadata),
            tuple(item.key for item in self.points if item.metadata),
            tuple((item.start, item.end) for item in self.ranges),
            tuple(item.key for item in self.restored if not item.metadata),
            tuple(item.key for item in self.restored if item.metadata),
        )


def hashed(value: bytes | None) -> bytes | None:
    """A value's SHA-256, None if there is none."""
    return hashlib.sha256(value).digest() if value is not None else None


def transaction_id(draft: Draft) -> str:
    """The id that the draft's transaction has."""
    return compute_transaction_id(draft.nonce, draft.client.creator)


def new_answers_for(channel: Channel, *, window: int = WINDOW) -> Answers:
    """A ledger enclave's inner part, at height 1."""
    judge, verdict = start(channel.blocks[0], transaction_ids=TransactionIds(b"salt"), commit_hashes=False)
    hashes_of_blocks = BlockHashes()
    hashes_of_blocks.add(verdict.header_hash)
    coverage = Coverage(KeySets(channel.genesis_hash, channel.name), REGISTRY, History(window))
    return new_answers(judge, coverage, ChannelTime(), hashes_of_blocks)


def follow(answers: Answers, *blocks: bytes) -> None:
    """Judge and commit."""
    for block in blocks:
        answers.commit(answers.judge.judge(prepare_blocks([block], SignatureChecker())[0]))


def _genesis_envelope(channel: Channel, capability: str) -> bytes:
    group = configtx_pb2.ConfigGroup(mod_policy="Admins")
    _set(group, "HashingAlgorithm", configuration_pb2.HashingAlgorithm(name="SHA256"))
    _set(group, "BlockDataHashingStructure", configuration_pb2.BlockDataHashingStructure(width=2**32 - 1))
    _set(group, "OrdererAddresses", configuration_pb2.OrdererAddresses(addresses=["127.0.0.1:7050"]))
    _set(group, "Capabilities", _capabilities(capability))
    orderer, application = group.groups["Orderer"], group.groups["Application"]
    _set(orderer, "ConsensusType", orderer_pb2.ConsensusType(type="etcdraft"))
    size = orderer_pb2.BatchSize(max_message_count=100, absolute_max_bytes=1 << 24, preferred_max_bytes=1 << 20)
    _set(orderer, "BatchSize", size)
    _set(orderer, "BatchTimeout", orderer_pb2.BatchTimeout(timeout="1s"))
    _set(orderer, "Capabilities", _capabilities("V2_0"))
    _set(application, "Capabilities", _capabilities("V2_5"))
    for item in (group, orderer, application):
        item.mod_policy = "Admins"
        for name, rule in (("Readers", _RULES.ANY), ("Writers", _RULES.ANY), ("Admins", _RULES.MAJORITY)):
            _implicit(item, name, rule, name)
    _implicit(orderer, "BlockValidation", _RULES.ANY, "Writers")
    for name in ("Endorsement", "LifecycleEndorsement"):
        _implicit(application, name, _RULES.MAJORITY, "Endorsement")
    for authority in channel.authorities:
        application.groups[authority.msp_id].CopyFrom(organization(authority))
    orderer.groups["Orderer"].CopyFrom(organization(channel.ordering_authority, endpoints=["127.0.0.1:7050"]))
    envelope = configtx_pb2.ConfigEnvelope(config=configtx_pb2.Config(channel_group=group))
    header = common_pb2.Header(
        channel_header=common_pb2.ChannelHeader(
            type=common_pb2.CONFIG, channel_id=channel.name, tx_id="0" * 64
        ).SerializeToString(),
        signature_header=common_pb2.SignatureHeader(nonce=b"nonce").SerializeToString(),
    )
    payload = common_pb2.Payload(header=header, data=envelope.SerializeToString())
    encoded: bytes = common_pb2.Envelope(payload=payload.SerializeToString()).SerializeToString()
    return encoded


def _set(group: Any, name: str, value: Any) -> None:
    item = configtx_pb2.ConfigValue(value=value.SerializeToString(), mod_policy="Admins")
    group.values[name].CopyFrom(item)


def _implicit(group: Any, name: str, rule: int, sub_policy: str) -> None:
    policy = policies_pb2.Policy(
        type=policies_pb2.Policy.IMPLICIT_META,
        value=policies_pb2.ImplicitMetaPolicy(rule=rule, sub_policy=sub_policy).SerializeToString(),
    )
    group.policies[name].CopyFrom(configtx_pb2.ConfigPolicy(policy=policy, mod_policy="Admins"))


def _capabilities(name: str) -> Any:
    found = configuration_pb2.Capabilities()
    found.capabilities[name].SetInParent()
    return found
