"""Policies: signature policies with Fabric's greedy matching, and the channel's tree of implicit ones.

Source: Fabric 2.5.9 common/cauthdsl/cauthdsl.go, common/policies/{policy,implicitmeta,manager}.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fabric_protos.common import policies_pb2

from cloister.errors import MalformedInput
from cloister.fabric.decoding import decode_message

from .errors import IdentityInvalid, LedgerHalted
from .msp import Identity, MspManager
from .signatures import verify_signature

SIGNATURE, IMPLICIT_META = 1, 3
_ANY, _ALL, _MAJORITY = 0, 1, 2
MAX_DEPTH = 100


MAX_REMEMBERED = 1024
"""Sets of identities that one policy remembers its answer for."""


@dataclass(slots=True)
class SignedItem:
    """A claim that a serialised identity signed some bytes. `genuine` is None until somebody has looked."""

    identity: bytes
    message: bytes
    signature: bytes
    genuine: bool | None = None


class Policy(Protocol):
    """Evaluated on identities whose signatures have been verified."""

    def evaluate(self, identities: Sequence[Identity]) -> bool:
        """Whether the identities satisfy it."""
        ...


def valid_signers(items: Sequence[SignedItem], msps: MspManager) -> list[Identity]:
    """The identities that really signed, each once, in order. A bad copy does not hide a later good one."""
    accepted: list[Identity] = []
    seen: set[tuple[str, bytes]] = set()
    for item in items:
        try:
            identity = msps.deserialize(item.identity)
        except IdentityInvalid:
            continue
        if identity.key not in seen and is_genuine(item, identity):
            seen.add(identity.key)
            accepted.append(identity)
    return accepted


def is_genuine(item: SignedItem, identity: Identity) -> bool:
    """Whether the identity, deserialised from the item's, signed its message."""
    if item.genuine is None:
        item.genuine = verify_signature(identity.certificate.public_key, item.message, item.signature)
    return item.genuine


class RememberingPolicy:
    """A policy that answers the same question once: endorsers and configurations repeat themselves."""

    __slots__ = ("_known", "_policy")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._known: dict[tuple[Identity, ...], bool] = {}

    def evaluate(self, identities: Sequence[Identity]) -> bool:
        """As the policy itself. Identities are compared as objects; a configuration makes each of them once."""
        key = tuple(identities)
        answer = self._known.get(key)
        if answer is None:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            answer = self._known[key] = self._policy.evaluate(identities)
        return answer


@dataclass(frozen=True, slots=True)
class RejectPolicy:
    """What a policy that does not exist amounts to."""

    def evaluate(self, identities: Sequence[Identity]) -> bool:
        """Never."""
        del identities
        return False


@dataclass(frozen=True, slots=True)
class SignaturePolicy:
    """A compiled SignaturePolicyEnvelope."""

    rule: Any
    principals: tuple[Any, ...]
    msps: MspManager

    def evaluate(self, identities: Sequence[Identity]) -> bool:
        """Greedy, in order, without going back; every rule is tried even after enough have held."""
        return self._evaluate(self.rule, identities, [False] * len(identities))

    def _evaluate(self, rule: Any, identities: Sequence[Identity], used: list[bool]) -> bool:
        if rule.WhichOneof("Type") == "signed_by":
            principal = self.principals[rule.signed_by]
            for position, identity in enumerate(identities):
                if not used[position] and self.msps.satisfies(identity, principal):
                    used[position] = True
                    return True
            return False
        held = 0
        current = list(used)
        for item in rule.n_out_of.rules:
            trial = list(current)
            if self._evaluate(item, identities, trial):
                held += 1
                current = trial
        used[:] = current
        return held >= int(rule.n_out_of.n)


def compile_signature_policy(encoded: bytes, msps: MspManager) -> SignaturePolicy:
    """From a serialised SignaturePolicyEnvelope. Raises: MalformedInput if it cannot be evaluated."""
    return compile_envelope(decode_message(policies_pb2.SignaturePolicyEnvelope(), encoded, "signature policy"), msps)


def compile_envelope(envelope: Any, msps: MspManager) -> SignaturePolicy:
    """From a parsed SignaturePolicyEnvelope. Raises: MalformedInput."""
    _check_rule(envelope.rule, len(envelope.identities), 0)
    return SignaturePolicy(envelope.rule, tuple(envelope.identities), msps)


@dataclass
class PolicyNode:
    """One config group's policies and its children, by name."""

    policies: dict[str, Policy] = field(default_factory=dict)
    children: dict[str, PolicyNode] = field(default_factory=dict)

    def find(self, path: Sequence[str]) -> Policy | None:
        """A policy by its path below this node: group names, then the policy's name."""
        *groups, name = path
        node: PolicyNode | None = self
        for group in groups:
            node = node.children.get(group) if node else None
        return node.policies.get(name) if node else None


@dataclass(frozen=True, slots=True)
class ImplicitMetaPolicy:
    """So many of the children's policies of one name; identities may count in several children."""

    threshold: int
    sub_policies: tuple[Policy, ...]

    def evaluate(self, identities: Sequence[Identity]) -> bool:
        """All children are counted, those without the policy as rejecting."""
        return sum(policy.evaluate(identities) for policy in self.sub_policies) >= self.threshold


def build_policies(group: Any, msps: MspManager, depth: int = 0) -> PolicyNode:
    """The tree of policies of a ConfigGroup. Raises: LedgerHalted(reason="policy") if one does not compile."""
    if depth > MAX_DEPTH:
        raise LedgerHalted("configuration nested too deeply", reason="policy")
    node = PolicyNode(children={name: build_policies(item, msps, depth + 1) for name, item in group.groups.items()})
    for name, item in group.policies.items():
        node.policies[name] = _compile(item.policy, node, msps)
    return node


def _compile(policy: Any, node: PolicyNode, msps: MspManager) -> Policy:
    try:
        if policy.type == SIGNATURE:
            envelope = decode_message(policies_pb2.SignaturePolicyEnvelope(), policy.value, "signature policy")
            if envelope.version != 0:
                raise LedgerHalted("signature policy of an unknown version", reason="policy")
            return compile_envelope(envelope, msps)
        if policy.type == IMPLICIT_META:
            meta = decode_message(policies_pb2.ImplicitMetaPolicy(), policy.value, "implicit meta policy")
            subs = tuple(child.policies.get(meta.sub_policy) or RejectPolicy() for child in node.children.values())
            return ImplicitMetaPolicy(_threshold(meta.rule, len(subs)), subs)
    except MalformedInput as error:
        raise LedgerHalted("a channel policy does not compile", reason="policy") from error
    raise LedgerHalted("channel policy of an unsupported type", reason="policy")


def _threshold(rule: int, count: int) -> int:
    if rule == _ANY:
        return min(1, count)
    if rule == _ALL:
        return count
    if rule == _MAJORITY:
        return count // 2 + 1 if count else 0
    raise LedgerHalted("implicit meta policy with an unknown rule", reason="policy")


def _check_rule(rule: Any, identities: int, depth: int) -> None:
    kind = rule.WhichOneof("Type")
    if kind is None or depth > MAX_DEPTH:
        raise MalformedInput("signature policy: empty or too deep rule", field="policy")
    if kind == "signed_by":
        if not 0 <= rule.signed_by < identities:
            raise MalformedInput("signature policy: principal out of range", field="policy")
        return
    for item in rule.n_out_of.rules:
        _check_rule(item, identities, depth + 1)
