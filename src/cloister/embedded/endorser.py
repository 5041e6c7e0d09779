"""Endorsing: check a proposal, run its chaincode on the committed state, sign what came of it.

Source: Fabric 2.5.9 core/endorser/endorser.go, core/chaincode/chaincode_support.go, core/handlers/endorsement/builtin.
"""

from __future__ import annotations

from typing import Any

from fabric_protos.peer import chaincode_event_pb2, chaincode_pb2, proposal_pb2, proposal_response_pb2

from cloister.trusted.ledger.definitions import LIFECYCLE

from .access import AccessDenied, check_creator, check_policy
from .chaincode_link import parse_completed
from .chaincode_requests import Context, Kind
from .definitions import Definition, PublicPlace, read_sequence
from .errors import ExecutionFailed, ProposalRefused, SimulationFailed
from .interest import SYSTEM_CHAINCODES, build_interest
from .invocation import Invocation, parse_invocation
from .lifecycle import invoke_lifecycle
from .peer import Peer
from .simulation import Results, Simulation
from .system import invoke_configuration, invoke_query

SYSTEM_VERSION = "syscc"
INITIALISED = "\x00\U0010ffffinitialized"
_WRITERS = "/Channel/Application/Writers"
_WITHOUT_STATE = frozenset({"qscc", "cscc"})
_ERROR, _ERROR_THRESHOLD = 500, 400


class Endorser:
    """One peer's."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    async def process(self, signed: Any) -> Any:
        """Answer a `protos.SignedProposal` with a `protos.ProposalResponse`. Raises: ProposalRefused."""
        invocation = parse_invocation(signed)
        if invocation.channel not in ("", self.peer.ledger.channel):
            return _failed(f"channel '{invocation.channel}' not found")
        self._check(invocation)
        try:
            if not invocation.channel or invocation.chaincode in _WITHOUT_STATE:
                return await self._answer(invocation, None)
            async with self.peer.ledger.lock.reading():
                return await self._answer(invocation, self.peer.simulate(invocation.transaction_id))
        except ExecutionFailed as error:
            return _failed(str(error))

    def _check(self, invocation: Invocation) -> None:
        ledger = self.peer.ledger
        try:
            check_creator(ledger, invocation.signed_item)
            if not invocation.channel:
                return
            if ledger.find(invocation.transaction_id) is not None:
                raise ProposalRefused(
                    f"duplicate transaction found [{invocation.transaction_id}]. Creator [{invocation.creator.hex()}]"
                )
            if invocation.chaincode not in SYSTEM_CHAINCODES:
                check_policy(ledger, _WRITERS, [invocation.signed_item], resource="peer/Propose")
        except AccessDenied as denied:
            raise ProposalRefused(f"error validating proposal: {denied}") from denied

    async def _answer(self, invocation: Invocation, simulation: Simulation | None) -> Any:
        version = self._version(invocation, simulation)
        message = await self._run(invocation, simulation, invocation.chaincode, invocation.input)
        response, event = self._completed(message, invocation)
        results = simulation.results() if simulation is not None else None
        interest = build_interest(results) if results is not None else None
        if results is not None and results.private is not None:
            self.peer.ledger.note_private(invocation.transaction_id, results.private)
        payload = _response_payload(invocation, response, event, version, results)
        if response.status >= _ERROR:
            return proposal_response_pb2.ProposalResponse(response=response, payload=payload, interest=interest)
        if not invocation.channel or response.status >= _ERROR_THRESHOLD:
            return proposal_response_pb2.ProposalResponse(response=response)
        signer = self.peer.signer
        endorsement = proposal_response_pb2.Endorsement(
            endorser=signer.creator, signature=signer.sign(payload + signer.creator)
        )
        return proposal_response_pb2.ProposalResponse(
            version=1, response=response, payload=payload, endorsement=endorsement, interest=interest
        )

    def _version(self, invocation: Invocation, simulation: Simulation | None) -> str:
        name = invocation.chaincode
        if name in SYSTEM_CHAINCODES:
            return SYSTEM_VERSION
        try:
            return str(self._runnable(name, simulation)[0].endorsement.version)
        except ExecutionFailed as error:
            raise ExecutionFailed(
                f"make sure the chaincode {name} has been successfully defined on channel {invocation.channel} and try "
                f"again: {error}"
            ) from error

    def _runnable(self, name: str, simulation: Simulation | None) -> tuple[Definition, str]:
        """A chaincode's definition and package, as this peer may run it. Raises: ExecutionFailed."""
        if simulation is None:
            raise ExecutionFailed(f"could not get current sequence for chaincode '{name}' on channel ''")
        channel = self.peer.ledger.channel
        sequence = read_sequence(PublicPlace(simulation), name)
        definition = self.peer.defined(name)
        if not sequence or definition is None:
            simulation.get("lscc", name)
            raise ExecutionFailed(f"chaincode {name} not found")
        package_id = self.peer.package_id(name)
        if package_id is None:
            raise ExecutionFailed(
                f"chaincode definition for '{name}' at sequence {sequence} on channel '{channel}' has not yet been "
                "approved by this org"
            )
        if self.peer.packages.find(package_id) is None:
            raise ExecutionFailed(f"chaincode definition for '{name}' exists, but chaincode is not installed")
        return definition, package_id

    async def _run(self, invocation: Invocation, simulation: Simulation | None, name: str, given: Any) -> Any:
        """Run a chaincode, or a system chaincode, to its last message. Raises: ExecutionFailed."""
        if name in SYSTEM_CHAINCODES:
            return await self._run_system(invocation, simulation, name, given)
        definition, package_id = self._runnable(name, simulation)
        if simulation is None:
            raise ExecutionFailed("no ledger context")
        kind = _initialising(definition, simulation, name, given)
        link = await self.peer.link(package_id)
        context = Context(invocation, simulation, name, self.peer.ledger, self._call)
        return await link.run(kind, context, given)

    async def _run_system(self, invocation: Invocation, simulation: Simulation | None, name: str, given: Any) -> Any:
        if name == LIFECYCLE:
            status, text, payload = await invoke_lifecycle(self.peer, invocation, simulation, given.args)
        elif name == "qscc":
            status, text, payload = invoke_query(self.peer, invocation)
        elif name == "cscc":
            status, text, payload = invoke_configuration(self.peer, invocation)
        else:
            status, text, payload = _ERROR, f"{name}: an embedded network has the new lifecycle only", b""
        response = proposal_response_pb2.Response(status=status, message=text, payload=payload)
        return Kind(type=Kind.COMPLETED, payload=response.SerializeToString())

    async def _call(self, invocation: Invocation, simulation: Simulation, name: str, given: Any) -> Any:
        """A chaincode calls another one."""
        if name not in SYSTEM_CHAINCODES:
            try:
                check_policy(self.peer.ledger, _WRITERS, [invocation.signed_item])
            except AccessDenied as denied:
                raise SimulationFailed(str(denied)) from denied
        try:
            return await self._run(invocation, simulation, name, given)
        except ExecutionFailed as error:
            raise SimulationFailed(f"execute failed: {error}") from error

    def _completed(self, message: Any, invocation: Invocation) -> tuple[Any, Any]:
        try:
            return parse_completed(message, invocation.transaction_id)
        except ExecutionFailed as error:
            raise ExecutionFailed(f"error in simulation: {error}") from error


