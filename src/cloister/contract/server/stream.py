"""One peer's chaincode stream as a state machine: frames in, events out; requests in, frames out. No I/O.

    CREATED ──REGISTERED──▶ ESTABLISHED ──READY──▶ READY ──INIT, TRANSACTION──▶ a call is in flight
                                                   READY ──RESPONSE, ERROR──▶ answer to a call's pending request

Any other message in a state violates the protocol and ends the stream. KEEPALIVE is ignored in every state. Calls are
known by (channel, transaction id), since one stream serves all channels. A peer drops a second request of a call while
the first one is unanswered, so a second one is refused here.
Source: Fabric 2.5.9 core/chaincode/handler.go, fabric-chaincode-go shim/handler.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from fabric_protos.peer import chaincode_pb2

from cloister.contract.errors import PeerLost
from cloister.contract.response import Response

from .errors import MessageTooLarge, StreamViolated
from .messages import Kind, Request, decode, decode_batch_size, encode

MAX_MESSAGE_BYTES = 100 * 1024 * 1024
"""Largest message that peers take and send (Fabric 2.5.9 internal/pkg/comm/config.go, DefaultMaxRecvMsgSize)."""

CallKey = tuple[str, str]
"""Channel and transaction id."""


class State(Enum):
    """How far registration has come."""

    CREATED = "created"
    ESTABLISHED = "established"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The peer asks to run a transaction. `signed_proposal` is a serialised `protos.SignedProposal`, maybe empty."""

    key: CallKey
    arguments: tuple[bytes, ...]
    signed_proposal: bytes
    is_init: bool

    @property
    def size(self) -> int:
        """Bytes that the call brings with it."""
        return len(self.signed_proposal) + sum(map(len, self.arguments))


@dataclass(frozen=True, slots=True)
class Answered:
    """The peer answers the pending request of a call; `refused` if with an error, whose text is the payload then."""

    key: CallKey
    payload: bytes
    refused: bool


class StreamMachine:
    """See the module. Every method either returns or raises; after StreamViolated the stream must be closed."""

    def __init__(self, chaincode_id: str) -> None:
        self._chaincode_id = chaincode_id
        self._state = State.CREATED
        self._batch_size = 0
        self._pending: dict[CallKey, bool] = {}  # calls in flight; whether a request is unanswered

    @property
    def state(self) -> State:
        return self._state

    @property
    def batch_size(self) -> int:
        """How many writes the peer takes in one message, known from READY on; 0 if none."""
        return self._batch_size

    def register(self) -> bytes:
        """The first frame of every stream."""
        identifier = chaincode_pb2.ChaincodeID(name=self._chaincode_id)
        return encode(Kind(type=Kind.REGISTER, payload=encode(identifier)))

    def receive(self, frame: bytes) -> CallStarted | Answered | None:
        """Take a frame from the peer. None: nothing to do. Raises: StreamViolated, and nothing else for any bytes."""
        message = decode(Kind(), frame, "chaincode message")
        if message.type == Kind.KEEPALIVE:
            return None
        match self._state:
            case State.CREATED:
                self._advance(message, Kind.REGISTERED, State.ESTABLISHED)
                return None
            case State.ESTABLISHED:
                self._advance(message, Kind.READY, State.READY)
                self._batch_size = decode_batch_size(message.payload)
                return None
            case State.READY:
                return self._receive_ready(message)

    def request(self, key: CallKey, request: Request) -> bytes:
        """The frame of a call's request.

        Raises: PeerLost if the call is over or has an unanswered request; MessageTooLarge.
        """
        if self._pending.get(key, True):
            raise PeerLost("request refused: the call is over or has an unanswered request")
        kind, payload = request
        frame = self._frame(key, type=kind, payload=payload)
        self._pending[key] = True
        return frame

    def complete(self, key: CallKey, response: Response, event: Any = None) -> bytes:
        """The frame that ends a call, with its event if it has one.

        Raises: PeerLost if the call is over; MessageTooLarge, the call being still in flight then.
        """
        if key not in self._pending:
            raise PeerLost("completion refused: the call is over")
        frame = self._frame(key, type=Kind.COMPLETED, payload=response.encode(), chaincode_event=event)
        del self._pending[key]
        return frame

    def _advance(self, message: Any, expected: int, state: State) -> None:
        if message.type != expected:
            raise StreamViolated(
                f"peer sent {_kind_name(message.type)} in state {self._state.value}: expected {_kind_name(expected)}"
            )
        self._state = state

    def _receive_ready(self, message: Any) -> CallStarted | Answered | None:
        key = (message.channel_id, message.txid)
        if message.type in (Kind.INIT, Kind.TRANSACTION):
            return self._start_call(key, message)
        if message.type not in (Kind.RESPONSE, Kind.ERROR):
            raise StreamViolated(f"peer sent {_kind_name(message.type)} in state ready: expected a call or an answer")
        if not self._pending.get(key, False):
            return None  # an answer nobody waits for any more
        self._pending[key] = False
        return Answered(key, message.payload, refused=message.type == Kind.ERROR)

    def _start_call(self, key: CallKey, message: Any) -> CallStarted:
        if key in self._pending:
            raise StreamViolated("peer started a call that is already in flight")
        chaincode_input = decode(chaincode_pb2.ChaincodeInput(), message.payload, "chaincode input")
        proposal = encode(message.proposal) if message.HasField("proposal") else b""
        self._pending[key] = False
        return CallStarted(key, tuple(chaincode_input.args), proposal, message.type == Kind.INIT)

    @staticmethod
    def _frame(key: CallKey, **fields: Any) -> bytes:
        frame = encode(Kind(channel_id=key[0], txid=key[1], **fields))
        if len(frame) > MAX_MESSAGE_BYTES:
            raise MessageTooLarge(f"message too large for a peer: {len(frame)} of at most {MAX_MESSAGE_BYTES} bytes")
        return frame


def _kind_name(kind: int) -> str:
    return Kind.Type.Name(kind) if kind in Kind.Type.values() else f"message type {kind}"
