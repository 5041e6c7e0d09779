"""What all objects of one connection share: channel, identity, signer, deadlines. All calls go through it."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import Any, TypeVar

from cloister.errors import UsageError

from .errors import GatewayError
from .identity import Identity, Signer, sign_digest
from .rpc import call_unary, decode_answer

_Message = TypeVar("_Message", bound=Any)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that one call of each stage may take. Commit status waits for the block."""

    evaluate_s: float = 30.0
    endorse_s: float = 30.0
    submit_s: float = 15.0
    commit_status_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Session:
    """`channel` is a `grpc.aio` channel owned by the caller; `signer` None: offline signing only.

    `tls_certificate_hash`: SHA-256 of the client's TLS certificate (DER), empty without mutual TLS.
    """

    channel: Any
    endpoint: str
    identity: Identity
    signer: Signer | None
    deadlines: Deadlines
    tls_certificate_hash: bytes = b""

    async def sign(self, message: bytes) -> bytes:
        """DER signature over SHA-256(message). Raises: UsageError if there is no signer."""
        if self.signer is None:
            raise UsageError("no signer: sign the digest elsewhere and use new_signed_…", hint="see docs/gateway.md")
        return await sign_digest(self.signer, digest_of(message))

    async def call(
        self,
        method: str,
        request: bytes,
        answer: _Message,
        *,
        deadline_s: float,
        error: type[GatewayError],
        transaction_id: str,
    ) -> _Message:
        """One call of the Gateway service; fills `answer`. Raises: `error`."""
        encoded = await call_unary(
            self.channel,
            f"/gateway.Gateway/{method}",
            request,
            deadline_s=deadline_s,
            error=error,
            endpoint=self.endpoint,
            transaction_id=transaction_id,
        )
        return decode_answer(answer, encoded, error=error, endpoint=self.endpoint, transaction_id=transaction_id)


def digest_of(message: bytes) -> bytes:
    """SHA-256, what signers sign."""
    return hashlib.sha256(message).digest()


def now_ns() -> int:
    """Nanoseconds since 1970: the proposal's timestamp."""
    return time.time_ns()
