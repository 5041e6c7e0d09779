"""The appraisal policy: by which rules evidence is judged. One immutable value; the default refuses everything.

Trust level: trusted, pure.
Policy and reference values are apart (RFC 9334): the policy is the same for the whole channel and for years, its hash
stands in every enclave's attested data and everybody requires equality; reference values (measurements) change with
each version of a contract and come from the committed definition, or from the relying party's own pin.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields
from typing import Any

from cloister.errors import MalformedInput

from .evidence import KIND_SGX_DCAP, KINDS

TCB_STATUSES = (
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
)
"""`Revoked` cannot be expressed: it is never acceptable."""

DAY_S = 24 * 60 * 60
MAX_POLICY_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class AppraisalPolicy:
    """Rules for appraising evidence. Ages in seconds; keys and ids in lower-case hex; tuples sorted, without repeats.

    `min_orderer_signatures`: so many distinct identities with the orderer role must have signed a block, beside what
    the channel's BlockValidation policy asks (Raft blocks have one signature). `simulation_authorities` are Ed25519
    public keys (64 hex characters). Simulated evidence needs both: the kind `simulation` in `kinds` and its authority
    in this list. There is no switch for debug enclaves.
    """

    kinds: tuple[str, ...] = (KIND_SGX_DCAP,)
    min_isv_svn: int = 0
    tcb_statuses: tuple[str, ...] = ("UpToDate",)
    accepted_advisories: tuple[str, ...] = ()
    min_tcb_evaluation_data_number: int = 0
    max_tcb_info_age_s: int = 30 * DAY_S
    max_qe_identity_age_s: int = 30 * DAY_S
    max_pck_crl_age_s: int = 30 * DAY_S
    allow_smt: bool = False
    allow_dynamic_platform: bool = False
    allow_cached_keys: bool = False
    platforms: tuple[str, ...] = ()
    min_orderer_signatures: int = 0
    simulation_authorities: tuple[str, ...] = field(default=())

    def encode(self) -> bytes:
        """Canonical JSON: sorted names, no spaces, ASCII."""
        document = {item.name: _plain(getattr(self, item.name)) for item in fields(self)}
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")

    @property
    def policy_id(self) -> bytes:
        """SHA-256 of the canonical encoding, 32 bytes."""
        return hashlib.sha256(self.encode()).digest()


@dataclass(frozen=True, slots=True)
class ReferenceValues:
    """Acceptable measurements, 32 bytes each, per role. Empty means: none is acceptable."""

    chaincode: frozenset[bytes] = frozenset()
    ledger: frozenset[bytes] = frozenset()


def parse_policy(encoded: bytes) -> AppraisalPolicy:
    """Parse a policy from JSON. Every field is optional, an unknown one is refused; lists are sorted.

    Raises: MalformedInput naming the field, what was expected and, for names, what was found.
    """
    if len(encoded) > MAX_POLICY_BYTES:
        raise MalformedInput(f"policy: at most {MAX_POLICY_BYTES} bytes", field="policy")
    try:
        document = json.loads(encoded)
    except (ValueError, RecursionError) as error:
        raise MalformedInput("policy: not JSON", field="policy") from error
    if not isinstance(document, dict):
        raise MalformedInput("policy: expected a JSON object", field="policy")
    known = {item.name: item for item in fields(AppraisalPolicy)}
    unknown = sorted(set(document) - set(known))
    if unknown:
        raise MalformedInput(f"policy: unknown field {unknown[0]!r}", field=unknown[0])
    policy = AppraisalPolicy(**{name: _value(name, known[name].type, value) for name, value in document.items()})
    _check_closed("kinds", policy.kinds, KINDS)
    _check_closed("tcb_statuses", policy.tcb_statuses, TCB_STATUSES)
    for authority in policy.simulation_authorities:
        _check_hex("simulation_authorities", authority, 64)
    return policy


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _value(name: str, declared: object, value: Any) -> Any:
    """One field's value, of the declared type (as text: annotations are not evaluated)."""
    if declared == "bool":
        if not isinstance(value, bool):
            raise MalformedInput(f"policy: {name}: expected true or false", field=name)
        return value
    if declared == "int":
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
            raise MalformedInput(f"policy: {name}: expected a whole number from 0", field=name)
        return value
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise MalformedInput(f"policy: {name}: expected a list of text", field=name)
    return tuple(sorted(set(value)))


def _check_closed(name: str, values: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    for value in values:
        if value not in allowed:
            raise MalformedInput(f"policy: {name}: expected one of {', '.join(allowed)}, got {value!r}", field=name)


def _check_hex(name: str, value: str, length: int) -> None:
    if len(value) != length or any(character not in "0123456789abcdef" for character in value):
        raise MalformedInput(f"policy: {name}: expected {length} lower-case hex characters", field=name)
