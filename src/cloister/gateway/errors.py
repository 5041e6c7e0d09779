"""Errors of the Gateway client: which stage failed, for which transaction, and what each peer said.

    GatewayError(RemoteFailed)     a peer or orderer refused, failed, or did not answer in time
    ├─ EndorseError · SubmitError · CommitStatusError · EvaluateError · EventsError
    CommitError(CommitRefused)     ordered, but not valid

`str(error)` contains the peers' own messages: nobody has to dig in "attached details".
Source of the details: gRPC status details, `gateway.ErrorDetail` (fabric-protos gateway/gateway.proto).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cloister.errors import CommitRefused, RemoteFailed


@dataclass(frozen=True, slots=True)
class PeerError:
    """What one peer or orderer answered: its address, MSP ID and message."""

    address: str
    msp_id: str
    message: str

    def __str__(self) -> str:
        return f"{self.address} ({self.msp_id}): {self.message}"


class GatewayError(RemoteFailed):
    """A call of the Gateway service failed.

    `stage` names the call, `transaction_id` is empty where there is none, `code` is gRPC's (for instance ABORTED),
    `details` holds what the endorsing peers or orderers said.
    """

    stage: ClassVar[str] = "gateway"

    def __init__(
        self,
        message: str,
        *,
        transaction_id: str = "",
        code: str = "",
        details: tuple[PeerError, ...] = (),
        hint: str | None = None,
    ) -> None:
        # The Gateway often repeats a peer's words in its own message: then the peer's address is enough.
        told = "; ".join(
            f"{detail.address} ({detail.msp_id})" if detail.message in message else str(detail) for detail in details
        )
        super().__init__(_one_line(f"{self.stage} failed: {message}{f': {told}' if told else ''}"), hint=hint)
        self.transaction_id = transaction_id
        self.code = code
        self.details = details


class EvaluateError(GatewayError):
    """Evaluating a proposal failed."""

    stage = "evaluate"


class EndorseError(GatewayError):
    """Endorsing a proposal failed; nothing was submitted."""

    stage = "endorse"


class SubmitError(GatewayError):
    """Handing the transaction to the orderer failed. It may have been ordered all the same."""

    stage = "submit"


class CommitStatusError(GatewayError):
    """The commit status could not be found out. The transaction may be committed."""

    stage = "commit status"


class EventsError(GatewayError):
    """An event stream broke or could not be opened."""

    stage = "events"


class CommitError(CommitRefused):
    """The transaction was committed as invalid; `validation_code` says why."""


def _one_line(text: str) -> str:
    """Without line ends and control characters: the words are others'. `details` keeps them as sent."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
