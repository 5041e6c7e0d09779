"""One peer's stream on an event loop: takes messages, runs calls as tasks, sends what they ask and answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from cloister.contract.errors import PeerLost, PeerRefused
from cloister.contract.response import Response, ResponseCode, as_response, error
from cloister.errors import CloisterError

from .errors import MessageTooLarge
from .messages import Request
from .peer_stub import PeerStub
from .stream import MAX_MESSAGE_BYTES, Answered, CallKey, CallStarted, State, StreamMachine

Handler = Callable[[PeerStub], Awaitable[Response]]
"""Runs one call. What it raises becomes status 500: the message of a CloisterError, no text of anything else."""

MAX_CALLS_IN_FLIGHT = 4096
"""Per stream; peers allow 2500 endorsements at a time (`peer.limits.concurrency.endorserService`)."""
MAX_BYTES_IN_FLIGHT = 4 * MAX_MESSAGE_BYTES
"""Per stream: proposals and arguments of the calls in flight."""
REGISTRATION_WARNING_S = 10.0
STOPPING = Response(503, "chaincode server is stopping, try again")
BUSY = Response(503, "chaincode server is busy, try again")

log = logging.getLogger(__name__)


class MessageStream(Protocol):
    """The way to the peer. Messages leave in order; none of these waits."""

    def send(self, message: bytes) -> None: ...

    def finish(self) -> None:
        """End the stream after what was sent."""


class PeerSession:
    """Serves one stream. `calls` are the tasks in flight; `stopping` answers new calls with STOPPING."""

    def __init__(self, stream: MessageStream, chaincode_id: str, handler: Handler) -> None:
        self.calls: set[asyncio.Task[None]] = set()
        self.stopping = False
        self._stream = stream
        self._chaincode_id = chaincode_id
        self._handler = handler
        self._loop = asyncio.get_running_loop()
        self._machine = StreamMachine(chaincode_id)
        self._answers: dict[CallKey, asyncio.Future[bytes]] = {}
        self._bytes_in_flight = 0
        self._closed = False
        self._warning = self._loop.call_later(REGISTRATION_WARNING_S, self._warn_unregistered)

    def start(self) -> None:
        """Register at the peer."""
        self._stream.send(self._machine.register())

    def receive(self, message: bytes) -> None:
        """Take one message of the peer. Raises: StreamViolated; the stream must end then."""
        before = self._machine.state
        event = self._machine.receive(message)
        if isinstance(event, Answered):
            self._answer(event)
        elif isinstance(event, CallStarted):
            self._start_call(event)
        elif before is not self._machine.state is State.READY:
            self._warning.cancel()
            log.info("registered at a peer as %s", self._chaincode_id)

    def end(self) -> None:
        """End the stream; calls in flight fail."""
        self._stream.finish()
        self.close()

    def close(self) -> None:
        """The stream is over: fail the calls that wait for the peer; the others end by themselves."""
        self._closed = True
        self._warning.cancel()
        for future in self._answers.values():
            if not future.done():
                future.set_exception(PeerLost("request failed: the stream to the peer is lost"))
        self._answers.clear()

    def _answer(self, answer: Answered) -> None:
        future = self._answers.pop(answer.key, None)
        if future is None or future.done():
            return  # whoever asked was cancelled
        if answer.refused:
            future.set_exception(PeerRefused(answer.payload.decode(errors="replace") or "peer refused the request"))
        else:
            future.set_result(answer.payload)

    def _start_call(self, call: CallStarted) -> None:
        refusal = self._refusal(call)
        if refusal is not None:
            self._stream.send(self._machine.complete(call.key, refusal))
            return
        self._bytes_in_flight += call.size
        task = self._loop.create_task(self._run_call(call))
        self.calls.add(task)
        task.add_done_callback(self.calls.discard)

    def _refusal(self, call: CallStarted) -> Response | None:
        if self.stopping:
            return STOPPING
        if len(self.calls) >= MAX_CALLS_IN_FLIGHT or self._bytes_in_flight + call.size > MAX_BYTES_IN_FLIGHT:
            return BUSY
        return None

    async def _run_call(self, call: CallStarted) -> None:
        lock = asyncio.Lock()

        async def ask(request: Request) -> bytes:
            async with lock:
                return await self._ask(call.key, request)

        peer = PeerStub(call, ask, self._machine.batch_size)
        try:
            self._complete(call.key, await self._respond(peer), peer)
        finally:
            self._bytes_in_flight -= call.size

    def _complete(self, key: CallKey, response: Response, peer: PeerStub) -> None:
        if self._closed:
            log.info("call ended after its stream was lost: transaction %s", peer.transaction_id)
            return
        try:
            message = self._machine.complete(key, response, peer.event)
        except MessageTooLarge as failure:
            message = self._machine.complete(key, error(failure.message))
        self._stream.send(message)

    async def _respond(self, peer: PeerStub) -> Response:
        try:
            return as_response(await self._handler(peer)) or error("chaincode gave no response")
        except CloisterError as failure:
            return Response(ResponseCode.ERROR, failure.message)
        except Exception as failure:  # noqa: BLE001  (one call must not end the others)
            # Its text may quote what the transaction holds; its class does not.
            log.error("call failed: %s in transaction %s", type(failure).__name__, peer.transaction_id)
            return error("chaincode failed")

    async def _ask(self, key: CallKey, request: Request) -> bytes:
        if self._closed:
            raise PeerLost("request refused: the stream to the peer is lost")
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._stream.send(self._machine.request(key, request))
        self._answers[key] = future
        return await future

    def _warn_unregistered(self) -> None:
        if self._machine.state is not State.READY:
            log.warning(
                "a peer does not accept the registration as %s: its calls will hang; "
                "the chaincode id must be the package id that the peer has installed",
                self._chaincode_id,
            )
