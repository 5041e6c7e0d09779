"""A dishonest orderer: takes a stopped orderer's place, or stands beside it, and delivers whatever blocks a test makes.

It has the orderer's keys, as an orderer's operator has, so peers accept its blocks; there is no filter in front, so
every kind of transaction reaches their validation. Only Deliver is served (orderer.AtomicBroadcast).
Source: Fabric 2.5.9 common/deliver/deliver.go.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import grpc
from fabric_protos.common import common_pb2
from fabric_protos.orderer import ab_pb2

from cloister.errors import EnvironmentFailed
from cloister.fabric.block import parse_block
from cloister.network import Network

from .blocks import make_block
from .signers import Signer, orderer_signer

_SERVICE = "orderer.AtomicBroadcast"
_GRACE_S = 1.0


class DishonestOrderer:
    """Use as `async with`. `blocks`: the chain so far.

    `endpoint`: host:port to listen on; without it the network's own orderer's, which must have been stopped.
    """

    def __init__(self, network: Network, blocks: list[bytes], *, endpoint: str = "") -> None:
        self.endpoint = endpoint or network.orderer.endpoint
        self.signer: Signer = orderer_signer(network)
        """Who signs the next blocks."""
        self.blocks = blocks
        self._last_config = 0
        self._network = network
        self._changed = asyncio.Condition()
        self._ended = False
        self._server: Any = None

    async def __aenter__(self) -> Self:
        tls = self._network.orderer.node_crypto / "tls"
        pair = ((tls / "server.key").read_bytes(), (tls / "server.crt").read_bytes())
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0), ("grpc.max_send_message_length", 100 << 20)])
        handler = grpc.stream_stream_rpc_method_handler(self._deliver)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Deliver": handler}),))
        try:
            server.add_secure_port(self.endpoint, grpc.ssl_server_credentials([pair]))
        except RuntimeError as error:
            raise EnvironmentFailed(
                f"cannot listen on {self.endpoint}", hint="stop the network's own orderer first"
            ) from error
        await server.start()
        self._server = server
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        async with self._changed:
            self._ended = True
            self._changed.notify_all()
        await self._server.stop(_GRACE_S)

    def make(self, transactions: list[bytes], *, is_config: bool = False) -> bytes:
        """The next block of these transactions; not delivered yet."""
        last = parse_block(self.blocks[-1])
        number = last.number + 1
        last_config = number if is_config else self._last_config
        return make_block(number, last.header_hash, transactions, [self.signer], last_config=last_config)

    async def deliver(self, block: bytes, *, is_config: bool = False) -> None:
        """Deliver the next block to whoever listens."""
        async with self._changed:
            if is_config:
                self._last_config = len(self.blocks)
            self.blocks.append(block)
            self._changed.notify_all()

    async def _deliver(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        del context
        async for request in requests:
            async for block in self._from(_first_block(request)):
                message = common_pb2.Block.FromString(block)
                yield ab_pb2.DeliverResponse(block=message).SerializeToString()
            return

    async def _from(self, first: int) -> AsyncIterator[bytes]:
        for number in itertools.count(first):
            async with self._changed:
                while number >= len(self.blocks) and not self._ended:
                    await self._changed.wait()
            if self._ended:
                return
            yield self.blocks[number]


def _first_block(request: bytes) -> int:
    """The number that a peer's SeekInfo asks for."""
    payload = common_pb2.Payload.FromString(common_pb2.Envelope.FromString(request).payload)
    start = ab_pb2.SeekInfo.FromString(payload.data).start
    return int(start.specified.number) if start.HasField("specified") else 0
