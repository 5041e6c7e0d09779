"""A dishonest ordering service: in the place of stopped orderers, or beside one, it delivers what a test makes.

It has the orderers' keys, as their operators have, so peers accept its blocks; there is no filter in front, so every
kind of transaction reaches their validation. Only Deliver is served (orderer.AtomicBroadcast): whole blocks, and to BFT
peers, which ask all orderers but one for nothing else, headers with signatures.
Source: Fabric 2.5.9 and 3.1.5 common/deliver/deliver.go; 3.1.5 common/deliverclient/blocksprovider.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
from fabric_protos.common import common_pb2
from fabric_protos.orderer import ab_pb2

from cloister.errors import EnvironmentFailed
from cloister.fabric.block import parse_block
from cloister.network import Network
from cloister.network.layout import ORDERER_MSP
from cloister.network.options import BFT
from cloister.trusted.ledger.blocks import quorum

from .blocks import BlockSigner, Consenter, make_block
from .configs import config_of
from .signers import Signer, orderer_signer, signer_of

_SERVICE = "orderer.AtomicBroadcast"
_GRACE_S = 1.0


class DishonestOrderer:
    """Use as `async with`. `blocks`: the chain so far.

    `endpoint`: host:port to listen on; without it those of the network's own orderers, which must have been stopped.
    """

    def __init__(self, network: Network, blocks: list[bytes], *, endpoint: str = "") -> None:
        self._endpoint = endpoint
        self.signers: Sequence[BlockSigner] = block_signers(network)
        """Who signs the next blocks."""
        self.blocks = blocks
        self._sent: set[int] = set()
        self._offered: int | None = None
        self._last_config = 0
        self._network = network
        self._changed = asyncio.Condition()
        self._ended = False
        self._server: Any = None

    async def __aenter__(self) -> Self:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0), ("grpc.max_send_message_length", 100 << 20)])
        handler = grpc.stream_stream_rpc_method_handler(self._deliver)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Deliver": handler}),))
        for orderer in self._network.orderers[: 1 if self._endpoint else None]:
            tls = orderer.node_crypto / "tls"
            pair = ((tls / "server.key").read_bytes(), (tls / "server.crt").read_bytes())
            endpoint = self._endpoint or orderer.endpoint
            try:
                server.add_secure_port(endpoint, grpc.ssl_server_credentials([pair]))
            except RuntimeError as error:
                raise EnvironmentFailed(
                    f"cannot listen on {endpoint}", hint="stop the network's own orderers first"
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

    @property
    def identity(self) -> Signer:
        """Whoever signs first, by name: orderers sign configurations by name, also under BFT."""
        first = self.signers[0]
        return first.signer if isinstance(first, Consenter) else first

    def make(
        self, transactions: Sequence[bytes], *, is_config: bool = False, signers: Sequence[BlockSigner] | None = None
    ) -> bytes:
        """The next block of these transactions, signed by `signers` or who else signs; not delivered yet."""
        last = parse_block(self.blocks[-1])
        number = last.number + 1
        last_config = number if is_config else self._last_config
        if signers is None:
            signers = self.signers
        return make_block(number, last.header_hash, transactions, signers, last_config=last_config)

    async def deliver(self, block: bytes, *, is_config: bool = False) -> None:
        """Deliver the next block to whoever listens."""
        async with self._changed:
            if is_config:
                self._last_config = len(self.blocks)
            self.blocks.append(block)
            self._changed.notify_all()

    async def offer(self, block: bytes) -> None:
        """Deliver a block that a peer has to refuse, and take it back as soon as the peer asks for its number again.

        Endless if the peer accepts it. The peer must have committed all blocks before.
        """
        number = len(self.blocks)
        async with self._changed:
            self._sent.discard(number)
            self._offered = number
            self.blocks.append(block)
            self._changed.notify_all()
            try:
                await self._changed.wait_for(lambda: self._offered is None)
            finally:
                self._offered = None

    async def _deliver(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        del context
        async for request in requests:
            seek = _seek_info(request)
            whole = seek.content_type == ab_pb2.SeekInfo.BLOCK
            first = int(seek.start.specified.number) if seek.start.HasField("specified") else 0
            if whole:
                await self._note_request(first)
            async for block in self._from(first):
                message = common_pb2.Block.FromString(block)
                if whole:
                    self._sent.add(message.header.number)
                elif config_of(message.data.data[0]) is None:
                    message.ClearField("data")
                yield ab_pb2.DeliverResponse(block=message).SerializeToString()
            return

    async def _note_request(self, first: int) -> None:
        """Whoever asks again for what it was sent has refused it."""
        async with self._changed:
            if first == self._offered and first in self._sent:
                self._offered = None
                del self.blocks[first:]
                self._changed.notify_all()

    async def _from(self, first: int) -> AsyncIterator[bytes]:
        for number in itertools.count(first):
            async with self._changed:
                while number >= len(self.blocks) and not self._ended:
                    await self._changed.wait()
            if self._ended:
                return
            yield self.blocks[number]


def block_signers(network: Network) -> Sequence[BlockSigner]:
    """Just enough of a network's orderers for a block: one by name, or under BFT a quorum of the consenters."""
    if network.layout.options.consensus != BFT:
        return [orderer_signer(network)]
    found = all_consenters(network)
    return found[: quorum(len(found))]


def all_consenters(network: Network) -> list[Consenter]:
    """A BFT network's orderers, as the genesis block numbers them: from 1 on."""
    return [
        Consenter(number, signer_of(ORDERER_MSP, orderer.node_crypto / "msp"))
        for number, orderer in enumerate(network.orderers, 1)
    ]


def _seek_info(request: bytes) -> Any:
    """The SeekInfo in a peer's request."""
    payload = common_pb2.Payload.FromString(common_pb2.Envelope.FromString(request).payload)
    return ab_pb2.SeekInfo.FromString(payload.data)
