"""Committed definitions of confidential chaincode, and the key sets that were committed first for each of them.

A definition is confidential if its version is a measurement (64 lower-case hex digits). "First" is the first valid
write ever of the registry's key for a definition's sequence: colluding endorsers may overwrite or delete it later, that
does not count; whatever they write first instead leaves the sequence without keys. Nothing here appraises evidence:
what counts once anything was covered is signed by the result key of a key set under which something was, or of a later
one. So colluders cannot slip in a key set of their own between two definitions and cover old ciphertexts or deletes
with it: it could be read later as the chaincode's own. A key set that nothing was covered under may be passed over:
else whoever made it and keeps it for himself, or loses it, would have locked everybody out for ever.
A false first key set is of no use: an enclave uses keys only if it finds its own, id and
result key, to be the first.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from fabric_protos.peer.lifecycle import chaincode_definition_pb2, db_pb2

from cloister.errors import MalformedInput
from cloister.fabric.decoding import decode_message
from cloister.trusted.attest.evidence import decode_evidence
from cloister.trusted.protocol.key_set import KeySetDescriptor, parse_descriptor, succeeds

from .definitions import LIFECYCLE, ReadValue

KEY_SET = "key-set"
"""Object type of the registry's composite keys (KEY_SET, chaincode, sequence) → signed key-set descriptor."""
REVOKED = "revoked"
"""Object type of the registry's composite keys (REVOKED, chaincode, enclave's signing key in hex)."""
ENCLAVE = "enclave"
"""Object type of the registry's composite keys (ENCLAVE, chaincode, sequence, evidence id in hex)."""
_MEASUREMENT = re.compile(r"[0-9a-f]{64}")
_EVIDENCE = re.compile(rb'"evidence": "(?P<evidence>[A-Za-z0-9+/]+=*)"')
"""In the JSON that the registry writes for an enclave. Found, not parsed: every ledger enclave must find the same."""
_SEQUENCE_KEY = re.compile(r"namespaces/fields/(?P<name>[^/]+)/(?:Sequence|EndorsementInfo)")


@dataclass(frozen=True, slots=True)
class ConfidentialDefinition:
    """Sequence and version of a committed definition."""

    sequence: int
    version: str

    @property
    def measurement(self) -> bytes:
        """The version as measurement, b"" if it is none."""
        return bytes.fromhex(self.version) if _MEASUREMENT.fullmatch(self.version) else b""


NO_DEFINITION = ConfidentialDefinition(0, "")


def read_definition(chaincode: str, read: ReadValue) -> ConfidentialDefinition:
    """Sequence and version of a committed definition; NO_DEFINITION if there is none that can be read."""
    place = f"namespaces/fields/{chaincode}"
    sequence, info = read(LIFECYCLE, f"{place}/Sequence"), read(LIFECYCLE, f"{place}/EndorsementInfo")
    if sequence is None or info is None:
        return NO_DEFINITION
    try:
        number = decode_message(db_pb2.StateData(), sequence, "sequence").Int64
        encoded = decode_message(db_pb2.StateData(), info, "endorsement info").Bytes
        parsed = decode_message(chaincode_definition_pb2.ChaincodeEndorsementInfo(), encoded, "endorsement info")
    except MalformedInput:
        return NO_DEFINITION
    return ConfidentialDefinition(number, parsed.version) if number > 0 else NO_DEFINITION


def defined_name(key: str) -> str | None:
    """The chaincode whose sequence or version a key of `_lifecycle` holds, None if it is another key."""
    match = _SEQUENCE_KEY.fullmatch(key)
    return match["name"] if match else None


def key_set_key(chaincode: str, sequence: int) -> str:
    """The registry's key for a definition's key set: a composite key of Fabric's shims."""
    return f"\0{KEY_SET}\0{chaincode}\0{sequence}\0"


