"""Calling confidential chaincode: plaintext in, plaintext out, everything between sealed and checked.

    contract = await open_confidential(network, "auction", trust)
    await contract.submit("create", "a1")
    winner = await contract.submit("eval", "a1")

`submit` endorses, verifies the result, checks that the transaction does exactly what the enclave signed, submits it,
waits for its commit and opens the outcome: out of the committed block, unless the function is revealed at endorsement.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cloister.errors import CommitRefused, Refused
from cloister.fabric.proposal import compute_transaction_id
from cloister.fabric.transaction import EndorsedTransaction
from cloister.gateway import CommitStatus, EvaluateError, Network, Proposal, Transaction
from cloister.trusted.protocol.committed import decode_committed_outcome
from cloister.trusted.protocol.outcome import Outcome, decode_sealed_outcome
from cloister.trusted.protocol.request import RESPONSE_KEY_BYTES, Request, seal_request
from cloister.trusted.protocol.statement import Checkpoint

from .checkpoints import Checkpoints, InMemoryCheckpoints, SignedCheckpoint
from .credentials import Credentials, Trust, verify_credentials
from .errors import ConfidentialCallFailed, NotOpened
from .results import (
    Expectation,
    PendingOutcome,
    VerifiedOutcome,
    VerifiedResult,
    effects_of,
    verify_committed,
    verify_effects,
    verify_result,
)
from .retry import PATIENCE_S, retry_early

_FIRST_ERROR_STATUS = 400
OPEN = "cloister:open"


@dataclass(frozen=True, slots=True)
class ConfidentialResult:
    """What a call gave: the contract's payload, and where it was committed (block 0: a query, nothing committed)."""

    payload: bytes
    transaction_id: str
    block_number: int
    verified: VerifiedResult


