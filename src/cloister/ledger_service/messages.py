"""What an organisation's hosts and administrators ask its ledger service; u32 length and a canonical frame each.

One reply for each request, in order.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloister.wire.codec import Codec


@dataclass(frozen=True, slots=True)
class FindEnclave:
    """Answered by EnclaveAt."""


@dataclass(frozen=True, slots=True)
class FetchTransaction:
    """The block that holds a transaction. Answered by BlockFound or NotKnown."""

    transaction_id: str


@dataclass(frozen=True, slots=True)
class FetchEnvelope:
    """One transaction alone if its block is at hand, else the block.

    Answered by EnvelopeFound, BlockFound or NotKnown.
    """

    transaction_id: str


@dataclass(frozen=True, slots=True)
class GetServiceStatus:
    """Answered by Document."""


@dataclass(frozen=True, slots=True)
class GetSuspects:
    """Answered by Document."""


@dataclass(frozen=True, slots=True)
class EnclaveAt:
    """The loopback port on which the ledger enclave listens."""

    port: int


@dataclass(frozen=True, slots=True)
class BlockFound:
    """A serialised `common.Block`."""

    block: bytes


@dataclass(frozen=True, slots=True)
class EnvelopeFound:
    """A serialised `common.Envelope`, as it stands in its block."""

    envelope: bytes


@dataclass(frozen=True, slots=True)
class NotKnown:
    """No such transaction in the blocks so far."""

    height: int


@dataclass(frozen=True, slots=True)
class Document:
    """JSON."""

    text: str


@dataclass(frozen=True, slots=True)
class ServiceFailed:
    """The service could not do it; one line."""

    message: str


ServiceRequest = FindEnclave | FetchTransaction | FetchEnvelope | GetServiceStatus | GetSuspects
ServiceReply = EnclaveAt | BlockFound | EnvelopeFound | NotKnown | Document | ServiceFailed
REQUESTS: Codec[ServiceRequest] = Codec((FindEnclave, FetchTransaction, FetchEnvelope, GetServiceStatus, GetSuspects))
REPLIES: Codec[ServiceReply] = Codec((EnclaveAt, BlockFound, EnvelopeFound, NotKnown, Document, ServiceFailed))
