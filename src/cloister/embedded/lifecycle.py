"""`_lifecycle`: install, approve, commit, query.

Source: Fabric 2.5.9 core/chaincode/lifecycle/{scc,lifecycle}.go, core/aclmgmt/defaultaclprovider.go. Answers and error
texts are Fabric's, for clients read them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from fabric_protos.peer.lifecycle import lifecycle_pb2

from cloister.errors import MalformedInput
from cloister.fabric.decoding import decode_message
from cloister.trusted.ledger.msp import MspManager
from cloister.trusted.ledger.policies import compile_envelope

from . import definitions as kept
from .access import AccessDenied, check_administrator, check_policy
from .definitions import DEFINITION, LOCAL_PACKAGE, NAMESPACES, PARAMETERS, SOURCES, Definition, OrganisationPlace
from .errors import ExecutionFailed, SimulationFailed
from .invocation import Invocation
from .packages import PackageInvalid
from .peer import Peer
from .simulation import Simulation

NAME = re.compile(r"[a-zA-Z0-9]+([-_][a-zA-Z0-9]+)*")
VERSION = re.compile(r"[A-Za-z0-9_.+-]+")
COLLECTION = re.compile(r"[A-Za-z0-9-]+([A-Za-z0-9_-]+)*")
SYSTEM = frozenset({"cscc", "escc", "lscc", "qscc", "vscc"})
WRITERS = "/Channel/Application/Writers"
NOT_FOUND = 404
Answer = tuple[int, str, bytes]
"""Status, message, payload."""


class _NotFound(Exception):
    """Answered with status 404."""


async def invoke_lifecycle(
    peer: Peer, invocation: Invocation, simulation: Simulation | None, arguments: Sequence[bytes]
) -> Answer:
    """Run one function of `_lifecycle` at a peer."""
    if len(arguments) != 2:
        return 500, f"lifecycle scc operations require exactly two arguments but received {len(arguments)}", b""
    function = arguments[0].decode(errors="replace")
    entry = _FUNCTIONS.get(function)
    if entry is None:
        return 500, f"failed to invoke backing implementation of '{function}': no such function", b""
    kind, access, run = entry
    try:
        access(peer, invocation)
    except AccessDenied as denied:
        return 500, f"Failed to authorize invocation due to failed ACL check: {denied}", b""
    try:
        request = decode_message(kind(), arguments[1], function)
        result = await run(_Call(peer, simulation), request)
    except _NotFound as error:
        return NOT_FOUND, str(error), b""
    except (MalformedInput, SimulationFailed, ExecutionFailed, PackageInvalid) as error:
        return 500, f"failed to invoke backing implementation of '{function}': {error}", b""
    return 200, "", result.SerializeToString(deterministic=True)


class _Call:
    def __init__(self, peer: Peer, simulation: Simulation | None) -> None:
        self.peer = peer
        self._simulation = simulation

    @property
    def simulation(self) -> Simulation:
        if self._simulation is None:
            raise ExecutionFailed("cannot invoke this function without a channel")
        return self._simulation

    @property
    def public(self) -> kept.PublicPlace:
        return kept.PublicPlace(self.simulation)

    @property
    def own(self) -> OrganisationPlace:
        return OrganisationPlace(self.simulation, self.peer.msp_id)

    def approvals(self, name: str, definition: Definition) -> dict[str, bool]:
        """MSP ID → whether it approved exactly this."""
        msp_ids = self.peer.ledger.config.organizations
        return {item: kept.is_approved(OrganisationPlace(self.simulation, item), name, definition) for item in msp_ids}

    def validate(self, request: Any) -> None:
        """Names, version and collections of a new definition."""
        problem = _problem(request, self.peer.ledger.config.msps)
        if problem:
            raise ExecutionFailed(f"error validating chaincode definition: {problem}")
        # A peer reads the current definition here, and where there is none, whether the old lifecycle had one.
        if kept.read_metadata(self.public, NAMESPACES, request.name) is None:
            self.simulation.get("lscc", request.name)
            return
        current = kept.read_definition(self.public, request.name).collections
        _check_unchanged(current, request.collections)


async def _install(call: _Call, request: Any) -> Any:
    package = call.peer.packages.install(request.chaincode_install_package)
    return lifecycle_pb2.InstallChaincodeResult(package_id=package.package_id, label=package.label)


async def _query_installed(call: _Call, request: Any) -> Any:
    package = call.peer.packages.find(request.package_id)
    if package is None:
        raise _NotFound(f"could not find chaincode with package id '{request.package_id}'")
    result = lifecycle_pb2.QueryInstalledChaincodeResult(package_id=package.package_id, label=package.label)
    for name, version in call.peer.references(package.package_id):
        result.references[call.peer.ledger.channel].chaincodes.add(name=name, version=version)
    return result


async def _query_all_installed(call: _Call, request: Any) -> Any:
    del request
    result = lifecycle_pb2.QueryInstalledChaincodesResult()
    for package in call.peer.packages.all():
        item = result.installed_chaincodes.add(package_id=package.package_id, label=package.label)
        for name, version in call.peer.references(package.package_id):
            item.references[call.peer.ledger.channel].chaincodes.add(name=name, version=version)
    return result


async def _get_package(call: _Call, request: Any) -> Any:
    encoded = call.peer.packages.encoded(request.package_id)
    if encoded is None:
        raise _NotFound(f"chaincode install package '{request.package_id}' not found")
    return lifecycle_pb2.GetInstalledChaincodePackageResult(chaincode_install_package=encoded)


async def _approve(call: _Call, request: Any) -> Any:
    call.validate(request)
    definition, name = Definition.of(request), request.name
    package_id = request.source.local_package.package_id
    current = kept.read_sequence(call.public, name)
    _check_sequence(definition.sequence, current)
    if definition.sequence == current:
        kept.read_metadata(call.public, NAMESPACES, name)
        if kept.read_definition(call.public, name).parameters() != definition.parameters():
            raise ExecutionFailed(
                f"attempted to redefine the current committed sequence ({current}) for namespace {name} with different "
                "parameters"
            )
    elif _same_approval(call, name, definition, package_id):
        raise ExecutionFailed(
            f"attempted to redefine uncommitted sequence ({definition.sequence}) for namespace {name} with unchanged "
            "content"
        )
    private_name = f"{name}#{definition.sequence}"
    kept.write_structure(call.own, NAMESPACES, private_name, PARAMETERS, definition.parameters())
    kept.write_structure(call.own, SOURCES, private_name, LOCAL_PACKAGE, kept.package_field(package_id))
    return lifecycle_pb2.ApproveChaincodeDefinitionForMyOrgResult()


async def _query_approved(call: _Call, request: Any) -> Any:
    name, sequence = request.name, request.sequence
    if not sequence:
        sequence = kept.read_sequence(call.public, name)
        if kept.read_metadata(call.own, NAMESPACES, f"{name}#{sequence + 1}") is not None:
            sequence += 1
    if kept.read_metadata(call.own, NAMESPACES, f"{name}#{sequence}") is None:
        raise ExecutionFailed(
            f"could not fetch approved chaincode definition (name: '{name}', sequence: '{request.sequence}') "
            f"on channel '{call.peer.ledger.channel}'"
        )
    result = lifecycle_pb2.QueryApprovedChaincodeDefinitionResult(
        **_described(kept.read_approval(call.own, name, sequence))
    )
    package_id = kept.read_field(call.own, SOURCES, f"{name}#{sequence}", "PackageID").String
    if package_id:
        result.source.local_package.package_id = package_id
    else:
        result.source.unavailable.SetInParent()
    return result


async def _check_readiness(call: _Call, request: Any) -> Any:
    return lifecycle_pb2.CheckCommitReadinessResult(approvals=_readiness(call, request.name, Definition.of(request)))


async def _commit(call: _Call, request: Any) -> Any:
    call.validate(request)
    definition = Definition.of(request)
    approvals = _readiness(call, request.name, definition)
    kept.write_structure(call.public, NAMESPACES, request.name, DEFINITION, definition.fields())
    if not approvals.get(call.peer.msp_id):
        raise ExecutionFailed(f"chaincode definition not agreed to by this org ({call.peer.msp_id})")
    return lifecycle_pb2.CommitChaincodeDefinitionResult()


async def _query_defined(call: _Call, request: Any) -> Any:
    if kept.read_metadata(call.public, NAMESPACES, request.name) is None:
        raise _NotFound(f"namespace {request.name} is not defined")
    definition = kept.read_definition(call.public, request.name)
    approvals = call.approvals(request.name, definition)
    return lifecycle_pb2.QueryChaincodeDefinitionResult(**_described(definition), approvals=approvals)


async def _query_all_defined(call: _Call, request: Any) -> Any:
    del request
    result = lifecycle_pb2.QueryChaincodeDefinitionsResult()
    prefix = kept.metadata_key(NAMESPACES, "")
    scan = call.simulation.scan("_lifecycle", prefix, prefix + "\U0010ffff")
    names = []
    while (item := scan.next()) is not None:
        names.append(item[0].removeprefix(prefix))
    for name in names:
        result.chaincode_definitions.add(name=name, **_described(kept.read_definition(call.public, name)))
    return result


def _readiness(call: _Call, name: str, definition: Definition) -> dict[str, bool]:
    current = kept.read_sequence(call.public, name)
    if definition.sequence != current + 1:
        raise ExecutionFailed(
            f"requested sequence is {definition.sequence}, but new definition must be sequence {current + 1}"
        )
    return call.approvals(name, definition)


def _same_approval(call: _Call, name: str, definition: Definition, package_id: str) -> bool:
    """Whether the organisation has approved this very definition already, with this package."""
    private_name = f"{name}#{definition.sequence}"
    if kept.read_metadata(call.own, NAMESPACES, private_name) is None:
        return False
    if kept.read_approval(call.own, name, definition.sequence).parameters() != definition.parameters():
        return False
    if kept.read_metadata(call.own, SOURCES, private_name) is None:
        return False
    return bool(kept.read_field(call.own, SOURCES, private_name, "PackageID").String == package_id)


def _check_sequence(requested: int, current: int) -> None:
    if requested == current == 0:
        raise ExecutionFailed("requested sequence is 0, but first definable sequence number is 1")
    if requested < current:
        raise ExecutionFailed(f"currently defined sequence {current} is larger than requested sequence {requested}")
    if requested > current + 1:
        raise ExecutionFailed(
            f"requested sequence {requested} is larger than the next available sequence number {current + 1}"
        )


def _problem(request: Any, msps: MspManager) -> str:
    if not NAME.fullmatch(request.name):
        return (
            f"invalid chaincode name '{request.name}'. Names can only consist of alphanumerics, '_', and '-' and can "
            "only begin with alphanumerics"
        )
    if request.name in SYSTEM:
        return f"chaincode name '{request.name}' is the name of a system chaincode"
    if not VERSION.fullmatch(request.version):
        return (
            f"invalid chaincode version '{request.version}'. Versions can only consist of alphanumerics, '_', '-', "
            "'+', and '.'"
        )
    return _collections_problem(request.collections, msps)


def _collections_problem(collections: Any, msps: MspManager) -> str:
    seen = set()
    for item in collections.config:
        static = item.static_collection_config
        where = f"collection-name: {static.name} --"
        if not COLLECTION.fullmatch(static.name):
            return (
                f"invalid collection name '{static.name}'. Names can only consist of alphanumerics, '_', and '-' and "
                "cannot begin with '_'"
            )
        if static.name in seen:
            return f"{where} found duplicate in collection configuration"
        seen.add(static.name)
        if static.required_peer_count < 0 or static.maximum_peer_count < static.required_peer_count:
            return (
                f"{where} maximum peer count ({static.maximum_peer_count}) cannot be less than the required peer count "
                f"({static.required_peer_count})"
            )
        problem = _members_problem(static, msps)
        if problem:
            return f"{where} {problem}"
    return ""


def _members_problem(static: Any, msps: MspManager) -> str:
    if not static.member_orgs_policy.HasField("signature_policy"):
        return "collection member policy is not set"
    try:
        compile_envelope(static.member_orgs_policy.signature_policy, msps)
    except MalformedInput as error:
        return f"error in member org policy: {error.message}"
    return ""


def _check_unchanged(current: Any, wanted: Any) -> None:
    """Collections may come, but not go or change their life time."""
    new = {item.static_collection_config.name: item.static_collection_config for item in wanted.config}
    for item in current.config:
        old = item.static_collection_config
        if old.name not in new:
            raise ExecutionFailed(
                "error validating chaincode definition: the proposed collection config does not contain previously "
                f"defined collection: {old.name}"
            )
        if old.block_to_live != new[old.name].block_to_live:
            raise ExecutionFailed(
                f"error validating chaincode definition: the BlockToLive in an existing collection [{old.name}] "
                f"modified. Existing value [{old.block_to_live}]"
            )


def _described(definition: Definition) -> dict[str, Any]:
    return {
        "sequence": definition.sequence,
        "version": definition.endorsement.version,
        "endorsement_plugin": definition.endorsement.endorsement_plugin,
        "validation_plugin": definition.validation.validation_plugin,
        "validation_parameter": definition.validation.validation_parameter,
        "init_required": definition.endorsement.init_required,
        "collections": definition.collections,
    }


def _by_writer(peer: Peer, invocation: Invocation) -> None:
    check_policy(peer.ledger, WRITERS, [invocation.signed_item])


def _by_administrator(peer: Peer, invocation: Invocation) -> None:
    check_administrator(peer.ledger, peer.msp_id, [invocation.signed_item])


_FUNCTIONS: dict[str, tuple[Any, Callable[[Peer, Invocation], None], Callable[[_Call, Any], Any]]] = {
    "InstallChaincode": (lifecycle_pb2.InstallChaincodeArgs, _by_administrator, _install),
    "QueryInstalledChaincode": (lifecycle_pb2.QueryInstalledChaincodeArgs, _by_administrator, _query_installed),
    "QueryInstalledChaincodes": (lifecycle_pb2.QueryInstalledChaincodesArgs, _by_administrator, _query_all_installed),
    "GetInstalledChaincodePackage": (
        lifecycle_pb2.GetInstalledChaincodePackageArgs,
        _by_administrator,
        _get_package,
    ),
    "ApproveChaincodeDefinitionForMyOrg": (
        lifecycle_pb2.ApproveChaincodeDefinitionForMyOrgArgs,
        _by_administrator,
        _approve,
    ),
    "QueryApprovedChaincodeDefinition": (
        lifecycle_pb2.QueryApprovedChaincodeDefinitionArgs,
        _by_administrator,
        _query_approved,
    ),
    "CheckCommitReadiness": (lifecycle_pb2.CheckCommitReadinessArgs, _by_writer, _check_readiness),
    "CommitChaincodeDefinition": (lifecycle_pb2.CommitChaincodeDefinitionArgs, _by_writer, _commit),
    "QueryChaincodeDefinition": (lifecycle_pb2.QueryChaincodeDefinitionArgs, _by_writer, _query_defined),
    "QueryChaincodeDefinitions": (lifecycle_pb2.QueryChaincodeDefinitionsArgs, _by_writer, _query_all_defined),
}
