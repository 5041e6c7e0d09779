"""One transaction from sealed request to signed, sealed result. I/O-free: questions out, answers in, then a result.

Trust level: trusted. Steps, tagged below: 1 open the request, bound to this very proposal · 2 creator is a member, the
caller's checkpoint is on the chain · 3 load the contract afresh and run it, each read checked as it arrives · 4 all
reads hold together · 5 seal and sign. Nothing leaves before step 5 but the stored names of keys that are read. A
function revealed on commit seals its outcome to the chaincode's own keys: it opens from the committed block only
(opening.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from cloister.contract.chaincode_stub import ChaincodeStub
from cloister.contract.invocation import Invocation
from cloister.contract.response import Response, error
from cloister.errors import CloisterError, Refused
from cloister.trusted.protocol.outcome import Outcome, SealedOutcome
from cloister.trusted.protocol.reads import event_hash, metadata_digest, writes_digest
from cloister.trusted.protocol.request import Request, RequestScope, open_request, split_request
from cloister.trusted.protocol.sealing import Place, SealedHeader, ValueCipher, seal_response
from cloister.trusted.protocol.statement import (
    NO_EVENT,
    REVEAL_AT_ENDORSEMENT,
    REVEAL_ON_COMMIT,
    ResultStatement,
    compute_selector,
)
from cloister.wire.messages import Result

from .admission import AdmittedProposal
from .ask import ExecutionAborted, Within
from .checked_reads import CheckedReads, Reads
from .contract_image import ContractImage
from .keys import KeyRing
from .ledger_session import LedgerSession
from .names import KeyNames
from .randomness import Randomness
from .repair import REPAIR, repair
from .sealed_ledger import SealedLedger
from .sealed_state import SealedState

_FIRST_ERROR_STATUS = 400


@dataclass(frozen=True, slots=True)
class Enclosure:
    """What stays the same over executions: where the enclave belongs, its keys, its contract, its ledger enclave.

    `ciphers`: of all key sets in the ring, by their ids.
    """

    place: Place
    scope: RequestScope
    ring: KeyRing
    image: ContractImage
    session: LedgerSession
    ciphers: Mapping[bytes, ValueCipher]
    names: KeyNames


@dataclass(frozen=True, slots=True)
class _Mode:
    """How a function discloses: a query at once and with a checkpoint, a transaction at endorsement or on commit."""

    is_query: bool
    reveal: str

    @property
    def on_commit(self) -> bool:
        return self.reveal == REVEAL_ON_COMMIT


async def execute(admitted: AdmittedProposal, enclosure: Enclosure) -> Result:
    """Run one admitted proposal; a coroutine to be driven by `Task`.

    Raises: Refused (any reason code of this package); MalformedInput; aborts (ask.py).
    """
    request = _open(admitted, enclosure)  # 1
    reads = CheckedReads(enclosure.session, admitted.proposal.creator, request.minimum)
    await reads.admit()  # 2
    mode = _mode(request.function, enclosure.image)
    state = SealedState(ciphers=enclosure.ciphers, names=enclosure.names, reads=reads)
    randomness = _randomness(admitted, enclosure) if mode.on_commit else None
    ledger = SealedLedger(state, chaincode=enclosure.place.chaincode, is_query=mode.is_query, randomness=randomness)
    if request.function == REPAIR:
        response = await repair(request.arguments, reads, state)  # 3
    else:
        response = await _call_contract(admitted, request, ledger, enclosure)  # 3
    state.require_unbroken()
    response = _settle(response, state, ledger, mode)
    await reads.settle()  # 4
    return await _seal(admitted, request, response, reads, state, ledger, enclosure, mode)  # 5


def _mode(function: str, image: ContractImage) -> _Mode:
    """On commit unless the author chose otherwise; that there is neither function nor hook for a name is no secret."""
    if function == REPAIR:
        return _Mode(is_query=False, reveal=REVEAL_AT_ENDORSEMENT)
    found = image.chaincode.find(function)
    if found is not None:
        is_query, chosen = found.evaluate, found.reveal or REVEAL_ON_COMMIT
        return _Mode(is_query, REVEAL_AT_ENDORSEMENT if is_query else chosen)
    hooked = image.chaincode.reaches_code(function)
    return _Mode(is_query=False, reveal=REVEAL_ON_COMMIT if hooked else REVEAL_AT_ENDORSEMENT)


def _randomness(admitted: AdmittedProposal, enclosure: Enclosure) -> Randomness:
    proposal = admitted.proposal
    key = enclosure.ring.current.random_key
    return Randomness(key, transaction_id=proposal.transaction_id, proposal_hash=proposal.proposal_hash)


def _open(admitted: AdmittedProposal, enclosure: Enclosure) -> Request:
    current = enclosure.ring.current
    key_set_id, ciphertext = split_request(admitted.sealed_request)
    if key_set_id != enclosure.ring.key_set_id(current):
        raise Refused("request refused: sealed to another key set", reason="key-set")
    info = enclosure.scope.info(admitted.proposal.transaction_id, admitted.proposal.creator)
    return open_request(ciphertext, info, current.request_key)


async def _call_contract(
    admitted: AdmittedProposal, request: Request, ledger: SealedLedger, enclosure: Enclosure
) -> Response:
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
    stub = ChaincodeStub(invocation, ledger)
    try:
        loaded = enclosure.image.load()
        return await Within(loaded.chaincode.invoke(stub), loaded.enter, loaded.context)
    except (ExecutionAborted, GeneratorExit):
        raise
    except CloisterError as failure:
        # Whatever the contract's machinery raises is the caller's to know, sealed; the host learns nothing.
        return error(failure.message)
    except BaseException as failure:  # noqa: BLE001 - not even what ends processes may end this one
        return error(f"the contract ended with {type(failure).__name__}")


def _settle(response: Response, state: SealedState, ledger: SealedLedger, mode: _Mode) -> Response:
    """A query that writes is an error, and so is an event before the commit; an error writes and sends nothing."""
    if mode.is_query and (state.has_writes or ledger.event):
        response = error("a query must not write or send an event")
    if mode.on_commit and ledger.event:
        response = error('an event is public at once: the function must be marked reveal="at-endorsement"')
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
    reads: Reads,
    state: SealedState,
    ledger: SealedLedger,
    enclosure: Enclosure,
    mode: _Mode,
) -> Result:
    proposal, place, key_set = admitted.proposal, enclosure.place, enclosure.ring.current
    key_set_id = enclosure.ring.key_set_id(key_set)
    digest = state.reads_digest()
    selector = compute_selector(proposal.transaction_id, proposal.proposal_hash, digest)
    writes = state.sealed_writes(SealedHeader(key_set_id, proposal.transaction_id, selector))
    parameters = state.parameter_writes()
    ciphertext = seal_response(
        response_key=key_set.outcome_key if mode.on_commit else request.response_key,
        place=place,
        transaction_id=proposal.transaction_id,
        selector=selector,
        content=Outcome(response.status, response.message, response.payload).encode(),
    )
    read_list = reads.read_list().encode()
    statement = ResultStatement(
        genesis_hash=place.genesis_hash,
        channel=place.channel,
        chaincode=place.chaincode,
        sequence=enclosure.scope.sequence,
        measurement=enclosure.scope.measurement,
        key_set_id=key_set_id,
        transaction_id=proposal.transaction_id,
        proposal_hash=proposal.proposal_hash,
        creator_hash=admitted.creator_hash,
        request_hash=hashlib.sha256(admitted.sealed_request).digest(),
        reveal=mode.reveal,
        reads_digest=digest,
        read_list_hash=hashlib.sha256(read_list).digest(),
        writes_digest=writes_digest(writes),
        metadata_digest=metadata_digest(parameters),
        event_hash=event_hash(*ledger.event) if ledger.event else NO_EVENT,
        response_hash=hashlib.sha256(ciphertext).digest(),
        checkpoint=await reads.checkpoint() if mode.is_query else None,
    )
    signed = statement.encode()
    payload = SealedOutcome(signed, key_set.result_key.sign(signed), ciphertext, read_list)
    event_name, event_payload = ledger.event or ("", b"")
    return Result(
        puts=tuple((write.key, write.value) for write in writes if write.value is not None),
        deletes=tuple(write.key for write in writes if write.value is None),
        parameters=tuple((write.key, write.parameter) for write in parameters),
        event_name=event_name,
        event_payload=event_payload,
        payload=payload.encode(),
    )
