"""The host's own calls: how an administrator brings an enclave to life, through the peer, without another port.

They are ordinary chaincode calls whose first argument begins with `cloister:`; `cloister init` makes them. All of it is
public: evidence, descriptors, exports wrapped to an attested key. What the enclave needs to know about the channel the
host reads through the calling peer, in the same simulation.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fabric_protos.peer.lifecycle import lifecycle_pb2

from cloister.contract.response import Response, ResponseCode, success
from cloister.contract.server import PeerStub
from cloister.errors import CloisterError, Refused, UsageError
from cloister.fabric.identity import decode_serialized_identity
from cloister.trusted.attest.evidence import decode_evidence
from cloister.trusted.protocol.upgrade import EVERY_ORGANISATION
from cloister.wire.messages import (
    Activate,
    EnclaveMessage,
    ExportKeys,
    GetStatus,
    HostMessage,
    ImportKeys,
    KeysMade,
    MakeKeys,
    Provision,
    Provisioned,
    Sealed,
    Status,
)

from .config import HostConfig
from .key_export import ask_for_export
from .sealed_file import write_sealed

PREFIX = b"cloister:"
OPEN = b"cloister:open"
_FRESH = b"fresh"

_Reply = TypeVar("_Reply")
AskEnclave = Callable[[HostMessage], Awaitable[EnclaveMessage]]


class Control:
    """Serves the host's own calls for one enclave."""

    def __init__(self, config: HostConfig, ask: AskEnclave) -> None:
        self._config = config
        self._ask = ask

    async def handle(self, stub: PeerStub) -> Response:
        """Run one `cloister:…` call; the answer is JSON. Raises: CloisterError."""
        name, *arguments = stub.arguments
        if name == b"cloister:status":
            return await self._status()
        if name == b"cloister:export":
            return await self._export(stub, arguments)
        self._require_own_member(stub)
        if name == b"cloister:provision":
            return await self._provision(stub, fresh=arguments == [_FRESH])
        if name == b"cloister:make-keys":
            return await self._make_keys()
        if name == b"cloister:activate":
            return await self._activate()
        if name == b"cloister:import":
            return await self._import(stub)
        raise UsageError("unknown host call: expected status, provision, make-keys, activate, export or import")

    async def _status(self) -> Response:
        status = await self._ask_for(GetStatus(), Status)
        return _json(
            state=status.state,
            kind=status.kind,
            measurement=status.measurement.hex(),
            sequence=status.sequence,
            msp_id=self._config.msp_id,
            evidence=_base64(status.evidence),
            evidence_id=decode_evidence(status.evidence).evidence_id.hex() if status.evidence else "",
            key_set_id=status.key_set_id.hex(),
        )

    async def _provision(self, stub: PeerStub, *, fresh: bool) -> Response:
        """Tell the enclave where it belongs. The same definition again changes nothing, unless asked for `fresh`."""
        definition = await self._definition(stub)
        status = await self._ask_for(GetStatus(), Status)
        if definition.version != status.measurement.hex():
            raise Refused(
                f"wrong measurement: the committed definition has version {definition.version}, "
                f"this enclave measures {status.measurement.hex()}",
                reason="measurement",
                hint="run exactly the approved contract, package and interpreter, or approve this measurement",
            )
        if status.state != "new" and status.sequence == definition.sequence and not fresh:
            return _json(evidence=_base64(status.evidence), state=status.state)
        configuration = await self._registry(stub, "get_configuration")
        if not configuration["policy"]:
            raise Refused("the enclave registry is not configured", reason="registry", hint="run `cloister init`")
        message = Provision(
            channel=stub.channel,
            genesis_hash=bytes.fromhex(configuration["genesis_hash"]),
            chaincode=self._config.chaincode,
            sequence=definition.sequence,
            msp_id=self._config.msp_id,
            policy=configuration["policy"].encode(),
            registry=self._config.registry,
            upgrade_policy_hash=EVERY_ORGANISATION,
            ledger_measurement=bytes.fromhex(configuration["ledger_measurement"]),
        )
        provisioned = await self._ask_for(message, Provisioned)
        self._keep(provisioned.sealed)
        return _json(evidence=_base64(provisioned.evidence), state="provisioned")

    async def _make_keys(self) -> Response:
        made = await self._ask_for(MakeKeys(), KeysMade)
        self._keep(made.sealed)
        return _json(descriptor=_base64(made.descriptor), evidence=_base64(made.evidence))

    async def _activate(self) -> Response:
        sealed = await self._ask_for(Activate(), Sealed)
        self._keep(sealed.sealed)
        return await self._status()

    async def _export(self, stub: PeerStub, arguments: Sequence[bytes]) -> Response:
        if len(arguments) not in (1, 2):
            raise UsageError("export: expected the newcomer's evidence id and, for an upgrade, approvals")
        newcomer = await self._registry(
            stub, "get_enclave", self._config.chaincode, arguments[0].decode("ascii", "replace")
        )
        message = ExportKeys(
            evidence=base64.b64decode(newcomer["evidence"]),
            endorsements=base64.b64decode(newcomer["endorsements"]),
            upgrade=arguments[1] if len(arguments) > 1 else b"",
        )
        exported = await ask_for_export(self._ask, message)
        return _json(export=_base64(exported.export), exporter=exported.exporter, exporter_sequence=exported.sequence)

    async def _import(self, stub: PeerStub) -> Response:
        chaincode = self._config.chaincode
        status = await self._ask_for(GetStatus(), Status)
        newcomer = decode_evidence(status.evidence).evidence_id.hex() if status.evidence else ""
        posted = await self._registry(stub, "get_export", chaincode, newcomer)
        if not posted["export"]:
            raise Refused("no keys have been exported to this enclave yet", reason="export", hint="run `cloister init`")
        exporter = await self._registry(
            stub, "get_enclave", chaincode, posted["exporter"], str(posted["exporter_sequence"])
        )
        message = ImportKeys(
            export=base64.b64decode(posted["export"]),
            exporter_evidence=base64.b64decode(exporter["evidence"]),
            exporter_endorsements=base64.b64decode(exporter["endorsements"]),
        )
        sealed = await self._ask_for(message, Sealed)
        self._keep(sealed.sealed)
        return await self._status()

    def _keep(self, sealed: bytes) -> None:
        write_sealed(Path(self._config.state), sealed)

    def _require_own_member(self, stub: PeerStub) -> None:
        """A courtesy against nuisance, not a defence: the enclave itself believes no host."""
        creator = decode_serialized_identity(stub.invocation().creator)
        if creator.msp_id != self._config.msp_id:
            raise Refused(
                f"host refused: only members of {self._config.msp_id} manage this enclave, not {creator.msp_id}",
                reason="msp",
            )

    async def _definition(self, stub: PeerStub) -> Any:
        query = lifecycle_pb2.QueryChaincodeDefinitionArgs(name=self._config.chaincode).SerializeToString()
        response = await stub.invoke_chaincode("_lifecycle", [b"QueryChaincodeDefinition", query])
        if response.status != ResponseCode.OK:
            raise Refused(
                f"chaincode {self._config.chaincode} is not committed on channel {stub.channel}",
                reason="definition",
                hint="approve and commit it with the measurement as version",
            )
        definition = lifecycle_pb2.QueryChaincodeDefinitionResult()
        definition.ParseFromString(response.payload)
        return definition

    async def _registry(self, stub: PeerStub, function: str, *arguments: str) -> dict[str, str]:
        encoded = [function.encode(), *(argument.encode() for argument in arguments)]
        response = await stub.invoke_chaincode(self._config.registry, encoded)
        if response.status != ResponseCode.OK:
            raise Refused(
                f"registry {self._config.registry} refused {function}: {response.message}",
                reason="registry",
                hint="is the registry chaincode committed, and running at this organisation?",
            )
        answer: dict[str, str] = json.loads(response.payload)
        return answer

    async def _ask_for(self, message: HostMessage, kind: type[_Reply]) -> _Reply:
        reply = await self._ask(message)
        if not isinstance(reply, kind):
            raise CloisterError(f"enclave answered {type(reply).__name__}, expected {kind.__name__}")
        return reply


def _json(**fields: object) -> Response:
    return success(json.dumps(fields, sort_keys=True))


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
