"""Whom a client seals to: the registry's word, appraised by the client's own policy.

The registry is a bulletin board. Nothing it says is used before the evidence behind it has been appraised here and
found to belong to the channel (genesis hash), the chaincode and the measurement that this client pins.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from dataclasses import dataclass

from cloister.errors import MalformedInput, Refused
from cloister.trusted.attest.appraise import Binding, Verdict, appraise, require_binding
from cloister.trusted.attest.evidence import decode_endorsements, decode_evidence
from cloister.trusted.attest.policy import AppraisalPolicy, ReferenceValues
from cloister.trusted.protocol.key_set import KeySetDescriptor, verify_descriptor


@dataclass(frozen=True, slots=True)
class Trust:
    """What one client believes in. It comes from the client's own files, never from the channel.

    genesis_hash: 32 bytes, header hash of block 0. measurements: accepted ones of the chaincode; ledger_measurements:
    of the ledger enclave that the chaincode enclaves obey; 32 bytes each.
    """

    policy: AppraisalPolicy
    genesis_hash: bytes
    measurements: frozenset[bytes]
    ledger_measurements: frozenset[bytes]
    registry: str = "registry"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A verified key set, the verdict on the enclave that made it, and the registry's answer that showed both."""

    descriptor: KeySetDescriptor
    verdict: Verdict
    answer: bytes


def verify_credentials(answer: bytes, *, channel: str, chaincode: str, trust: Trust) -> Credentials:
    """Verify the registry's answer to `get_key_set` (JSON).

    Steps: 1 the definition is confidential and has a key set, by an enclave that is not revoked · 2 its measurement is
    pinned · 3 the maker's evidence holds under the client's policy · 4 and belongs to this channel, chaincode and
    sequence, and obeys a pinned ledger enclave · 5 the maker's attested key signed the descriptor · 6 which says the
    same as the attested data.
    Raises: Refused (reason: not-initialised, revoked, measurement, binding, ledger-measurement, descriptor, those of
        `appraise`); MalformedInput.
    """
    document = _parse(answer)
    if not document["descriptor"]:  # 1
        raise Refused(
            f"chaincode {chaincode} is not initialised: no enclave has published its keys",
            reason="not-initialised",
            hint="run `cloister init` at each organisation",
        )
    if document.get("revoked"):
        raise Refused(
            f"chaincode {chaincode}: the enclave that made its keys was revoked",
            reason="revoked",
            hint="the organisations commit the same definition anew: another enclave makes the next keys",
        )
    measurement = _hex(document["version"], "version")
    if measurement not in trust.measurements:  # 2
        pinned = ", ".join(sorted(item.hex() for item in trust.measurements)) or "none"
        raise Refused(
            f"wrong measurement: expected {pinned}, the committed definition says {measurement.hex()}",
            reason="measurement",
            hint="compare with `cloister chaincode measure`; pin the new one only if you trust that code",
        )
    verdict = appraise(  # 3
        decode_evidence(_base64(document["evidence"], "evidence")),
        decode_endorsements(_base64(document["endorsements"], "endorsements")),
        trust.policy,
        ReferenceValues(chaincode=frozenset({measurement})),
        now_s=int(time.time()),
    )
    sequence = _integer(document["sequence"])
    require_binding(verdict, Binding(channel, trust.genesis_hash, chaincode, sequence, trust.registry))  # 4
    if verdict.attested.ledger_measurement not in trust.ledger_measurements:
        raise Refused(
            f"wrong measurement of the ledger enclave: {verdict.attested.ledger_measurement.hex()} is not pinned",
            reason="ledger-measurement",
            hint="compare with `cloister ledger measure`; pin the new one only if you trust that code",
        )
    descriptor = verify_descriptor(  # 5
        _base64(document["descriptor"], "descriptor"),
        signing_key=verdict.attested.signing_key,
        maker=verdict.evidence_id,
    )
    claimed = (
        descriptor.genesis_hash,
        descriptor.channel,
        descriptor.chaincode,
        descriptor.sequence,
        descriptor.measurement,
        descriptor.key_set_id,
    )
    attested = verdict.attested
    if claimed != (trust.genesis_hash, channel, chaincode, sequence, measurement, attested.key_set_id):  # 6
        raise Refused("key set refused: it differs from its maker's evidence", reason="descriptor")
    return Credentials(descriptor, verdict, answer)


def _parse(answer: bytes) -> dict[str, object]:
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise MalformedInput("registry: answer is not JSON", field="registry") from error
    names = ("sequence", "version", "descriptor", "evidence", "endorsements")
    if not isinstance(document, dict) or any(name not in document for name in names):
        raise MalformedInput("registry: answer is incomplete", field="registry")
    return document


def _base64(value: object, what: str) -> bytes:
    try:
        return base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedInput(f"registry: {what}: not base64", field=what) from error


def _hex(value: object, what: str) -> bytes:
    try:
        return bytes.fromhex(str(value))
    except ValueError as error:
        raise MalformedInput(f"registry: {what}: not hex", field=what) from error


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**63:
        raise MalformedInput("registry: sequence: not a positive number", field="sequence")
    return value