def _initialising(definition: Definition, simulation: Simulation, name: str, given: Any) -> int:
    """INIT or TRANSACTION. Raises: ExecutionFailed if a chaincode is to be initialised first, or not again."""
    required, version = definition.endorsement.init_required, definition.endorsement.version.encode()
    missing = bool(required) and simulation.get(name, INITIALISED) != version
    if given.is_init:
        if not required:
            raise _invalid(f"chaincode '{name}' does not require initialization but called as init")
        if not missing:
            raise _invalid(f"chaincode '{name}' is already initialized but called as init")
        simulation.put(name, INITIALISED, version)
        return int(Kind.INIT)
    if missing:
        raise _invalid(f"chaincode '{name}' has not been initialized for this version, must call as init first")
    return int(Kind.TRANSACTION)


def _invalid(why: str) -> ExecutionFailed:
    return ExecutionFailed(f"error in simulation: failed to execute transaction: invalid invocation: {why}")


def _response_payload(
    invocation: Invocation, response: Any, event: Any, version: str, results: Results | None
) -> bytes:
    """The serialised `ProposalResponsePayload`: the same bytes at every peer that found the same."""
    action = proposal_pb2.ChaincodeAction(
        response=response, chaincode_id=chaincode_pb2.ChaincodeID(name=invocation.chaincode, version=version)
    )
    if results is not None:
        action.results = results.public.SerializeToString()
    if event is not None and response.status < _ERROR_THRESHOLD:
        named = chaincode_event_pb2.ChaincodeEvent(
            chaincode_id=invocation.chaincode,
            tx_id=invocation.transaction_id,
            event_name=event.event_name,
            payload=event.payload,
        )
        action.events = named.SerializeToString()
    payload = proposal_response_pb2.ProposalResponsePayload(
        proposal_hash=invocation.proposal_hash, extension=action.SerializeToString()
    )
    encoded: bytes = payload.SerializeToString()
    return encoded


def _failed(message: str) -> Any:
    return proposal_response_pb2.ProposalResponse(
        response=proposal_response_pb2.Response(status=_ERROR, message=message)
    )
