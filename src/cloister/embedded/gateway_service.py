"""The Gateway service of one peer: evaluate, endorse, submit, wait, listen.

Source: Fabric 2.5.9 internal/pkg/gateway/{evaluate,endorse,submit,commitstatus,chaincodeevents,registry}.go. Codes and
texts are Fabric's, for clients read them. Other organisations' peers are in the same process and called directly.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2
from fabric_protos.peer import (
    chaincode_event_pb2,
    chaincode_pb2,
    proposal_pb2,
    proposal_response_pb2,
    transaction_pb2,
)

from cloister.errors import MalformedInput
from cloister.fabric.block import parse_block
from cloister.fabric.decoding import decode_message
from cloister.trusted.ledger.codes import Code
from cloister.trusted.ledger.policies import SignedItem
from cloister.trusted.ledger.transaction import parse_transaction

from .access import READERS, AccessDenied, check_policy
from .chaincode_link import STREAM_TERMINATED
from .endorser import Endorser
from .errors import BroadcastRefused, ProposalRefused
from .interest import SYSTEM_CHAINCODES, NoEndorsers, choose_endorsers
from .invocation import Invocation, parse_invocation
from .ordering import Orderer
from .peer import Peer

Status = grpc.StatusCode
ENDORSEMENT_TIMEOUT_S = 30.0
_FILTER = 2


class GatewayRefused(Exception):
    """Ends a call with a gRPC status; `details` are `gateway.ErrorDetail`s."""

    def __init__(self, code: Any, message: str, details: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.code, self.message, self.details = code, message, tuple(details)


class GatewayService:
    """`endorsers`: one per organisation, this peer's own first."""

    def __init__(self, own: Endorser, endorsers: Sequence[Endorser], orderer: Orderer, orderer_endpoint: str) -> None:
        self._own = own
        self._endorsers = {item.peer.msp_id: item for item in (own, *endorsers)}
        self._orderer = orderer
        self._orderer_endpoint = orderer_endpoint
        self._ledger = own.peer.ledger

    # --- endorsing ----------------------------------------------------------------------------------------------------

    async def evaluate(self, request: Any) -> Any:
        """One peer's answer, with nothing recorded. Raises: GatewayRefused."""
        invocation = self._parse(request.proposed_transaction)
        wanted, protected = list(request.target_organizations), False
        if invocation.payload.TransientMap and not wanted:
            wanted, protected = [self._own.peer.msp_id], True
        able = [item for item in self._able(invocation.chaincode) if not wanted or item.peer.msp_id in wanted]
        if invocation.channel != self._ledger.channel or not able:
            message = f"no peers available to evaluate chaincode {invocation.chaincode} in channel {invocation.channel}"
            if protected:
                message = f"no endorsers found in the gateway's organization; retry specifying target organization(s) to protect transient data: {message}"  # noqa: E501 - Fabric's words
            raise GatewayRefused(Status.FAILED_PRECONDITION, message)
        details, code = [], Status.ABORTED
        for endorser in able:
            response, failure = await self._ask(endorser, request.proposed_transaction)
            if failure is None:
                return gateway_pb2.EvaluateResponse(result=response.response)
            code, message, again = failure
            details.append(self._detail(endorser.peer, message))
            if not again:
                raise GatewayRefused(code, f"evaluate call to endorser returned error: {message}", details)
        raise GatewayRefused(code, "failed to evaluate transaction, see attached details for more info", details)

    async def endorse(self, request: Any) -> Any:
        """A transaction with all endorsements that it needs, to be signed. Raises: GatewayRefused."""
        signed = request.proposed_transaction
        invocation = self._parse(signed)
        if request.endorsing_organizations:
            chosen = self._named(invocation, list(request.endorsing_organizations))
            answers: dict[str, Any] = {}
        else:
            chosen, answers = await self._planned(invocation, signed)
        missing = [item for item in chosen if item.peer.msp_id not in answers]
        details = []
        for endorser, (response, failure) in zip(
            missing, await asyncio.gather(*(self._ask(item, signed) for item in missing)), strict=True
        ):
            if failure is not None:
                details.append(self._detail(endorser.peer, failure[1]))
            else:
                answers[endorser.peer.msp_id] = response
        details += self._differences(answers)
        if details:
            message = "failed to collect enough transaction endorsements, see attached details for more info"
            raise GatewayRefused(Status.ABORTED, message, details)
        ordered = [answers[item.peer.msp_id] for item in chosen]
        return gateway_pb2.EndorseResponse(prepared_transaction=_assemble(invocation, ordered))

    async def _planned(self, invocation: Invocation, signed: Any) -> tuple[list[Endorser], dict[str, Any]]:
        """Ask one peer first, the own one if it can; what it read and wrote tells who else is needed."""
        able = self._able(invocation.chaincode)
        if self._own not in able and invocation.payload.TransientMap:
            message = "no endorsers found in the gateway's organization; retry specifying endorsing organization(s) to protect transient data"  # noqa: E501 - Fabric's words
            raise GatewayRefused(Status.FAILED_PRECONDITION, message)
        interest = proposal_response_pb2.ChaincodeInterest()
        interest.chaincodes.add(name=invocation.chaincode)
        if invocation.channel != self._ledger.channel or not able:
            raise GatewayRefused(Status.FAILED_PRECONDITION, self._nobody(invocation))
        first = able[0] if self._own in able else self._choose(interest, None)[0]
        response, failure = await self._ask(first, signed)
        if failure is not None:
            message = "failed to endorse transaction, see attached details for more info"
            raise GatewayRefused(Status.ABORTED, message, [self._detail(first.peer, failure[1])])
        if response.interest.chaincodes:
            interest = response.interest
        if invocation.payload.TransientMap:
            interest = _only_members(interest)
        return self._choose(interest, first), {first.peer.msp_id: response}

    def _nobody(self, invocation: Invocation) -> str:
        why = f"No metadata was found for chaincode {invocation.chaincode} in channel {invocation.channel}"
        if invocation.channel == self._ledger.channel and self._own.peer.defined(invocation.chaincode) is not None:
            why = "no peer combination can satisfy the endorsement policy"
        return f"no combination of peers can be derived which satisfy the endorsement policy: {why}"

    def _choose(self, interest: Any, first: Endorser | None) -> list[Endorser]:
        try:
            peers = [item.peer for item in self._endorsers.values()]
            chosen = choose_endorsers(peers, interest, first.peer if first is not None else None)
        except NoEndorsers as error:
            raise GatewayRefused(Status.FAILED_PRECONDITION, error.message) from error
        return [self._endorsers[peer.msp_id] for peer in chosen]

    def _named(self, invocation: Invocation, organizations: list[str]) -> list[Endorser]:
        able = {item.peer.msp_id: item for item in self._able(invocation.chaincode)}
        missing = [name for name in organizations if name not in able or invocation.channel != self._ledger.channel]
        if missing:
            message = f"failed to find any endorsing peers for org(s): {', '.join(missing)}"
            raise GatewayRefused(Status.UNAVAILABLE, message)
        return [able[name] for name in dict.fromkeys(organizations)]

    def _able(self, chaincode: str) -> list[Endorser]:
        """All endorsers that run a chaincode, the own one first."""
        known = self._endorsers.values()
        return [item for item in known if chaincode in SYSTEM_CHAINCODES or item.peer.runs(chaincode)]

    async def _ask(self, endorser: Endorser, signed: Any) -> tuple[Any, tuple[Any, str, bool] | None]:
        """(response, None), or what failed: code, message, whether another peer may do better."""
        try:
            async with asyncio.timeout(ENDORSEMENT_TIMEOUT_S):
                response = await endorser.process(signed)
        except ProposalRefused as refused:
            return None, (Status.FAILED_PRECONDITION, refused.message, False)
        except TimeoutError:
            return None, (Status.UNAVAILABLE, "endorsement timeout expired", True)
        inner = response.response
        if 200 <= inner.status < 400:
            return response, None
        if inner.status == 500 and not response.payload:
            terminated = inner.message.endswith(STREAM_TERMINATED)
            return None, (Status.ABORTED, inner.message, not terminated)
        return None, (Status.UNKNOWN, f"chaincode response {inner.status}, {inner.message}", False)

    def _differences(self, answers: dict[str, Any]) -> list[Any]:
        """Who did not find what the first one that answered found."""
        expected = next((item.payload for item in answers.values()), b"")
        return [
            self._detail(self._endorsers[msp_id].peer, "ProposalResponsePayloads do not match")
            for msp_id, answer in answers.items()
            if answer.payload != expected
        ]

    # --- submitting ---------------------------------------------------------------------------------------------------

    async def submit(self, request: Any) -> Any:
        """Hand a signed transaction to the orderer. Raises: GatewayRefused."""
        if not request.HasField("prepared_transaction"):
            raise GatewayRefused(Status.INVALID_ARGUMENT, "a prepared transaction is required")
        if not request.prepared_transaction.signature:
            raise GatewayRefused(Status.INVALID_ARGUMENT, "prepared transaction must be signed")
        if request.channel_id != self._ledger.channel:
            raise GatewayRefused(Status.FAILED_PRECONDITION, f"no orderers known for channel {request.channel_id}")
        try:
            await self._orderer.broadcast(request.prepared_transaction.SerializeToString())
        except BroadcastRefused as refused:
            name = common_pb2.Status.Name(refused.status)
            message = f"received unsuccessful response from orderer: status={name}, info={refused.message}"
            raise GatewayRefused(Status.ABORTED, message) from refused
        return gateway_pb2.SubmitResponse()

    async def commit_status(self, signed: Any) -> Any:
        """A transaction's verdict, as soon as there is one. Raises: GatewayRefused."""
        request = _decode(gateway_pb2.CommitStatusRequest(), signed.request, "invalid status request")
        self._check(signed, request, "gateway/CommitStatus")
        async with self._ledger.grown:
            await self._ledger.grown.wait_for(lambda: self._ledger.find(request.transaction_id) is not None)
        number, _, code = self._ledger.find(request.transaction_id) or (0, 0, Code.NOT_VALIDATED)
        return gateway_pb2.CommitStatusResponse(result=int(code), block_number=number)

    # --- listening ----------------------------------------------------------------------------------------------------

    async def chaincode_events(self, signed: Any) -> AsyncIterator[Any]:
        """A chaincode's events, block by block, for ever. Raises: GatewayRefused."""
        request = _decode(gateway_pb2.ChaincodeEventsRequest(), signed.request, "invalid chaincode events request")
        self._check(signed, request, "gateway/ChaincodeEvents")
        number, after = self._start(request), request.after_transaction_id
        while True:
            block = await self._ledger.wait_for_block(number)
            found = []
            for event in _events(block):
                if after:
                    after = "" if event.tx_id == after else after
                elif event.chaincode_id == request.chaincode_id:
                    found.append(event)
            if found:
                yield gateway_pb2.ChaincodeEventsResponse(events=found, block_number=number)
            number += 1

    def _start(self, request: Any) -> int:
        known = self._ledger.find(request.after_transaction_id) if request.after_transaction_id else None
        if known is not None:
            return known[0]
        kind = request.start_position.WhichOneof("Type")
        if kind == "specified":
            return int(request.start_position.specified.number)
        if kind in (None, "next_commit"):
            return self._ledger.height
        title = {"oldest": "Oldest", "newest": "Newest"}[kind]
        message = f"invalid start position type: *orderer.SeekPosition_{title}"
        raise GatewayRefused(Status.INVALID_ARGUMENT, message)

    # --- in common ----------------------------------------------------------------------------------------------------

    def _parse(self, signed: Any) -> Invocation:
        if not signed.proposal_bytes:
            raise GatewayRefused(Status.INVALID_ARGUMENT, "the proposed transaction must contain a signed proposal")
        try:
            return parse_invocation(signed)
        except ProposalRefused as refused:
            try:
                return self._parse_leniently(signed)
            except MalformedInput as error:
                message = f"failed to unpack transaction proposal: {error.message}"
                raise GatewayRefused(Status.INVALID_ARGUMENT, message) from refused

    def _parse_leniently(self, signed: Any) -> Invocation:
        """What is well formed but wrong is for endorsers to refuse."""
        proposal = decode_message(proposal_pb2.Proposal(), signed.proposal_bytes, "proposal")
        header = decode_message(common_pb2.Header(), proposal.header, "header")
        channel_header = decode_message(common_pb2.ChannelHeader(), header.channel_header, "channel header")
        payload = decode_message(proposal_pb2.ChaincodeProposalPayload(), proposal.payload, "payload")
        spec = decode_message(chaincode_pb2.ChaincodeInvocationSpec(), payload.input, "spec").chaincode_spec
        if not channel_header.channel_id or not spec.chaincode_id.name:
            raise MalformedInput("no channel id or chaincode name is provided")
        return Invocation(
            signed=signed,
            header=header,
            channel=channel_header.channel_id,
            transaction_id=channel_header.tx_id,
            creator=b"",
            chaincode=spec.chaincode_id.name,
            input=spec.input,
            payload=payload,
            proposal_hash=b"",
        )

    def _check(self, signed: Any, request: Any, resource: str) -> None:
        if request.channel_id != self._ledger.channel:
            raise GatewayRefused(Status.PERMISSION_DENIED, f"channel {request.channel_id} not found")
        item = SignedItem(request.identity, signed.request, signed.signature)
        try:
            check_policy(self._ledger, READERS, [item], resource=resource)
        except AccessDenied as denied:
            raise GatewayRefused(Status.PERMISSION_DENIED, denied.message) from denied

    def _detail(self, peer: Peer, message: str) -> Any:
        return gateway_pb2.ErrorDetail(address=peer.endpoint, msp_id=peer.msp_id, message=message)