@dataclass(frozen=True, slots=True)
class CommittedCall:
    """A valid transaction whose outcome is not opened yet. `outcome`: None unless it was revealed at endorsement."""

    pending: PendingOutcome
    status: CommitStatus
    verified: VerifiedResult
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A call on its way: the proposal and what is needed to open its answer."""

    proposal: Proposal
    sealed_request: bytes
    response_key: bytes
    minimum: Checkpoint


class ConfidentialContract:
    """One confidential chaincode, with verified credentials. Make it with `open_confidential`."""

    def __init__(
        self,
        network: Network,
        chaincode: str,
        credentials: Credentials,
        checkpoints: Checkpoints | None = None,
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._patience_s = patience_s
        self._network = network
        self._chaincode = chaincode
        self._checkpoints = checkpoints or InMemoryCheckpoints()
        self.credentials = credentials

    async def submit(
        self,
        function: str,
        *arguments: str | bytes,
        transient: Mapping[str, bytes] | None = None,
        endorsing_organizations: Sequence[str] = (),
        on_pending: Callable[[PendingOutcome], None] | None = None,
    ) -> ConfidentialResult:
        """Run a transaction function and commit what it did.

        `on_pending` is called before anything is submitted, with what opens the outcome later if this program does not
        live to see it: keep it secret and safe.
        Raises: ConfidentialCallFailed (the contract's error); Refused (a result or transaction that is not the
        enclave's); gateway errors; CommitRefused (not valid, for instance MVCC_READ_CONFLICT: submit again);
        NotOpened (committed, but its outcome could not be opened yet).
        """
        call = await self.commit(
            function,
            *arguments,
            transient=transient,
            endorsing_organizations=endorsing_organizations,
            on_pending=on_pending,
        )
        outcome, block_number = call.outcome, call.status.block_number
        if outcome is None:
            opened = await self._open_at_once(call.pending, call.status, endorsing_organizations)
            outcome, block_number = opened.outcome, opened.statement.block  # signed, other than the Gateway's word
        return ConfidentialResult(outcome.payload, call.status.transaction_id, block_number, call.verified)

    async def commit(
        self,
        function: str,
        *arguments: str | bytes,
        transient: Mapping[str, bytes] | None = None,
        endorsing_organizations: Sequence[str] = (),
        on_pending: Callable[[PendingOutcome], None] | None = None,
    ) -> CommittedCall:
        """`submit` without its last step: the outcome stays closed until `open` is called with what is pending.

        Raises: as `submit`, but for NotOpened; an error of the contract shows only when the outcome is opened.
        """

        async def endorse() -> tuple[_Sealed, Transaction]:
            fresh = self._seal(function, arguments, transient, endorsing_organizations)
            return fresh, await fresh.proposal.endorse()

        sealed, transaction = await retry_early(endorse, patience_s=self._patience_s)
        endorsed = transaction.endorsed
        result = verify_result(endorsed.action.payload, self._expect(sealed))
        if result.outcome is not None:
            self._raise_contract_error(result.outcome, result.statement.transaction_id)
        self._check_effects(endorsed, result)
        pending = PendingOutcome(result.statement.transaction_id, result.statement.response_hash, sealed.response_key)
        if on_pending is not None:
            on_pending(pending)
        commit = await transaction.submit()
        status = await commit.status()
        _require_valid(status)
        return CommittedCall(pending, status, result, result.outcome)

    async def evaluate(
        self,
        function: str,
        *arguments: str | bytes,
        transient: Mapping[str, bytes] | None = None,
        endorsing_organizations: Sequence[str] = (),
    ) -> ConfidentialResult:
        """Ask one enclave, commit nothing: for queries. Raises: as `submit`; Refused for a function of another kind."""

        async def ask() -> tuple[_Sealed, bytes]:
            fresh = self._seal(function, arguments, transient, endorsing_organizations)
            return fresh, await fresh.proposal.evaluate()

        sealed, payload = await retry_early(ask, patience_s=self._patience_s)
        result = verify_result(payload, self._expect(sealed))
        if result.outcome is None:
            raise Refused(
                f"{function} is revealed on commit: evaluating it tells nothing",
                reason="reveal",
                hint="submit it",
            )
        self._raise_contract_error(result.outcome, sealed.proposal.transaction_id)
        if result.statement.checkpoint is not None:
            signed = decode_sealed_outcome(payload)
            self._note(result.statement.checkpoint, signed.statement, signed.signature)
        return ConfidentialResult(result.outcome.payload, sealed.proposal.transaction_id, 0, result)

    async def open(
        self, pending: PendingOutcome, *, organizations: Sequence[str] = (), patience_s: float | None = None
    ) -> VerifiedOutcome:
        """Open a committed transaction's outcome, whenever. `organizations`: whose enclave to ask (default: one's own).

        Raises: EvaluateError (not committed, not valid, no enclave there); Refused; MalformedInput.
        """
        asked = list(organizations) or [self._network.gateway.identity.msp_id]
        host = self._network.get_contract(self._chaincode)

        async def ask() -> bytes:
            return await host.evaluate(OPEN, arguments=[pending.transaction_id], endorsing_organizations=asked)

        payload = await retry_early(ask, patience_s=self._patience_s if patience_s is None else patience_s)
        opened = verify_committed(payload, self.credentials.descriptor, pending)
        signed = decode_committed_outcome(payload)
        self._note(opened.statement.checkpoint, signed.statement, signed.signature)
        return opened

    def _note(self, checkpoint: Checkpoint, statement: bytes, signature: bytes) -> None:
        """Keep it with the statement that names it, which has been verified."""
        descriptor = self.credentials.descriptor
        signed = SignedCheckpoint(
            statement, signature, descriptor.channel, descriptor.chaincode, self.credentials.answer
        )
        self._checkpoints.note(descriptor.genesis_hash, checkpoint, signed)

    async def _open_at_once(
        self, pending: PendingOutcome, status: CommitStatus, organizations: Sequence[str]
    ) -> VerifiedOutcome:
        try:
            opened = await self.open(pending, organizations=organizations[:1])
        except EvaluateError as error:
            raise NotOpened(error.message, pending=pending, block_number=status.block_number) from error
        self._raise_contract_error(opened.outcome, status.transaction_id, opened.statement.block)
        return opened

    def _seal(
        self,
        function: str,
        arguments: Sequence[str | bytes],
        transient: Mapping[str, bytes] | None,
        organizations: Sequence[str],
    ) -> _Sealed:
        creator = self._network.gateway.identity.creator
        nonce = self._network.gateway.new_nonce()
        response_key = os.urandom(RESPONSE_KEY_BYTES)
        minimum = self._checkpoints.highest(self.credentials.descriptor.genesis_hash)
        encoded = tuple(item.encode() if isinstance(item, str) else bytes(item) for item in arguments)
        request = Request(function, encoded, response_key, dict(transient or {}), minimum)
        sealed = seal_request(
            request,
            self.credentials.descriptor,
            transaction_id=compute_transaction_id(nonce, creator),
            creator=creator,
        )
        proposal = self._network.new_proposal(
            self._chaincode, [sealed], nonce=nonce, endorsing_organizations=organizations
        )
        return _Sealed(proposal, sealed, response_key, minimum)

    def _expect(self, sealed: _Sealed) -> Expectation:
        return Expectation(
            descriptor=self.credentials.descriptor,
            transaction_id=sealed.proposal.transaction_id,
            proposal_hash=sealed.proposal.proposal_hash,
            creator=self._network.gateway.identity.creator,
            sealed_request=sealed.sealed_request,
            response_key=sealed.response_key,
            minimum=sealed.minimum,
        )

    def _raise_contract_error(self, outcome: Outcome, transaction_id: str, block_number: int | None = None) -> None:
        if outcome.status >= _FIRST_ERROR_STATUS:
            raise ConfidentialCallFailed(
                outcome.message or f"contract error {outcome.status}",
                transaction_id=transaction_id,
                status=outcome.status,
                block_number=block_number,
            )

    def _check_effects(self, endorsed: EndorsedTransaction, result: VerifiedResult) -> None:
        """Before submitting: the write set of this chaincode must be the signed one, and nothing else be written."""
        if endorsed.action.chaincode != self._chaincode:
            raise Refused("result refused: the transaction names another chaincode", reason="result")
        for item in endorsed.action.namespaces:
            others = () if item.namespace == self._chaincode else (*item.writes, *item.metadata_writes)
            if others or item.collections:
                raise Refused("result refused: the transaction writes elsewhere too", reason="result")
        writes, parameters = effects_of(endorsed.action.namespace(self._chaincode))
        verify_effects(result.statement, writes=writes, parameters=parameters, event=endorsed.action.event)


def _require_valid(status: CommitStatus) -> None:
    if not status.successful:
        raise CommitRefused(
            f"transaction {status.transaction_id} is not valid: {status.code_name}",
            transaction_id=status.transaction_id,
            validation_code=status.code_name,
            block_number=status.block_number,
            hint="another transaction changed what this one had read: try again"
            if status.code_name in {"MVCC_READ_CONFLICT", "PHANTOM_READ_CONFLICT"}
            else None,
        )


async def open_confidential(
    network: Network,
    chaincode: str,
    trust: Trust,
    *,
    endorsing_organizations: Sequence[str] = (),
    checkpoints: Checkpoints | None = None,
    patience_s: float = PATIENCE_S,
) -> ConfidentialContract:
    """Fetch a confidential chaincode's credentials from the registry and verify them by one's own `trust`.

    `checkpoints` keeps how far the channel was (default: as long as this object lives; `FileCheckpoints` survives).
    `patience_s`: how long to try again what only came a moment too early (see retry.py).
    Raises: Refused (see `verify_credentials`); gateway errors.
    """
    registry = network.get_contract(trust.registry)
    answer = await registry.evaluate(
        "get_key_set", arguments=[chaincode], endorsing_organizations=endorsing_organizations
    )
    credentials = verify_credentials(answer, channel=network.name, chaincode=chaincode, trust=trust)
    return ConfidentialContract(network, chaincode, credentials, checkpoints, patience_s=patience_s)
