"""One peer's stream on an event loop: reads frames, runs calls as tasks, writes one frame at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from cloister.contract.errors import PeerLost, PeerRefused
from cloister.contract.response import Response, ResponseCode, as_response, error
from cloister.errors import CloisterError

from .errors import MessageTooLarge
from .messages import Request
from .peer_stub import PeerStub
from .stream import Answered, CallKey, CallStarted, State, StreamMachine

Handler = Callable[[PeerStub], Awaitable[Response]]
"""Runs one call. What it raises becomes status 500: the message of a CloisterError, no text of anything else."""

MAX_CALLS_IN_FLIGHT = 4096
"""Per stream; peers allow 2500 endorsements at a time (`peer.limits.concurrency.endorserService`)."""
REGISTRATION_WARNING_S = 10.0
STOPPING = Response(503, "chaincode server is stopping, try again")
BUSY = Response(503, "chaincode server is busy, try again")

log = logging.getLogger(__name__)


class PeerSession:
    """Serves one stream. `calls` are the tasks in flight; `stopping` answers new calls with STOPPING."""

    def __init__(self, context: Any, chaincode_id: str, handler: Handler) -> None:
        self.calls: set[asyncio.Task[None]] = set()
        self.stopping = False
        self._context = context
        self._chaincode_id = chaincode_id
        self._handler = handler
        self._machine = StreamMachine(chaincode_id)
        self._answers: dict[CallKey, asyncio.Future[bytes]] = {}
        self._write_lock = asyncio.Lock()
        self._ended = asyncio.Event()
        self._closed = False

    async def run(self) -> None:
        """Serve until the peer or `end` ends the stream. Raises: StreamViolated, for the caller to end it."""
        warning = asyncio.get_running_loop().call_later(REGISTRATION_WARNING_S, self._warn_unregistered)
        reading = asyncio.create_task(self._read())
        ended = asyncio.create_task(self._ended.wait())
        try:
            await asyncio.wait({reading, ended}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
        finally:
            warning.cancel()
            ended.cancel()
            reading.cancel()
            self._close()

    def end(self) -> None:
        """End the stream; calls in flight fail."""
        self._ended.set()

    async def _read(self) -> None:
        await self._write(self._machine.register())
        while (frame := await self._context.read()) is not grpc.aio.EOF:
            self._handle(frame)

    def _handle(self, frame: bytes) -> None:
        before = self._machine.state
        match self._machine.receive(frame):
            case CallStarted() as call:
                task = asyncio.create_task(self._run_call(call))
                self.calls.add(task)
                task.add_done_callback(self.calls.discard)
            case Answered() as answer:
                self._answer(answer)
        if before is not self._machine.state is State.READY:
            log.info("registered at a peer as %s", self._chaincode_id)

    def _answer(self, answer: Answered) -> None:
        future = self._answers.pop(answer.key, None)
        if future is None or future.done():
            return  # whoever asked was cancelled
        if answer.refused:
            future.set_exception(PeerRefused(answer.payload.decode(errors="replace") or "peer refused the request"))
        else:
            future.set_result(answer.payload)

    async def _run_call(self, call: CallStarted) -> None:
        lock = asyncio.Lock()

        async def ask(request: Request) -> bytes:
            async with lock:
                return await self._ask(call.key, request)

        peer = PeerStub(call, ask)
        response = await self._respond(peer)
        try:
            try:
                frame = self._machine.complete(call.key, response, peer.event)
            except MessageTooLarge as failure:
                frame = self._machine.complete(call.key, error(failure.message))
            await self._write(frame)
        except PeerLost:
            log.info("call ended after its stream was lost: transaction %s", peer.transaction_id)

    async def _respond(self, peer: PeerStub) -> Response:
        if self.stopping:
            return STOPPING
        if len(self.calls) > MAX_CALLS_IN_FLIGHT:
            return BUSY
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
        frame = self._machine.request(key, request)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answers[key] = future
        await self._write(frame)
        return await future

    async def _write(self, frame: bytes) -> None:
        """Write one frame; gRPC loses messages of overlapping writes."""
        async with self._write_lock:
            if self._closed:
                raise PeerLost("message not sent: the stream to the peer is lost")
            try:
                await self._context.write(frame)
            except (grpc.RpcError, grpc.aio.UsageError, asyncio.InvalidStateError) as failure:
                raise PeerLost("message not sent: the stream to the peer is lost") from failure

    def _close(self) -> None:
        """Fail the calls in flight that wait for the peer; the others end by themselves."""
        self._closed = True
        for future in self._answers.values():
            if not future.done():
                future.set_exception(PeerLost("request failed: the stream to the peer is lost"))
        self._answers.clear()

    def _warn_unregistered(self) -> None:
        if self._machine.state is not State.READY:
            log.warning(
                "a peer does not accept the registration as %s: its calls will hang; "
                "the chaincode id must be the package id that the peer has installed",
                self._chaincode_id,
            )
