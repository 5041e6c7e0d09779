"""Is a transaction endorsed enough for everything it writes? Key-level, collection and chaincode policies.

Source: Fabric 2.5.9 core/handlers/validation/builtin/v20, core/common/validation/statebased (v20).
State is that before the block; within the block only one thing shows: a key whose policy an earlier transaction sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cloister.errors import MalformedInput

from .codes import Code, Invalid
from .definitions import Definitions
from .errors import LedgerHalted
from .msp import Identity, MspManager
from .policies import Policy, compile_signature_policy, valid_signers
from .state import State
from .transaction import NamespaceSet, Transaction

VALIDATION_PARAMETER = "VALIDATION_PARAMETER"
Place = tuple[str, str, bytes]
"""(namespace, collection, key)."""


class BlockDependencies:
    """Keys whose metadata earlier transactions of this block write, per namespace that passed its policy."""

    def __init__(self) -> None:
        self.passed: set[Place] = set()
        self.unjudged: set[Place] = set()
        self.opaque = False
        """An earlier transaction could not be read down to its action: a peer then waits for it for ever."""

    def note(self, namespaces: Sequence[NamespaceSet], *, judged: set[str], passed: set[str]) -> None:
        """Remember what one transaction's metadata writes mean for later ones."""
        for item in namespaces:
            for place in metadata_places(item):
                if item.namespace in passed:
                    self.passed.add(place)
                elif item.namespace not in judged:
                    self.unjudged.add(place)


def check_endorsement(
    transaction: Transaction,
    state: State,
    definitions: Definitions,
    msps: MspManager,
    dependencies: BlockDependencies,
) -> Code:
    """The verdict on endorsements. Notes its own metadata writes. Raises: LedgerHalted."""
    identities: list[Identity] | None = None
    wanted = {item.namespace: item for item in transaction.namespaces if item.writes_anything}
    failures: dict[str, Code] = {}
    for namespace in sorted({transaction.chaincode, *wanted}):
        try:
            policy = definitions.policy(namespace)
            if identities is None:
                identities = valid_signers(transaction.endorsements, msps)
            judge = _Judge(namespace, policy, identities, state, definitions, msps, dependencies)
            judge.judge(wanted.get(namespace))
        except Invalid as invalid:
            failures[namespace] = invalid.code
    _note(transaction, dependencies, failures)
    codes = set(failures.values())
    if len(codes) > 1:
        raise LedgerHalted("two namespaces fail for different reasons: peers may differ", reason="ambiguous")
    return next(iter(codes), Code.VALID)


def _note(transaction: Transaction, dependencies: BlockDependencies, failures: dict[str, Code]) -> None:
    """What the metadata writes mean for later transactions.

    A peer goes through the namespaces in random order and stops at the first failure: whether it judged the others is
    not certain then, nor whether it judged one that failed for want of a definition.
    """
    names = {item.namespace for item in transaction.namespaces}
    certain = {name for name, code in failures.items() if code is Code.ENDORSEMENT_POLICY_FAILURE}
    if not failures:
        dependencies.note(transaction.namespaces, judged=names, passed=names)
    elif len(failures) == 1:
        dependencies.note(transaction.namespaces, judged=certain, passed=set())
    else:
        dependencies.note(transaction.namespaces, judged=set(), passed=set())


def metadata_places(item: NamespaceSet) -> list[Place]:
    """Every key whose metadata the namespace's part writes."""
    places = [(item.namespace, "", write.key.encode()) for write in item.public.metadata_writes]
    for hashed in item.hashed:
        places += [(item.namespace, hashed.collection, write.key_hash) for write in hashed.rwset.metadata_writes]
    return places


@dataclass
class _Judge:
    """Judges one namespace's part of one transaction."""

    namespace: str
    policy: Policy
    identities: list[Identity]
    state: State
    definitions: Definitions
    msps: MspManager
    dependencies: BlockDependencies
    asked: set[str] = field(default_factory=set)
    """What has been asked once: collections by name, the chaincode policy as "" ."""
    any_policy: bool = False

    def judge(self, item: NamespaceSet | None) -> None:
        """Raises: Invalid(ENDORSEMENT_POLICY_FAILURE); LedgerHalted."""
        for collection, key in _written(item) if item is not None else ():
            self._judge_key(collection, key)
        if not self.any_policy:
            _require(self.policy.evaluate(self.identities))

    def _judge_key(self, collection: str, key: bytes) -> None:
        place = (self.namespace, collection, key)
        if self.dependencies.opaque or place in self.dependencies.unjudged:
            raise LedgerHalted("waits for an earlier transaction that was never judged", reason="dependency")
        if place in self.dependencies.passed:
            raise Invalid(Code.ENDORSEMENT_POLICY_FAILURE)
        parameter = self.state.metadata((self.namespace, collection), key, VALIDATION_PARAMETER)
        if parameter:
            self._ask(self._key_policy(parameter))
            return
        if collection:
            own = self.definitions.collection_policy(self.namespace, collection)
            if own is not None:
                self._ask_once(collection, own)
                return
        self._ask_once("", self.policy)

    def _key_policy(self, parameter: bytes) -> Policy:
        try:
            return compile_signature_policy(parameter, self.msps)
        except MalformedInput as error:
            raise LedgerHalted("a key-level policy does not compile", reason="policy") from error

    def _ask_once(self, name: str, policy: Policy) -> None:
        if name not in self.asked:
            self.asked.add(name)
            self._ask(policy)

    def _ask(self, policy: Policy) -> None:
        self.any_policy = True
        _require(policy.evaluate(self.identities))


def _written(item: NamespaceSet) -> list[tuple[str, bytes]]:
    """(collection, key) of every write, in the order in which Fabric looks at them."""
    places = [("", write.key.encode()) for write in item.public.writes]
    places += [("", write.key.encode()) for write in item.public.metadata_writes]
    for hashed in item.hashed:
        places += [(hashed.collection, write.key_hash) for write in hashed.rwset.hashed_writes]
    for hashed in item.hashed:
        places += [(hashed.collection, write.key_hash) for write in hashed.rwset.metadata_writes]
    return places


def _require(satisfied: bool) -> None:  # noqa: FBT001 - reads as an assertion
    if not satisfied:
        raise Invalid(Code.ENDORSEMENT_POLICY_FAILURE)
