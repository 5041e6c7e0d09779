"""Fabric's Gateway service in this process: what a `grpc.aio` channel to a peer is to the Gateway client.

Endorses at every organisation, gathers transactions into blocks, waits for commits. Serves the confidential chaincode
and the one call of the enclave registry that clients make. Source: Fabric 2.5.9 internal/pkg/gateway/{api,endorse}.go.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

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

from cloister.fabric.proposal import ParsedProposal, parse_signed_proposal
from cloister.host.control import OPEN
from cloister.host.errors import EnclaveRefused
from cloister.wire.messages import Refusal, Result

from .host import Execution, Host
from .signers import Signer

if TYPE_CHECKING:
    from .confidential import ConfidentialChannel


class LocalGateway:
    """The Gateway service of one organisation's peer."""

    def __init__(self, channel: ConfidentialChannel, host: Host) -> None:
        self._channel = channel
        self._host = host

    def unary_unary(self, method: str) -> Callable[..., Any]:
        """As `grpc.aio.Channel.unary_unary`."""
        return functools.partial(getattr(self, f"_{method.rpartition('/')[2].lower()}"))

    async def close(self) -> None:
        """Nothing is open."""

    async def _evaluate(self, request: bytes, timeout: float) -> bytes:  # noqa: ASYNC109 - gRPC's own name
        del timeout
        asked = gateway_pb2.EvaluateRequest.FromString(request)
        signed = asked.proposed_transaction.SerializeToString()
        proposal = parse_signed_proposal(signed)
        hosts = self._hosts(list(asked.target_organizations)) or [self._host]
        payload = await self._ask(hosts[0], proposal, signed)
        response = proposal_response_pb2.Response(status=200, payload=payload)
        answer: bytes = gateway_pb2.EvaluateResponse(result=response).SerializeToString()
        return answer

    async def _ask(self, host: Host, proposal: ParsedProposal, signed: bytes) -> bytes:
        if proposal.spec_chaincode == self._channel.registry:
            return self._channel.key_set_answer()
        if proposal.spec_chaincode != self._channel.chaincode:
            raise _failure(grpc.StatusCode.NOT_FOUND, f"no chaincode {proposal.spec_chaincode}")
        if proposal.arguments and proposal.arguments[0] == OPEN:
            return self._open(host, proposal.arguments[1].decode("ascii", "replace"))
        return _result(await host.execute(signed)).payload

    def _open(self, host: Host, transaction_id: str) -> bytes:
        block = self._channel.block_of(transaction_id)
        opened = host.open(transaction_id, block) if block is not None else Refusal("ledger-behind", "")
        if isinstance(opened, Refusal):
            raise _refused(opened)
        return opened.payload

    async def _endorse(self, request: bytes, timeout: float) -> bytes:  # noqa: ASYNC109 - gRPC's own name
        del timeout
        asked = gateway_pb2.EndorseRequest.FromString(request)
        signed = asked.proposed_transaction.SerializeToString()
        proposal = parse_signed_proposal(signed)
        hosts = self._hosts(list(asked.endorsing_organizations)) or self._channel.hosts
        executions = await asyncio.gather(*(host.execute(signed) for host in hosts))
        responses = [self._response(proposal, execution) for execution in executions]
        if len(set(responses)) != 1:
            raise _failure(grpc.StatusCode.ABORTED, "ProposalResponsePayloads do not match")
        payload = self._channel.behaviour.endorsed(proposal, responses[0])
        prepared = assemble(signed, payload, [self._channel.peer_of(host) for host in hosts])
        answer: bytes = gateway_pb2.EndorseResponse(prepared_transaction=prepared).SerializeToString()
        return answer

    def _response(self, proposal: ParsedProposal, execution: Execution) -> bytes:
        result = _result(execution)
        results = execution.simulation.results(self._channel.chaincode, result)
        return response_payload(proposal, result, results, chaincode=self._channel.chaincode)

    async def _submit(self, request: bytes, timeout: float) -> bytes:  # noqa: ASYNC109 - gRPC's own name
        del timeout
        envelope = gateway_pb2.SubmitRequest.FromString(request).prepared_transaction
        self._channel.order(self._channel.behaviour.ordered(envelope.SerializeToString()))
        return b""

    async def _commitstatus(self, request: bytes, timeout: float) -> bytes:  # noqa: ASYNC109 - gRPC's own name
        del timeout
        signed = gateway_pb2.SignedCommitStatusRequest.FromString(request)
        asked = gateway_pb2.CommitStatusRequest.FromString(signed.request)
        number, code = await self._channel.committed(asked.transaction_id)
        answer: bytes = gateway_pb2.CommitStatusResponse(result=code, block_number=number).SerializeToString()
        return answer

    def _hosts(self, msp_ids: list[str]) -> list[Host]:
        return [host for host in self._channel.hosts if host.msp_id in msp_ids]


def response_payload(proposal: ParsedProposal, result: Result, results: bytes, *, chaincode: str) -> bytes:
    """The serialised `protos.ProposalResponsePayload` for a result and its read/write set."""
    action = proposal_pb2.ChaincodeAction(
        results=results,
        response=proposal_response_pb2.Response(status=200, payload=result.payload),
        chaincode_id=chaincode_pb2.ChaincodeID(name=chaincode, version="1"),
    )
    if result.event_name:
        action.events = chaincode_event_pb2.ChaincodeEvent(
            chaincode_id=chaincode,
            tx_id=proposal.transaction_id,
            event_name=result.event_name,
            payload=result.event_payload,
        ).SerializeToString()
    payload: bytes = proposal_response_pb2.ProposalResponsePayload(
        proposal_hash=proposal.proposal_hash, extension=action.SerializeToString()
    ).SerializeToString()
    return payload


def assemble(signed_proposal: bytes, payload: bytes, endorsers: list[Signer]) -> Any:
    """The `common.Envelope` of an endorsed transaction, for the client to sign."""
    signed = proposal_pb2.SignedProposal.FromString(signed_proposal)
    proposal = proposal_pb2.Proposal.FromString(signed.proposal_bytes)
    header = common_pb2.Header.FromString(proposal.header)
    bare = proposal_pb2.ChaincodeProposalPayload.FromString(proposal.payload)
    endorsed = transaction_pb2.ChaincodeEndorsedAction(proposal_response_payload=payload)
    for endorser in endorsers:
        endorsed.endorsements.add(endorser=endorser.creator, signature=endorser.sign(payload + endorser.creator))
    action = transaction_pb2.ChaincodeActionPayload(
        chaincode_proposal_payload=proposal_pb2.ChaincodeProposalPayload(input=bare.input).SerializeToString(),
        action=endorsed,
    )
    transaction = transaction_pb2.Transaction(
        actions=[transaction_pb2.TransactionAction(header=header.signature_header, payload=action.SerializeToString())]
    )
    content = common_pb2.Payload(header=header, data=transaction.SerializeToString())
    return common_pb2.Envelope(payload=content.SerializeToString())


def _result(execution: Execution) -> Result:
    if isinstance(execution.outcome, Refusal):
        raise _refused(execution.outcome)
    return execution.outcome


def _refused(refusal: Refusal) -> grpc.aio.AioRpcError:
    error = EnclaveRefused(refusal.reason, refusal.detail)
    hint = f" ({error.hint})" if error.hint else ""
    return _failure(grpc.StatusCode.ABORTED, f"chaincode response 500, {error.message}{hint}")


def _failure(code: Any, message: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=message)
