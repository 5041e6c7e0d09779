"""A peer's connection to one chaincode server: dials it, registers it, runs transactions on its stream.

Source: Fabric 2.5.9 core/container/externalbuilder/instance.go, core/chaincode/{handler,extcc/extcc_handler}.go. The
peer is the client here; many transactions share the stream, each with at most one request under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
from fabric_protos.peer import chaincode_pb2, chaincode_shim_pb2, proposal_response_pb2

from cloister.errors import CloisterError, MalformedInput
from cloister.fabric.decoding import decode_message
from cloister.trusted.ledger.codes import Invalid

from .chaincode_requests import Context, answer
from .errors import ExecutionFailed, SimulationFailed

LOG = logging.getLogger("cloister.embedded.chaincode")
Kind = chaincode_shim_pb2.ChaincodeMessage
START_TIMEOUT_S = 30.0
EXECUTE_TIMEOUT_S = 30.0
KEEPALIVE_S = 60.0
_METHOD = "/protos.Chaincode/Connect"
_OPTIONS = (
    ("grpc.max_receive_message_length", 100 << 20),
    ("grpc.max_send_message_length", 100 << 20),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 200),
)
STREAM_TERMINATED = "chaincode stream terminated"


@dataclass(frozen=True)
class Connection:
    """`connection.json` of a package: where the chaincode server is, and how TLS is done with it."""

    address: str
    dial_timeout_s: float = 3.0
    root_certificate: bytes | None = None
    client_key: bytes | None = None
    client_certificate: bytes | None = None

    @classmethod
    def parse(cls, encoded: bytes) -> Connection:
        """Raises: ValueError, KeyError on a file that is none."""
        document = json.loads(encoded)
        timeout = re.fullmatch(r"([0-9.]+)(ms|s|m)", document.get("dial_timeout", "3s"))
        seconds = float(timeout[1]) * {"ms": 0.001, "s": 1, "m": 60}[timeout[2]] if timeout else 3.0
        if not document.get("tls_required"):
            return cls(document["address"], seconds)
        mutual = bool(document.get("client_auth_required"))
        return cls(
            document["address"],
            seconds,
            document["root_cert"].encode(),
            document["client_key"].encode() if mutual else None,
            document["client_cert"].encode() if mutual else None,
        )

    def open(self) -> Any:
        """A `grpc.aio` channel."""
        if self.root_certificate is None:
            return grpc.aio.insecure_channel(self.address, options=_OPTIONS)
        credentials = grpc.ssl_channel_credentials(self.root_certificate, self.client_key, self.client_certificate)
        return grpc.aio.secure_channel(self.address, credentials, options=_OPTIONS)


class ChaincodeLink:
    """Make it with `connect`. Good until `broken`; `close` it then."""

    def __init__(self, package_id: str, connection: Connection) -> None:
        self._package_id = package_id
        self._connection = connection
        self._channel: Any = None
        self._stream: Any = None
        self._contexts: dict[tuple[str, str], tuple[Context, asyncio.Future[Any]]] = {}
        self._busy: set[tuple[str, str]] = set()
        self._outgoing: asyncio.Queue[Any] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self.broken = False

    async def connect(self) -> None:
        """Dial and register. Raises: ExecutionFailed."""
        self._channel = self._connection.open()
        try:
            async with asyncio.timeout(self._connection.dial_timeout_s):
                await self._dial()
        except TimeoutError as error:
            await self.close()
            raise self._unreachable("failed to create new connection: context deadline exceeded") from error
        self._stream = self._channel.stream_stream(
            _METHOD, request_serializer=Kind.SerializeToString, response_deserializer=Kind.FromString
        )()
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._register()
        except (TimeoutError, grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            await self.close()
            raise self._unreachable(f"chaincode registration failed: {type(error).__name__}") from error
        for work in (self._read(), self._write(), self._keep_alive()):
            self._spawn(work)

    async def run(self, kind: int, context: Context, chaincode_input: Any) -> Any:
        """Run one transaction; the chaincode's last message. Raises: ExecutionFailed."""
        invocation = context.invocation
        key = (invocation.channel, invocation.transaction_id)
        if key in self._contexts:
            raise ExecutionFailed(f"txid: {key[1]}({key[0]}) exists")
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._contexts[key] = (context, done)
        message = Kind(
            type=kind,
            payload=chaincode_input.SerializeToString(),
            txid=invocation.transaction_id,
            channel_id=invocation.channel,
            proposal=invocation.signed,
        )
        try:
            if self.broken:
                raise ExecutionFailed(f"error sending: {STREAM_TERMINATED}")
            self._outgoing.put_nowait(message)
            async with asyncio.timeout(EXECUTE_TIMEOUT_S):
                return await done
        except TimeoutError as error:
            raise ExecutionFailed("error sending: timeout expired while executing transaction") from error
        finally:
            del self._contexts[key]

    async def close(self) -> None:
        """Hang up."""
        self._break()
        for task in list(self._tasks):
            task.cancel()
        if self._stream is not None:
            self._stream.cancel()
        if self._channel is not None:
            await self._channel.close()

    async def _dial(self) -> None:
        """Until it stands, or has failed once: a peer does not try again for one call. Raises: ExecutionFailed."""
        state = self._channel.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.READY:
            if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                await self.close()
                raise self._unreachable("failed to create new connection: connection refused")
            await self._channel.wait_for_state_change(state)
            state = self._channel.get_state(try_to_connect=True)

    async def _register(self) -> None:
        message = await self._stream.read()
        if message is grpc.aio.EOF or message.type != Kind.REGISTER:
            raise asyncio.InvalidStateError
        name = chaincode_pb2.ChaincodeID.FromString(message.payload).name
        if name != self._package_id:
            await self.close()
            raise self._unreachable(f"the chaincode server registers as {name}")
        await self._stream.write(Kind(type=Kind.REGISTERED))
        await self._stream.write(Kind(type=Kind.READY))

    async def _read(self) -> None:
        try:
            async for message in _messages(self._stream):
                key = (message.channel_id, message.txid)
                if message.type in (Kind.COMPLETED, Kind.ERROR):
                    found = self._contexts.get(key)
                    if found is not None and not found[1].done():
                        found[1].set_result(message)
                elif message.type != Kind.KEEPALIVE:
                    self._spawn(self._serve(key, message))
        finally:
            self._break()

    async def _serve(self, key: tuple[str, str], message: Any) -> None:
        """Answer one request; a second one of the same transaction at the same time is dropped, as peers do."""
        if key in self._busy:
            LOG.error("another request pending for txid %s: dropped", key[1])
            return
        self._busy.add(key)
        reply = Kind(type=Kind.RESPONSE, txid=message.txid, channel_id=message.channel_id)
        try:
            if key not in self._contexts:
                raise SimulationFailed("no ledger context")
            reply.payload = await answer(self._contexts[key][0], message.type, message.payload)
        except (CloisterError, Invalid) as error:
            reply.type = Kind.ERROR
            reply.payload = f"{Kind.Type.Name(message.type)} failed: transaction ID: {message.txid}: {error}".encode()
        finally:
            self._busy.discard(key)
        self._outgoing.put_nowait(reply)

    async def _write(self) -> None:
        """One message after the other: overlapping writes would lose some."""
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while True:
                await self._stream.write(await self._outgoing.get())
        self._break()

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(KEEPALIVE_S)
            self._outgoing.put_nowait(Kind(type=Kind.KEEPALIVE))

    def _break(self) -> None:
        self.broken = True
        for _, done in self._contexts.values():
            if not done.done():
                done.set_exception(ExecutionFailed(f"error sending: {STREAM_TERMINATED}"))

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _unreachable(self, why: str) -> ExecutionFailed:
        return ExecutionFailed(
            f"could not launch chaincode {self._package_id}: connection to {self._package_id} failed: error cannot "
            f"create connection for {self._package_id}: {self._connection.address}: {why}"
        )


async def _messages(stream: Any) -> AsyncIterator[Any]:
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
        while (message := await stream.read()) is not grpc.aio.EOF:
            yield message


def parse_completed(message: Any, transaction_id: str) -> tuple[Any, Any]:
    """(`protos.Response`, `ChaincodeEvent` or None) of a chaincode's last message. Raises: ExecutionFailed."""
    if message.type == Kind.ERROR:
        raise ExecutionFailed(f"transaction returned with failure: {message.payload.decode(errors='replace')}")
    try:
        response = decode_message(proposal_response_pb2.Response(), message.payload, "response")
    except MalformedInput as error:
        raise ExecutionFailed(f"failed to unmarshal response for transaction {transaction_id}") from error
    return response, message.chaincode_event if message.HasField("chaincode_event") else None