class KeySets:
    """The first write of every key-set key of the registry, and those among them that count, in the order of commit."""

    def __init__(self, genesis_hash: bytes, channel: str) -> None:
        self._genesis_hash = genesis_hash
        self._channel = channel
        self.first: dict[str, bytes] = {}
        """Registry key → the value written first, b"" for a delete."""
        self._counting: dict[str, dict[int, KeySetDescriptor]] = {}
        """Chaincode → its key sets by sequence, ascending."""
        self.used: dict[str, list[int]] = {}
        """Chaincode → the sequences under whose key sets a transaction was covered, ascending."""

    def note(self, key: str, value: bytes) -> None:
        """A committed write of a key-set key; only the first one of each key matters."""
        if key in self.first:
            return
        self.first[key] = value
        found = self._parse(key, value)
        if found is None:
            return
        line = self._counting.setdefault(found.chaincode, {})
        used = self.last_used(found.chaincode)
        before = [item for item in line.values() if item.sequence >= used]
        if found.sequence > max(line, default=0) and (
            not used or any(succeeds(value, item.result_key) for item in before)
        ):
            line[found.sequence] = found

    def use(self, chaincode: str, sequence: int) -> None:
        """A transaction was covered under this key set: what follows it must be signed by it, or by what it signed."""
        if sequence <= self.last_used(chaincode):
            return
        self.used.setdefault(chaincode, []).append(sequence)
        line = self._counting[chaincode]
        for later in [number for number in line if number > sequence]:  # counted while nothing had been covered
            if not self.follows(chaincode, later, sequence):
                del line[later]

    def last_used(self, chaincode: str) -> int:
        """The highest sequence under whose key set a transaction was covered, 0 if there is none."""
        return max(self.used.get(chaincode, ()), default=0)

    def follows(self, chaincode: str, later: int, earlier: int) -> bool:
        """Whether the key set of one sequence, which counts, was signed by that of an earlier one, which does."""
        result_key = self._counting[chaincode][earlier].result_key
        return later == earlier or succeeds(self.first[key_set_key(chaincode, later)], result_key)

    def load(self, key: str, value: bytes, *, counts: bool) -> None:
        """Take a first write over from a checkpoint, and whether it counts. Raises: MalformedInput."""
        self.first[key] = value
        if counts:
            found = parse_descriptor(value)
            self._counting.setdefault(found.chaincode, {})[found.sequence] = found

    def counts(self, key: str) -> bool:
        """Whether what was written first under a key is a key set that counts."""
        found = self._parse(key, self.first.get(key, b""))
        return found is not None and self.find(found.chaincode, found.sequence) == found

    def find(self, chaincode: str, sequence: int) -> KeySetDescriptor | None:
        """The key set of a definition's sequence that counts, None if there is none."""
        return self._counting.get(chaincode, {}).get(sequence)

    def _parse(self, key: str, value: bytes) -> KeySetDescriptor | None:
        """A descriptor of this channel, under its own key."""
        try:
            found = parse_descriptor(value)
        except MalformedInput:
            return None
        place = (found.genesis_hash, found.channel, key_set_key(found.chaincode, found.sequence))
        return found if place == (self._genesis_hash, self._channel, key) else None


def is_key_set_key(key: str) -> bool:
    """Whether a key of the registry is one for key sets."""
    return key.startswith(f"\0{KEY_SET}\0")


def enclave_key(chaincode: str, sequence: int, evidence_id: bytes) -> str:
    """The registry's key for an enclave: a composite key of Fabric's shims."""
    return f"\0{ENCLAVE}\0{chaincode}\0{sequence}\0{evidence_id.hex()}\0"


def revoked_enclave(key: str) -> tuple[str, bytes] | None:
    """(chaincode, signing key of 32 bytes) of the enclave that a key of the registry revokes, None if it is another."""
    parts = key.split("\0")
    if len(parts) != 5 or parts[:2] != ["", REVOKED] or parts[4] or not _MEASUREMENT.fullmatch(parts[3]):
        return None
    return parts[2], bytes.fromhex(parts[3])


def registered_enclave(key: str, value: bytes) -> tuple[str, bytes] | None:
    """(chaincode, evidence id of 32 bytes) of the enclave that a write of the registry registers, or None.

    The value must show the evidence itself: it is revoked by its signing key, which the id alone does not tell.
    """
    parts = key.split("\0")
    shown = _EVIDENCE.search(value)
    if len(parts) != 6 or parts[:2] != ["", ENCLAVE] or parts[5] or shown is None:
        return None
    try:
        evidence = decode_evidence(base64.b64decode(shown["evidence"], validate=True))
    except (MalformedInput, ValueError):
        return None
    return (parts[2], evidence.evidence_id) if parts[4] == evidence.evidence_id.hex() else None
