"""A client of Fabric's Gateway service, for asyncio. Objects and names as in the official Go, Node and Java clients."""

from .checkpoint import Checkpointer, FileCheckpointer, InMemoryCheckpointer, Position
from .commit import Commit, CommitStatus, SubmittedTransaction
from .connection import Endpoint, endpoint_from_profile, open_channel
from .contract import Contract
from .errors import (
    CommitError,
    CommitStatusError,
    EndorseError,
    EvaluateError,
    EventsError,
    GatewayError,
    PeerError,
    SubmitError,
)
from .event_requests import EventsRequest
from .events import BlockEvent, ChaincodeEvent, FilteredBlockEvent, FilteredTransaction, PrivateDataBlockEvent
from .gateway import Gateway, connect
from .identity import Identity, Signer, load_identity, load_signer, new_private_key_signer
from .network import Network
from .nonce import new_nonce
from .proposal import Proposal
from .session import Deadlines
from .transaction import Transaction

__all__ = [
    "connect",
    "Gateway",
    "Network",
    "Contract",
    "Proposal",
    "Transaction",
    "Commit",
    "CommitStatus",
    "SubmittedTransaction",
    "EventsRequest",
    "ChaincodeEvent",
    "BlockEvent",
    "FilteredBlockEvent",
    "FilteredTransaction",
    "PrivateDataBlockEvent",
    "Checkpointer",
    "InMemoryCheckpointer",
    "FileCheckpointer",
    "Position",
    "Endpoint",
    "endpoint_from_profile",
    "open_channel",
    "Identity",
    "Signer",
    "load_identity",
    "load_signer",
    "new_private_key_signer",
    "new_nonce",
    "Deadlines",
    "GatewayError",
    "EndorseError",
    "EvaluateError",
    "SubmitError",
    "CommitStatusError",
    "EventsError",
    "CommitError",
    "PeerError",
]
