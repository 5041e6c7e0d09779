"""One transaction from sealed request to signed, sealed result. I/O-free: questions out, answers in, then a result.

Trust level: trusted. Steps, tagged below: 1 creator is a member · 2 open the request, bound to this very proposal ·
3 run the contract, each read checked as it arrives · 4 all reads hold together · 5 seal and sign. Nothing leaves before
step 5 but the stored names of keys that are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Coroutine
from dataclasses import dataclass

from cloister.contract.chaincode_stub import ChaincodeStub
from cloister.contract.invocation import Invocation
from cloister.contract.response import Response, error
from cloister.errors import CloisterError, Refused
from cloister.wire.messages import Answer, Question, Result

from .admission import AdmittedProposal
from .ask import ExecutionAborted
from .contract_image import ContractImage
from .keys import KeyRing
from .ledger_view import LedgerView, SnapshotAnswer
from .names import KeyNames
from .outcome import Outcome, SealedOutcome
from .reads import event_hash, metadata_digest, writes_digest
from .request import Request, RequestScope, open_request, request_key_set
from .sealed_ledger import SealedLedger
from .sealed_state import SealedState
from .sealing import Place, SealedHeader, seal_response
from .statement import NO_EVENT, REVEAL_AT_ENDORSEMENT, REVEAL_ON_COMMIT, ResultStatement, compute_selector

_FIRST_ERROR_STATUS = 400


@dataclass(frozen=True, slots=True)
class Enclosure:
    """What stays the same over executions: where the enclave belongs, its keys, its contract, its ledger view."""

    place: Place
    sequence: int
    measurement: bytes
    ring: KeyRing
    image: ContractImage
    view: LedgerView


class Execution:
    """Runs one admitted proposal. `step(None)` starts it; each later step brings the answer to the last question."""

    def __init__(self, admitted: AdmittedProposal, enclosure: Enclosure) -> None:
        self._coroutine: Coroutine[Question, Answer | None, Result] = _run(admitted, enclosure)

    def step(self, answer: Answer | None) -> Question | Result:
        """The next question, or the result.

        Raises: Refused (any reason code of this package); CloisterError if the host's answers are malformed.
        """
        try:
            return self._coroutine.send(answer)
        except StopIteration as stop:
            result: Result = stop.value
            return result
        except ExecutionAborted as aborted:
            raise Refused("execution refused", reason=aborted.reason) from aborted

    def close(self) -> None:
        """Forget the execution."""
        self._coroutine.close()


async def _run(admitted: AdmittedProposal, enclosure: Enclosure) -> Result:
    if not await enclosure.view.creator_may_write(admitted.proposal.creator):  # 1
        raise Refused("creator refused", reason="creator")
    request = _open(admitted, enclosure)  # 2
    is_query = enclosure.image.chaincode.is_evaluate(request.function)
    names = KeyNames(enclosure.ring.name_key, enclosure.image.chaincode.clear_key_spaces)
    state = SealedState(ring=enclosure.ring, place=enclosure.place, names=names, view=enclosure.view)
    ledger = SealedLedger(state, chaincode=enclosure.place.chaincode, is_query=is_query)
    response = await _call_contract(admitted, request, ledger, enclosure)  # 3
    response = _settle(response, state, ledger, is_query=is_query)
    answer = await state.check_snapshot(request.minimum)  # 4
    if answer is not SnapshotAnswer.HOLDS:
        raise Refused("reads refused", reason=answer.value)
    return await _seal(admitted, request, response, state, ledger, enclosure, is_query=is_query)  # 5


def _open(admitted: AdmittedProposal, enclosure: Enclosure) -> Request:
    current = enclosure.ring.current
    if request_key_set(admitted.sealed_request) != enclosure.ring.key_set_id(current):
        raise Refused("request refused: sealed to another key set", reason="key-set")
    scope = RequestScope(
        channel=enclosure.place.channel,
        genesis_hash=enclosure.place.genesis_hash,
        chaincode=enclosure.place.chaincode,
        sequence=enclosure.sequence,
        measurement=enclosure.measurement,
        transaction_id=admitted.proposal.transaction_id,
        creator=admitted.proposal.creator,
    )
    return open_request(admitted.sealed_request, scope, current.request_key)


async def _call_contract(
    admitted: AdmittedProposal, request: Request, ledger: SealedLedger, enclosure: Enclosure
) -> Response:
    if enclosure.image.chaincode.reveal_mode(request.function) == REVEAL_ON_COMMIT:
        return error("reveal on-commit is not available in this version")  # better no answer than one too early
    proposal = admitted.proposal
    invocation = Invocation(
        arguments=(request.function.encode(), *request.arguments),
        channel=proposal.channel,
        transaction_id=proposal.transaction_id,
        creator=proposal.creator,
        nonce=proposal.nonce,
        timestamp_seconds=proposal.timestamp_seconds,
        timestamp_nanos=proposal.timestamp_nanos,
        transient=request.transient,
    )
    try:
        return await enclosure.image.chaincode.invoke(ChaincodeStub(invocation, ledger))
    except CloisterError as failure:
        # Whatever the contract's machinery raises is the caller's to know, sealed; the host learns nothing.
        return error(failure.message)
    except (SystemExit, KeyboardInterrupt):
        return error("the contract tried to end the process")


def _settle(response: Response, state: SealedState, ledger: SealedLedger, *, is_query: bool) -> Response:
    """A query that writes is an error; an error writes nothing and sends no event."""
    if is_query and (state.has_writes or ledger.event):
        response = error("a query must not write or send an event")
    if response.status >= _FIRST_ERROR_STATUS:
        state.discard_writes()
        ledger.event = None
    # A message may quote an argument with half a surrogate pair, which has no encoding.
    message = response.message.encode("utf-8", "replace").decode("utf-8")
    return Response(response.status, message, response.payload)


async def _seal(
    admitted: AdmittedProposal,
    request: Request,
    response: Response,
    state: SealedState,
    ledger: SealedLedger,
    enclosure: Enclosure,
    *,
    is_query: bool,
) -> Result:
    proposal, place, key_set = admitted.proposal, enclosure.place, enclosure.ring.current
    key_set_id = enclosure.ring.key_set_id(key_set)
    reads = state.reads_digest()
    selector = compute_selector(proposal.transaction_id, proposal.proposal_hash, reads)
    writes = state.sealed_writes(SealedHeader(key_set_id, proposal.transaction_id, selector), key_set)
    parameters = state.parameter_writes()
    ciphertext = seal_response(
        response_key=request.response_key,
        place=place,
        transaction_id=proposal.transaction_id,
        selector=selector,
        content=Outcome(response.status, response.message, response.payload).encode(),
    )
    statement = ResultStatement(
        genesis_hash=place.genesis_hash,
        channel=place.channel,
        chaincode=place.chaincode,
        sequence=enclosure.sequence,
        measurement=enclosure.measurement,
        key_set_id=key_set_id,
        transaction_id=proposal.transaction_id,
        proposal_hash=proposal.proposal_hash,
        creator_hash=admitted.creator_hash,
        request_hash=hashlib.sha256(admitted.sealed_request).digest(),
        reveal=REVEAL_AT_ENDORSEMENT,
        reads_digest=reads,
        writes_digest=writes_digest(writes),
        metadata_digest=metadata_digest(parameters),
        event_hash=event_hash(*ledger.event) if ledger.event else NO_EVENT,
        response_hash=hashlib.sha256(ciphertext).digest(),
        checkpoint=await enclosure.view.checkpoint() if is_query else None,
    )
    payload = SealedOutcome(statement.encode(), statement.sign(key_set.result_key), ciphertext)
    event_name, event_payload = ledger.event or ("", b"")
    return Result(
        puts=tuple((write.key, write.value) for write in writes if write.value is not None),
        deletes=tuple(write.key for write in writes if write.value is None),
        parameters=tuple((write.key, write.parameter) for write in parameters),
        event_name=event_name,
        event_payload=event_payload,
        payload=payload.encode(),
    )
