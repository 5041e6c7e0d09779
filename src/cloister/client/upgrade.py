"""Upgrades to another measurement, from outside the enclaves: approvals in files, and who waits for keys.

Who approves what is checked by the enclaves themselves (trusted/protocol/upgrade.py); here, so that a wrong file is
told as such before anything is asked.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cloister.errors import MalformedInput, Refused
from cloister.fabric.identity import decode_serialized_identity
from cloister.gateway import Identity, Signer
from cloister.trusted.protocol.upgrade import UpgradeApproval, approvers, encode_approvals

from .registry_client import RegistryClient

_FORMAT = "cloister-upgrade-approval-1"


@dataclass(frozen=True, slots=True)
class SignedApproval:
    """One administrator's approval. `identity`: serialised; `signature`: DER ECDSA over SHA-256 of the approval."""

    approval: UpgradeApproval
    identity: bytes
    signature: bytes

    @property
    def msp_id(self) -> str:
        """Whose administrator signed; that it is one, enclaves ask their ledger enclave."""
        return decode_serialized_identity(self.identity).msp_id

    def encode(self) -> bytes:
        """JSON, for a file."""
        document = {
            "format": _FORMAT,
            "genesis_hash": self.approval.genesis_hash.hex(),
            "chaincode": self.approval.chaincode,
            "sequence": self.approval.sequence,
            "measurement": self.approval.measurement.hex(),
            "msp_id": self.msp_id,
            "identity": base64.b64encode(self.identity).decode("ascii"),
            "signature": base64.b64encode(self.signature).decode("ascii"),
        }
        return json.dumps(document, indent=2, sort_keys=True).encode() + b"\n"


async def sign_approval(approval: UpgradeApproval, identity: Identity, signer: Signer) -> SignedApproval:
    """Sign as `identity`, an administrator of its organisation."""
    signature = signer(hashlib.sha256(approval.encode()).digest())
    if inspect.isawaitable(signature):
        signature = await signature
    return SignedApproval(approval, identity.creator, signature)


def parse_approval(encoded: bytes, name: str) -> SignedApproval:
    """Inverse of `SignedApproval.encode`; `name` is the file's, for messages.

    Raises: MalformedInput; Refused(reason="signature") if the signature is not of what the file says.
    """
    try:
        document: dict[str, Any] = json.loads(encoded)
        if document["format"] != _FORMAT:
            raise MalformedInput(f"{name}: not an approval of this version", field="approval")
        approval = UpgradeApproval(
            genesis_hash=bytes.fromhex(document["genesis_hash"]),
            chaincode=str(document["chaincode"]),
            sequence=int(document["sequence"]),
            measurement=bytes.fromhex(document["measurement"]),
        )
        identity = base64.b64decode(document["identity"], validate=True)
        signature = base64.b64decode(document["signature"], validate=True)
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise MalformedInput(f"{name}: not an approval", field="approval") from error
    if not approvers(encode_approvals([(identity, signature)]), approval):
        raise Refused(f"{name}: the signature does not match what is approved", reason="signature")
    return SignedApproval(approval, identity, signature)


def collect_approvals(signed: Sequence[tuple[str, SignedApproval]], expected: UpgradeApproval) -> bytes:
    """All (name, approval) of one upgrade, as enclaves take them; empty if there are none.

    Raises: Refused(reason="upgrade") naming the file that approves something else.
    """
    for name, item in signed:
        for field in ("genesis_hash", "chaincode", "sequence", "measurement"):
            found, wanted = getattr(item.approval, field), getattr(expected, field)
            if found != wanted:
                raise Refused(
                    f"{name}: approves another {field.replace('_', ' ')}: expected {_show(wanted)}, got {_show(found)}",
                    reason="upgrade",
                    hint="sign what is committed: cloister upgrade approve",
                )
    return encode_approvals([(item.identity, item.signature) for _, item in signed]) if signed else b""


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A registered enclave of the committed definition that has no keys yet. `evidence_id` in hex."""

    evidence_id: str
    msp_id: str
    evidence: bytes
    endorsements: bytes


class KeyExports:
    """Finds out who waits for the keys of an earlier definition, and posts them."""

    def __init__(self, registry: RegistryClient, chaincode: str) -> None:
        self._registry = registry
        self._chaincode = chaincode

    async def committed(self) -> tuple[int, bytes]:
        """(sequence, measurement) of the committed definition."""
        key_set = await self._registry.query("get_key_set", self._chaincode)
        return int(key_set["sequence"]), bytes.fromhex(key_set["version"])

    async def genesis_hash(self) -> bytes:
        """The channel's, as the registry has it."""
        configuration = await self._registry.query("get_configuration")
        return bytes.fromhex(configuration["genesis_hash"])

    async def waiting(self) -> tuple[Newcomer, ...]:
        """All that are registered; nobody, once the definition has keys of its own.

        Also those that were given keys already: it may have been by an enclave that had not all of them.
        """
        if (await self._registry.query("get_key_set", self._chaincode))["descriptor"]:
            return ()
        enclaves = await self._registry.query("list_enclaves", self._chaincode)
        return tuple(_newcomer(enclave["evidence_id"], enclave) for enclave in enclaves if not enclave["revoked"])

    async def newcomer(self, evidence_id: str) -> Newcomer:
        """One registered enclave of the committed definition."""
        return _newcomer(evidence_id, await self._registry.query("get_enclave", self._chaincode, evidence_id))

    async def post(self, newcomer: Newcomer, *, export: bytes, exporter: str, sequence: int) -> None:
        """Post keys that the enclave `exporter` (evidence id in hex) of definition `sequence` has wrapped."""
        encoded = base64.b64encode(export).decode("ascii")
        arguments = (self._chaincode, exporter, newcomer.evidence_id, encoded, str(sequence))
        await self._registry.submit("put_export", *arguments)


def _newcomer(evidence_id: str, enclave: dict[str, str]) -> Newcomer:
    evidence, endorsements = (base64.b64decode(enclave[name]) for name in ("evidence", "endorsements"))
    return Newcomer(evidence_id, enclave["msp_id"], evidence, endorsements)


def _show(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
