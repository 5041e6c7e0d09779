"""A provisioned enclave's own facts, and whom it accepts: siblings that hold or get the keys, its ledger enclave.

Trust level: trusted, pure. Everything by the one appraisal policy that its own evidence names.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloister.errors import Refused
from cloister.trusted.attest.appraise import Binding, Verdict, appraise, require_binding
from cloister.trusted.attest.evidence import (
    ROLE_LEDGER,
    AttestedData,
    Endorsements,
    Evidence,
    decode_endorsements,
    decode_evidence,
)
from cloister.trusted.attest.identity_keys import IdentityKeys
from cloister.trusted.attest.policy import ReferenceValues, parse_policy
from cloister.trusted.attest.session import Counterpart, Party


@dataclass(frozen=True, slots=True)
class Member:
    """`policy` is the appraisal policy's JSON."""

    keys: IdentityKeys
    evidence: Evidence
    attested: AttestedData
    policy: bytes

    @property
    def party(self) -> Party:
        """This enclave as one side of a session."""
        return Party(
            evidence=self.evidence.encode(),
            endorsements=Endorsements(self.evidence.kind, b"").encode(),
            signing_key=self.keys.signing_key,
            hpke_key=self.keys.hpke_key,
        )

    def appraise_ledger(self, evidence: bytes, endorsements: bytes) -> Counterpart:
        """The keys of a ledger enclave of this channel, of the measurement that this enclave was told to obey.

        Raises: Refused; MalformedInput.
        """
        own = self.attested
        verdict = appraise(
            decode_evidence(evidence),
            decode_endorsements(endorsements),
            parse_policy(self.policy),
            ReferenceValues(ledger=frozenset({own.ledger_measurement})),
            now_s=0,  # the time comes from the ledger enclave itself; registry and clients judge the age of collateral
        )
        require_binding(verdict, Binding(own.channel, own.genesis_hash, "", 0, own.registry, role=ROLE_LEDGER))
        return Counterpart(verdict.attested.signing_key, verdict.attested.hpke_key)

    def appraise_sibling(
        self, evidence: bytes, endorsements: bytes, *, sequence: int, measurement: bytes, now_s: int
    ) -> Verdict:
        """An enclave of the same chaincode, with this sequence and measurement, under the same rules as this one.

        Raises: Refused; MalformedInput.
        """
        own = self.attested
        verdict = appraise(
            decode_evidence(evidence),
            decode_endorsements(endorsements),
            parse_policy(self.policy),
            ReferenceValues(chaincode=frozenset({measurement})),
            now_s=now_s,
        )
        require_binding(verdict, Binding(own.channel, own.genesis_hash, own.chaincode, sequence, own.registry))
        if verdict.attested.upgrade_policy_hash != own.upgrade_policy_hash:
            raise Refused("evidence refused: another upgrade policy", reason="binding")
        if verdict.attested.ledger_measurement != own.ledger_measurement:
            raise Refused("evidence refused: another ledger enclave", reason="binding")
        return verdict
