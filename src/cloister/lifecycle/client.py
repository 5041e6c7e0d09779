"""Install, approve, commit and query through a peer's Gateway and Endorser services.

Source: Fabric 2.5.9 core/chaincode/lifecycle/scc.go (functions and arguments of `_lifecycle`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fabric_protos.peer import collection_pb2, policy_pb2, proposal_response_pb2
from fabric_protos.peer.lifecycle import lifecycle_pb2

from cloister.errors import UsageError
from cloister.fabric.decoding import decode_message
from cloister.fabric.proposal import build_proposal, encode_signed_proposal
from cloister.gateway import EndorseError, EvaluateError, Gateway, GatewayError, Network, new_nonce
from cloister.gateway.rpc import call_unary, decode_answer
from cloister.gateway.session import now_ns

from .errors import LifecycleError
from .package import compute_package_id
from .policy_dsl import parse_policy_expression

LIFECYCLE = "_lifecycle"
INSTALL_DEADLINE_S = 60.0
USABLE_TIMEOUT_S = 30.0
_POLL_S = 0.05
_OK = 200
_Message = TypeVar("_Message", bound=Any)


@dataclass(frozen=True, slots=True)
class ChaincodeDefinition:
    """What the organisations agree on.

    `signature_policy` in the CLI's notation, or `channel_policy` the path of a channel policy; neither: the channel's
    default. `collections` is a serialised `protos.CollectionConfigPackage`.
    """

    name: str
    version: str
    sequence: int = 1
    signature_policy: str = ""
    channel_policy: str = ""
    collections: bytes = b""
    init_required: bool = False

    def fields(self) -> dict[str, Any]:
        """The fields that approval, readiness and commit have in common. Raises: UsageError, MalformedInput."""
        if self.signature_policy and self.channel_policy:
            raise UsageError("endorsement policy: expected a signature policy or a channel policy, got both")
        parameter = b""
        if self.channel_policy:
            reference = policy_pb2.ApplicationPolicy(channel_config_policy_reference=self.channel_policy)
            parameter = reference.SerializeToString()
        elif self.signature_policy:
            application = policy_pb2.ApplicationPolicy()
            application.signature_policy.ParseFromString(parse_policy_expression(self.signature_policy))
            parameter = application.SerializeToString()
        fields: dict[str, Any] = {
            "name": self.name,
            "version": self.version,
            "sequence": self.sequence,
            "validation_parameter": parameter,
            "init_required": self.init_required,
        }
        if self.collections:
            fields["collections"] = decode_message(
                collection_pb2.CollectionConfigPackage(), self.collections, "collection configuration"
            )
        return fields


class Lifecycle:
    """Lifecycle operations of one administrator at that organisation's peer."""

    def __init__(self, gateway: Gateway, channel: str) -> None:
        self._gateway = gateway
        self._network: Network = gateway.network(channel)
        self._msp_id = gateway.identity.msp_id

    async def install(self, package: bytes, label: str) -> str:
        """Install a package on the peer; the package id. Installing it again is harmless. Raises: GatewayError."""
        package_id = compute_package_id(label, package)
        if package_id in await self.query_installed():
            return package_id
        arguments = lifecycle_pb2.InstallChaincodeArgs(chaincode_install_package=package)
        result = await self._endorse_at_peer("InstallChaincode", arguments, lifecycle_pb2.InstallChaincodeResult())
        installed: str = result.package_id
        return installed

    async def query_installed(self) -> tuple[str, ...]:
        """Package ids installed on the peer."""
        result = await self._endorse_at_peer(
            "QueryInstalledChaincodes",
            lifecycle_pb2.QueryInstalledChaincodesArgs(),
            lifecycle_pb2.QueryInstalledChaincodesResult(),
        )
        return tuple(item.package_id for item in result.installed_chaincodes)

    async def approve(self, definition: ChaincodeDefinition, package_id: str = "") -> None:
        """Approve for this organisation; without package id: it will not run the chaincode itself."""
        arguments = lifecycle_pb2.ApproveChaincodeDefinitionForMyOrgArgs(**definition.fields())
        if package_id:
            arguments.source.local_package.package_id = package_id
        else:
            arguments.source.unavailable.SetInParent()
        await self._submit("ApproveChaincodeDefinitionForMyOrg", arguments, [self._msp_id])

    async def query_approved(self, name: str, sequence: int) -> tuple[str, str] | None:
        """(version, package id) that this organisation approved for a sequence, or None. No package: "".

        To approve exactly the same again writes nothing, and such a transaction is not valid (Fabric 2.5.9
        core/chaincode/lifecycle/lifecycle.go: only what changes is written).
        """
        arguments = lifecycle_pb2.QueryApprovedChaincodeDefinitionArgs(name=name, sequence=sequence)
        try:
            result = await self._evaluate(
                "QueryApprovedChaincodeDefinition", arguments, lifecycle_pb2.QueryApprovedChaincodeDefinitionResult()
            )
        except EvaluateError as error:
            if "could not fetch approved chaincode definition" in error.message:
                return None
            raise
        return result.version, result.source.local_package.package_id

    async def check_commit_readiness(self, definition: ChaincodeDefinition) -> dict[str, bool]:
        """MSP ID → has it approved exactly this definition?"""
        arguments = lifecycle_pb2.CheckCommitReadinessArgs(**definition.fields())
        result = await self._evaluate("CheckCommitReadiness", arguments, lifecycle_pb2.CheckCommitReadinessResult())
        return dict(result.approvals)

    async def commit(self, definition: ChaincodeDefinition, organizations: Sequence[str] = ()) -> None:
        """Commit a definition that enough organisations approved; `organizations` (MSP IDs) endorse the commit."""
        arguments = lifecycle_pb2.CommitChaincodeDefinitionArgs(**definition.fields())
        await self._submit("CommitChaincodeDefinition", arguments, list(organizations))

    async def query_committed(self, name: str) -> ChaincodeDefinition | None:
        """Name, version and sequence of the committed definition, or None."""
        arguments = lifecycle_pb2.QueryChaincodeDefinitionArgs(name=name)
        try:
            result = await self._evaluate(
                "QueryChaincodeDefinition", arguments, lifecycle_pb2.QueryChaincodeDefinitionResult()
            )
        except EvaluateError as error:
            if "is not defined" in error.message:
                return None
            raise
        return ChaincodeDefinition(name, result.version, result.sequence, init_required=result.init_required)

    async def _submit(self, function: str, arguments: Any, organizations: list[str]) -> None:
        await self._network.contract(LIFECYCLE).submit(
            function, arguments=[arguments.SerializeToString()], endorsing_organizations=organizations
        )

    async def _evaluate(self, function: str, arguments: Any, result: _Message) -> _Message:
        encoded = await self._network.contract(LIFECYCLE).evaluate(
            function, arguments=[arguments.SerializeToString()], endorsing_organizations=[self._msp_id]
        )
        return decode_answer(result, encoded, error=EvaluateError, endpoint=self._gateway.session.endpoint)

    async def _endorse_at_peer(self, function: str, arguments: Any, result: _Message) -> _Message:
        """Call `_lifecycle` without a channel: the Gateway service cannot, the Endorser service can."""
        session = self._gateway.session
        proposal = build_proposal(
            channel="",
            chaincode=LIFECYCLE,
            arguments=[function.encode(), arguments.SerializeToString()],
            creator=session.identity.creator,
            nonce=new_nonce(),
            timestamp_ns=now_ns(),
        )
        answer = await call_unary(
            session.channel,
            "/protos.Endorser/ProcessProposal",
            encode_signed_proposal(proposal.encoded, await session.sign(proposal.encoded)),
            deadline_s=INSTALL_DEADLINE_S,
            error=EndorseError,
            endpoint=session.endpoint,
            transaction_id=proposal.transaction_id,
        )
        response = decode_answer(
            proposal_response_pb2.ProposalResponse(), answer, error=EndorseError, endpoint=session.endpoint
        ).response
        if response.status != _OK:
            raise LifecycleError(f"{function} refused by {session.endpoint}: {response.message}")
        return decode_answer(result, response.payload, error=EndorseError, endpoint=session.endpoint)


async def wait_until_usable(call: Callable[[], Awaitable[object]], *, timeout_s: float = USABLE_TIMEOUT_S) -> None:
    """Repeat a harmless call until peers know of a new definition everywhere.

    For some seconds after a commit the Gateway answers that no combination of peers satisfies the policy, until gossip
    has told; or their endorsements differ, while a peer lacks the last block. Raises: LifecycleError after `timeout_s`
    seconds; any other error at once.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            await call()
        except GatewayError as error:
            if not _will_pass(error.message):
                raise
            if time.monotonic() > deadline:
                raise LifecycleError(f"not usable within {timeout_s:.0f} s: {error.message}") from error
            await asyncio.sleep(_POLL_S)
        else:
            return


def _will_pass(message: str) -> bool:
    return any(
        text in message
        for text in (
            "no combination of peers can be derived",
            "no peers available to evaluate",
            "No metadata was found",
            "failed to find any endorsing peers",
            "ProposalResponsePayloads do not match",
        )
    )
