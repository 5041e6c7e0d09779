"""A chaincode on a channel, and optionally one named contract in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cloister.errors import UsageError
from cloister.fabric.proposal import build_proposal

from .commit import SubmittedTransaction
from .nonce import new_nonce
from .proposal import Proposal
from .session import Session, now_ns

Argument = str | bytes


class Contract:
    """Calls transaction functions. Arguments are text or bytes, results bytes."""

    def __init__(self, session: Session, *, channel: str, chaincode: str, contract: str = "") -> None:
        self._session = session
        self._channel = channel
        self._chaincode = chaincode
        self._contract = contract

    @property
    def chaincode_name(self) -> str:
        """The chaincode's name in its definition."""
        return self._chaincode

    @property
    def contract_name(self) -> str:
        """The contract's name within the chaincode, empty for the default contract."""
        return self._contract

    async def evaluate_transaction(self, name: str, *arguments: Argument) -> bytes:
        """Evaluate a function: one peer, nothing committed. Raises: EvaluateError."""
        return await self.evaluate(name, arguments=arguments)

    async def submit_transaction(self, name: str, *arguments: Argument) -> bytes:
        """Submit a function and wait until it is committed and valid. Raises: GatewayError, CommitError."""
        return await self.submit(name, arguments=arguments)

    async def evaluate(
        self,
        name: str,
        *,
        arguments: Sequence[Argument] = (),
        transient: Mapping[str, bytes] | None = None,
        endorsing_organizations: Sequence[str] = (),
    ) -> bytes:
        """Evaluate with transient data or at named organisations (MSP IDs). Raises: EvaluateError."""
        proposal = self.new_proposal(
            name, arguments=arguments, transient=transient, endorsing_organizations=endorsing_organizations
        )
        return await proposal.evaluate()

    async def submit(
        self,
        name: str,
        *,
        arguments: Sequence[Argument] = (),
        transient: Mapping[str, bytes] | None = None,
        endorsing_organizations: Sequence[str] = (),
    ) -> bytes:
        """Submit and wait for a valid commit; the result. Raises: GatewayError, CommitError."""
        submitted = await self.submit_async(
            name, arguments=arguments, transient=transient, endorsing_organizations=endorsing_organizations
        )
        (await submitted.status()).require_successful()
        return submitted.result

    async def submit_async(
        self,
        name: str,
        *,
        arguments: Sequence[Argument] = (),
        transient: Mapping[str, bytes] | None = None,
        endorsing_organizations: Sequence[str] = (),
    ) -> SubmittedTransaction:
        """Endorse and hand to the orderer, without waiting for the commit. Raises: EndorseError, SubmitError."""
        proposal = self.new_proposal(
            name, arguments=arguments, transient=transient, endorsing_organizations=endorsing_organizations
        )
        transaction = await proposal.endorse()
        result = transaction.result
        return SubmittedTransaction(await transaction.submit(), result)

    def new_proposal(
        self,
        name: str,
        *,
        arguments: Sequence[Argument] = (),
        transient: Mapping[str, bytes] | None = None,
        endorsing_organizations: Sequence[str] = (),
        nonce: bytes | None = None,
    ) -> Proposal:
        """A proposal to call `name`; `nonce` (24 bytes) fixes the transaction id beforehand. Raises: UsageError."""
        _require_several("arguments", arguments)
        function = f"{self._contract}:{name}" if self._contract else name
        return build(
            self._session,
            channel=self._channel,
            chaincode=self._chaincode,
            arguments=[function, *arguments],
            transient=transient,
            organizations=endorsing_organizations,
            nonce=nonce,
        )


def build(
    session: Session,
    *,
    channel: str,
    chaincode: str,
    arguments: Sequence[Argument],
    transient: Mapping[str, bytes] | None,
    organizations: Sequence[str],
    nonce: bytes | None,
) -> Proposal:
    """A proposal with exactly these arguments. Raises: UsageError."""
    _require_several("arguments", arguments)
    _require_several("endorsing_organizations", organizations)
    try:
        proposal = build_proposal(
            channel=channel,
            chaincode=chaincode,
            arguments=[_encode(item) for item in arguments],
            creator=session.identity.creator,
            nonce=new_nonce() if nonce is None else nonce,
            timestamp_ns=now_ns(),
            transient=transient,
        )
    except UnicodeEncodeError as error:
        raise UsageError("proposal: a name or an argument is no valid text", hint="give bytes instead") from error
    except ValueError as error:
        raise UsageError(f"proposal: {error}") from error
    return Proposal(
        session,
        encoded=proposal.encoded,
        proposal_hash=proposal.proposal_hash,
        transaction_id=proposal.transaction_id,
        channel=channel,
        organizations=organizations,
    )


def _require_several(name: str, value: object) -> None:
    """A lone text is a sequence too, of its characters: never what was meant. Raises: UsageError."""
    if isinstance(value, str | bytes):
        raise UsageError(f"{name}: expected a list, got {type(value).__name__}", hint=f"{name}=[…]")


def _encode(argument: object) -> bytes:
    if isinstance(argument, str):
        return argument.encode()
    if not isinstance(argument, bytes | bytearray | memoryview):  # bytes(3) would be three zeros
        raise UsageError(f"arguments: expected text or bytes, got {type(argument).__name__}", hint="use str(…)")
    return bytes(argument)