def _only_members(interest: Any) -> Any:
    """With transient data, only members of the collections are asked to endorse."""
    cautious = proposal_response_pb2.ChaincodeInterest()
    cautious.CopyFrom(interest)
    for call in cautious.chaincodes:
        call.no_private_reads = False
    return cautious


def _assemble(invocation: Invocation, responses: Sequence[Any]) -> Any:
    """The unsigned envelope."""
    payload = proposal_pb2.ChaincodeProposalPayload(input=invocation.payload.input)
    action = transaction_pb2.ChaincodeActionPayload(
        chaincode_proposal_payload=payload.SerializeToString(),
        action=transaction_pb2.ChaincodeEndorsedAction(
            proposal_response_payload=responses[0].payload, endorsements=[item.endorsement for item in responses]
        ),
    )
    transaction = transaction_pb2.Transaction()
    transaction.actions.add(header=invocation.header.signature_header, payload=action.SerializeToString())
    content = common_pb2.Payload(header=invocation.header, data=transaction.SerializeToString())
    return common_pb2.Envelope(payload=content.SerializeToString())


def _events(encoded: bytes) -> list[Any]:
    """The events of a block's valid transactions, in order."""
    block = parse_block(encoded)
    found = []
    for index, data in enumerate(block.transactions):
        if block.metadata[_FILTER][index] == int(Code.VALID):
            item = parse_transaction(data, index)
            if item.action is not None and item.action.events:
                found.append(chaincode_event_pb2.ChaincodeEvent.FromString(item.action.events))
    return found


def _decode(message: Any, encoded: bytes, what: str) -> Any:
    if not encoded:
        raise GatewayRefused(Status.INVALID_ARGUMENT, f"{what}: empty")
    try:
        return decode_message(message, encoded, what)
    except MalformedInput as error:
        raise GatewayRefused(Status.INVALID_ARGUMENT, f"{what}: {error.message}") from error
