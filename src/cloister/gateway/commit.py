"""The commit of a submitted transaction. The answer comes from the peer, unsigned: it is that peer's word."""

from __future__ import annotations

from dataclasses import dataclass

from fabric_protos.gateway import gateway_pb2
from fabric_protos.peer import transaction_pb2

from .errors import CommitError, CommitStatusError
from .session import Session, digest_of

_RETRY = {"MVCC_READ_CONFLICT", "PHANTOM_READ_CONFLICT"}


@dataclass(frozen=True, slots=True)
class CommitStatus:
    """`code` is Fabric's TxValidationCode, `code_name` its name; block numbers count from 0."""

    transaction_id: str
    code: int
    code_name: str
    block_number: int

    @property
    def successful(self) -> bool:
        """True if the transaction is valid."""
        return bool(self.code == transaction_pb2.VALID)

    def require_successful(self) -> None:
        """Raises: CommitError if the transaction is not valid."""
        if not self.successful:
            retry = "another transaction changed what this one had read: submit it again"
            raise CommitError(
                f"transaction {self.transaction_id} is not valid: {self.code_name} (block {self.block_number})",
                transaction_id=self.transaction_id,
                validation_code=self.code_name,
                block_number=self.block_number,
                hint=retry if self.code_name in _RETRY else None,
            )


Bytes = bytes
"""The type, under a name that the property `bytes` does not hide."""


class Commit:
    """A submitted transaction whose status can be asked, any number of times."""

    def __init__(
        self, session: Session, *, request: Bytes, transaction_id: str, channel: str, signature: Bytes | None = None
    ) -> None:
        self._session = session
        self._request = request
        self._transaction_id = transaction_id
        self._channel = channel
        self._signature = signature

    @property
    def bytes(self) -> Bytes:
        """The serialised `gateway.CommitStatusRequest`: what is signed."""
        return self._request

    @property
    def digest(self) -> Bytes:
        """SHA-256 of `bytes`."""
        return digest_of(self._request)

    @property
    def transaction_id(self) -> str:
        """64 hex characters."""
        return self._transaction_id

    async def status(self) -> CommitStatus:
        """Wait until the transaction is in a block and tell its status. Raises: CommitStatusError."""
        signature = self._signature or await self._session.sign(self._request)
        signed = gateway_pb2.SignedCommitStatusRequest(request=self._request, signature=signature)
        response = await self._session.call(
            "CommitStatus",
            signed.SerializeToString(),
            gateway_pb2.CommitStatusResponse(),
            deadline_s=self._session.deadlines.commit_status_s,
            error=CommitStatusError,
            transaction_id=self._transaction_id,
        )
        return CommitStatus(self._transaction_id, response.result, _code_name(response.result), response.block_number)


def _code_name(code: int) -> str:
    try:
        name: str = transaction_pb2.TxValidationCode.Name(code)
    except ValueError:  # of a newer Fabric
        return f"CODE_{code}"
    return name


class SubmittedTransaction(Commit):
    """A commit together with the transaction's result, as endorsed: what `submit_async` gives."""

    def __init__(self, commit: Commit, result: Bytes) -> None:
        super().__init__(
            commit._session,
            request=commit._request,
            transaction_id=commit._transaction_id,
            channel=commit._channel,
            signature=commit._signature,
        )
        self._result = result

    @property
    def result(self) -> Bytes:
        """The chaincode's payload. Not committed before `status` says so."""
        return self._result


def encode_status_request(transaction_id: str, channel: str, creator: bytes) -> bytes:
    """Serialised `gateway.CommitStatusRequest`."""
    request = gateway_pb2.CommitStatusRequest(transaction_id=transaction_id, channel_id=channel, identity=creator)
    encoded: bytes = request.SerializeToString()
    return encoded
