"""Appraisal: evidence + endorsements + policy + reference values + time → verdict, or a refusal that names the rule.

Trust level: trusted, pure. Used by registry, client, and enclaves that hand over keys: each appraises for itself.
Steps, tagged below: 1 kind allowed · 2 statement genuine · 3 report data binds the attested data · 4 measurement is a
reference value · 5 security version. (For `sgx-dcap`, step 2 is the quote's chain, TCB status, advisories and ages.)
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from cloister.errors import Refused

from .evidence import (
    KIND_SIMULATION,
    ROLE_CHAINCODE,
    ROLE_LEDGER,
    AttestedData,
    Endorsements,
    Evidence,
    compute_report_data,
    decode_attested_data,
)
from .policy import AppraisalPolicy, ReferenceValues
from .simulation import verify_statement


@dataclass(frozen=True, slots=True)
class Verdict:
    """The attestation result. `status` is the TCB status, or the word `Simulated`; `attested` may be believed now."""

    kind: str
    measurement: bytes
    svn: int
    status: str
    advisories: tuple[str, ...]
    policy_id: bytes
    evidence_id: bytes
    attested: AttestedData

    @property
    def simulated(self) -> bool:
        """True if no hardware stands behind the evidence. Every tool that shows a verdict says so."""
        return self.kind == KIND_SIMULATION


def appraise(
    evidence: Evidence,
    endorsements: Endorsements,
    policy: AppraisalPolicy,
    reference_values: ReferenceValues,
    *,
    now_s: int,
) -> Verdict:
    """Judge evidence. `now_s` is seconds since 1970, used for the age of collateral only.

    Raises: Refused (reason: kind, simulation-authority, statement, report-data, measurement, svn, policy);
        MalformedInput.
    Not here: whether channel, chaincode or keys are the expected ones: `require_binding`.
    """
    # 1 — chosen by the relying party's policy, never by the message alone
    if evidence.kind not in policy.kinds or endorsements.kind != evidence.kind:
        raise Refused(
            f"evidence refused: kind {evidence.kind} is not accepted by the policy (accepted: "
            f"{', '.join(policy.kinds) or 'none'})",
            reason="kind",
        )
    if evidence.kind != KIND_SIMULATION:
        del now_s
        raise Refused(f"evidence refused: kind {evidence.kind} cannot be verified by this version yet", reason="kind")
    # 2
    authorities = frozenset(bytes.fromhex(authority) for authority in policy.simulation_authorities)
    statement = verify_statement(evidence.statement, authorities)
    # 3
    expected = compute_report_data(evidence.kind, evidence.attested_data)
    if not hmac.compare_digest(expected, statement.report_data):
        raise Refused("evidence refused: the statement is about other attested data", reason="report-data")
    attested = decode_attested_data(evidence.attested_data)
    # 4
    if statement.measurement not in _accepted(attested.role, reference_values):
        raise Refused(
            f"evidence refused: measurement {statement.measurement.hex()} is not accepted",
            reason="measurement",
            hint="the measurement must equal the version of the committed chaincode definition",
        )
    # 5
    if statement.svn < policy.min_isv_svn:
        raise Refused(f"evidence refused: SVN {statement.svn} is below {policy.min_isv_svn}", reason="svn")
    # The enclave must itself live by the same policy, else a host could give it one of its own.
    if attested.policy_id != policy.policy_id:
        raise Refused("evidence refused: the enclave was given another appraisal policy", reason="policy")
    return Verdict(
        kind=evidence.kind,
        measurement=statement.measurement,
        svn=statement.svn,
        status="Simulated",
        advisories=(),
        policy_id=policy.policy_id,
        evidence_id=evidence.evidence_id,
        attested=attested,
    )


def _accepted(role: str, reference_values: ReferenceValues) -> frozenset[bytes]:
    if role == ROLE_CHAINCODE:
        return reference_values.chaincode
    if role == ROLE_LEDGER:
        return reference_values.ledger
    return frozenset()


@dataclass(frozen=True, slots=True)
class Binding:
    """Where evidence must belong: one channel (by genesis block hash, 32 bytes), chaincode, sequence and registry."""

    channel: str
    genesis_hash: bytes
    chaincode: str
    sequence: int
    registry: str
    role: str = ROLE_CHAINCODE


def require_binding(verdict: Verdict, binding: Binding) -> None:
    """Check that appraised evidence belongs to this channel, chaincode and definition sequence.

    Raises: Refused(reason="binding") naming the field that differs.
    """
    attested = verdict.attested
    for name, expected, found in (
        ("role", binding.role, attested.role),
        ("channel", binding.channel, attested.channel),
        ("genesis hash", binding.genesis_hash, attested.genesis_hash),
        ("chaincode", binding.chaincode, attested.chaincode),
        ("sequence", binding.sequence, attested.sequence),
        ("registry", binding.registry, attested.registry),
    ):
        if expected != found:
            raise Refused(f"evidence refused: it was made for another {name}", reason="binding")
