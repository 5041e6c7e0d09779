"""What an enclave says about itself, bound to what the platform says about the enclave.

Trust level: trusted, pure.
`Evidence` = kind, attested data and the platform's statement. `attested_data` is carried as the exact bytes that were
hashed and is never re-encoded. Report data binds kind and attested data into the platform's statement, so a statement
of one kind can never be replayed as another.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cloister.errors import MalformedInput
from cloister.wire.framing import (
    decode_frame,
    decode_text,
    decode_u64,
    encode_frame,
    require_length,
    u32,
    u64,
)

EVIDENCE_VERSION = 1
KIND_SIMULATION = "simulation"
KIND_SGX_DCAP = "sgx-dcap"
KINDS = (KIND_SIMULATION, KIND_SGX_DCAP)
"""Every kind that this version knows; an unknown kind is refused, never skipped."""

ROLE_CHAINCODE = "chaincode"
ROLE_LEDGER = "ledger"

HASH_BYTES = 32
HPKE_KEY_BYTES = 1216
"""ML-KEM-768 encapsulation key (1184 bytes) followed by the X25519 public key (32 bytes)."""
REPORT_DATA_BYTES = 64

_TAG_EVIDENCE = b"cloister/evidence/1"
_TAG_ATTESTED = b"cloister/attested-data/1"
_TAG_REPORT = b"cloister/report-data/1"
_TAG_ID = b"cloister/evidence-id/1"
_TAG_ENDORSEMENTS = b"cloister/endorsements/1"
MAX_EVIDENCE_BYTES = 32 * 1024
MAX_COLLATERAL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class AttestedData:
    """The enclave's own claims. All of it stands under the platform's signature; none of it is believed before that.

    Lengths in bytes: genesis_hash 32, signing_key 32 (Ed25519), hpke_key 1216 (HPKE_KEY_BYTES), policy_id 32,
    upgrade_policy_hash 32, key_set_id 0 or 32, ledger_measurement 32, instance_id 16. `msp_id` is a claim of the
    host; the registering transaction's creator must be of that MSP. A ledger enclave has no chaincode (empty, 0), no
    key set, no upgrade policy (zeros), and names its own measurement as the ledger's.
    """

    role: str
    channel: str
    genesis_hash: bytes
    chaincode: str
    sequence: int
    msp_id: str
    signing_key: bytes
    hpke_key: bytes
    policy_id: bytes
    registry: str
    upgrade_policy_hash: bytes
    key_set_id: bytes
    ledger_measurement: bytes
    instance_id: bytes

    def encode(self) -> bytes:
        """Canonical bytes."""
        return encode_frame(
            _TAG_ATTESTED,
            (
                self.role.encode(),
                self.channel.encode(),
                self.genesis_hash,
                self.chaincode.encode(),
                u64(self.sequence),
                self.msp_id.encode(),
                self.signing_key,
                self.hpke_key,
                self.policy_id,
                self.registry.encode(),
                self.upgrade_policy_hash,
                self.key_set_id,
                self.ledger_measurement,
                self.instance_id,
            ),
        )


def decode_attested_data(encoded: bytes) -> AttestedData:
    """Inverse of `AttestedData.encode`. Raises: MalformedInput for any other bytes."""
    fields = decode_frame(_TAG_ATTESTED, encoded, count=14)
    return AttestedData(
        role=decode_text(fields[0], "role"),
        channel=decode_text(fields[1], "channel"),
        genesis_hash=require_length(fields[2], (HASH_BYTES,), "genesis hash"),
        chaincode=decode_text(fields[3], "chaincode"),
        sequence=decode_u64(fields[4], "sequence"),
        msp_id=decode_text(fields[5], "MSP ID"),
        signing_key=require_length(fields[6], (32,), "signing key"),
        hpke_key=require_length(fields[7], (HPKE_KEY_BYTES,), "HPKE key"),
        policy_id=require_length(fields[8], (HASH_BYTES,), "policy id"),
        registry=decode_text(fields[9], "registry"),
        upgrade_policy_hash=require_length(fields[10], (HASH_BYTES,), "upgrade policy hash"),
        key_set_id=require_length(fields[11], (0, HASH_BYTES), "key-set id"),
        ledger_measurement=require_length(fields[12], (HASH_BYTES,), "ledger measurement"),
        instance_id=require_length(fields[13], (16,), "instance id"),
    )


@dataclass(frozen=True, slots=True)
class Evidence:
    """Self-describing evidence. `statement` is the platform's: a quote, or a signed simulation statement."""

    kind: str
    attested_data: bytes
    statement: bytes

    def encode(self) -> bytes:
        """Canonical bytes."""
        return encode_frame(
            _TAG_EVIDENCE, (u32(EVIDENCE_VERSION), self.kind.encode(), self.attested_data, self.statement)
        )

    @property
    def evidence_id(self) -> bytes:
        """32 bytes that identify the attested enclave. Over the attested data, never over the malleable statement."""
        return hashlib.sha256(encode_frame(_TAG_ID, (self.kind.encode(), self.attested_data))).digest()


def decode_evidence(encoded: bytes) -> Evidence:
    """Inverse of `Evidence.encode`. Raises: MalformedInput; unknown versions and kinds are refused too."""
    if len(encoded) > MAX_EVIDENCE_BYTES:
        raise MalformedInput(f"evidence: at most {MAX_EVIDENCE_BYTES} bytes, got {len(encoded)}", field="evidence")
    version, kind, attested_data, statement = decode_frame(_TAG_EVIDENCE, encoded, count=4)
    if version != u32(EVIDENCE_VERSION):
        raise MalformedInput("evidence: unknown version", field="evidence")
    text = decode_text(kind, "evidence kind")
    if text not in KINDS:
        raise MalformedInput("evidence: unknown kind", field="evidence")
    return Evidence(text, attested_data, statement)


@dataclass(frozen=True, slots=True)
class Endorsements:
    """What is needed beside evidence to appraise it (RFC 9334: Endorsements). Empty for the kind `simulation`."""

    kind: str
    collateral: bytes

    def encode(self) -> bytes:
        """Canonical bytes."""
        return encode_frame(_TAG_ENDORSEMENTS, (self.kind.encode(), self.collateral))


def decode_endorsements(encoded: bytes) -> Endorsements:
    """Inverse of `Endorsements.encode`. Raises: MalformedInput."""
    if len(encoded) > MAX_COLLATERAL_BYTES:
        raise MalformedInput("endorsements: too long", field="endorsements")
    kind, collateral = decode_frame(_TAG_ENDORSEMENTS, encoded, count=2)
    return Endorsements(decode_text(kind, "endorsements kind"), collateral)


def compute_report_data(kind: str, attested_data: bytes) -> bytes:
    """64 bytes: SHA-256(tag, version, kind, attested data), then 32 zero bytes."""
    frame = encode_frame(_TAG_REPORT, (u32(EVIDENCE_VERSION), kind.encode(), attested_data))
    return hashlib.sha256(frame).digest() + bytes(REPORT_DATA_BYTES - HASH_BYTES)
