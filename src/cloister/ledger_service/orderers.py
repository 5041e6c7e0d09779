"""Blocks from the orderers' Deliver service: a stream from any number on, or one block.

Not from one's own peer: blocks are wanted while a chaincode call runs, and then the peer's simulator holds locks that
its own Deliver needs (protocol.md 5.2). Source: Fabric 2.5.9 orderer/common/server (AtomicBroadcast/Deliver).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.orderer import ab_pb2

from cloister.errors import EnvironmentFailed, MalformedInput
from cloister.fabric.block import parse_block
from cloister.fabric.byte_fields import split_repeated
from cloister.gateway import load_identity, load_signer
from cloister.gateway.connection import Endpoint, open_channel, tls_certificate_hash
from cloister.gateway.errors import EventsError
from cloister.gateway.identity import sign_digest
from cloister.gateway.nonce import new_nonce
from cloister.gateway.rpc import call_deliver, decode_answer
from cloister.gateway.session import digest_of

from .config import OrdererFiles

_METHOD = "/orderer.AtomicBroadcast/Deliver"
_BLOCK = b"\x12"
"""Tag of field 2 of `orderer.DeliverResponse`: a block."""
_LAST = 2**64 - 1
ONE_BLOCK_TIMEOUT_S = 10.0


class Orderers:
    """The orderers of one channel, each with its own connection. Raises, at once: EnvironmentFailed, MalformedInput."""

    def __init__(self, files: OrdererFiles, *, channel: str, msp_id: str) -> None:
        self.addresses = files.addresses
        self._channel = channel
        self._identity = load_identity(msp_id, files.certificate)
        self._signer = load_signer(files.key)
        self._endpoints = {address: _endpoint(address, files) for address in files.addresses}
        self._connections: dict[str, Any] = {}

    async def blocks(self, address: str, number: int) -> AsyncGenerator[bytes, None]:
        """Serialised `common.Block`s from this number on, without end. Raises, while iterating: EventsError."""
        async with aclosing(self._deliver(address, number, _LAST)) as answers:
            async for block in answers:
                yield block

    async def block(self, number: int, addresses: Iterable[str]) -> bytes:
        """One block, from the first of these orderers that gives it. Raises: EventsError."""
        failure = EventsError("no orderer to ask")
        for address in addresses:
            try:
                async with (
                    asyncio.timeout(ONE_BLOCK_TIMEOUT_S),
                    aclosing(self._deliver(address, number, number)) as found,
                ):
                    async for block in found:
                        if parse_block(block).number == number:
                            return block
                        failure = EventsError(f"{address} delivered another block than {number}")
            except (EventsError, MalformedInput) as error:
                failure = EventsError(error.message)
            except TimeoutError:
                failure = EventsError(f"{address} did not deliver block {number} in {ONE_BLOCK_TIMEOUT_S:.0f} s")
        raise failure

    async def close(self) -> None:
        """Close all connections."""
        connections, self._connections = self._connections, {}
        for connection in connections.values():
            await connection.close()

    async def _deliver(self, address: str, first: int, last: int) -> AsyncGenerator[bytes, None]:
        request = await self._request(self._endpoints[address], first, last)
        connection = self._connections.get(address)
        if connection is None:
            connection = open_channel(self._endpoints[address], allow_plaintext=True)
            self._connections[address] = connection
        stream = call_deliver(connection, _METHOD, request, error=EventsError, endpoint=address)
        async with aclosing(stream) as answers:
            async for encoded in answers:
                plain = split_repeated(encoded, _BLOCK)
                if plain is not None and len(plain) == 1:  # a block, as it was sent: for the enclave to read
                    yield plain[0]
                    continue
                answer = decode_answer(ab_pb2.DeliverResponse(), encoded, error=EventsError, endpoint=address)
                if answer.WhichOneof("Type") != "block":
                    raise EventsError(f"{address} ended the stream: {_name(answer.status)}", code=_name(answer.status))
                yield answer.block.SerializeToString()

    async def _request(self, endpoint: Endpoint, first: int, last: int) -> bytes:
        header = common_pb2.ChannelHeader(
            type=common_pb2.DELIVER_SEEK_INFO,
            channel_id=self._channel,
            tls_cert_hash=tls_certificate_hash(endpoint),
        )
        header.timestamp.seconds, header.timestamp.nanos = divmod(time.time_ns(), 1_000_000_000)
        signature_header = common_pb2.SignatureHeader(creator=self._identity.creator, nonce=new_nonce())
        seek = ab_pb2.SeekInfo(start=_position(first), stop=_position(last), behavior=ab_pb2.SeekInfo.BLOCK_UNTIL_READY)
        payload = common_pb2.Payload(
            header=common_pb2.Header(
                channel_header=header.SerializeToString(), signature_header=signature_header.SerializeToString()
            ),
            data=seek.SerializeToString(),
        ).SerializeToString()
        signature = await sign_digest(self._signer, digest_of(payload))
        request: bytes = common_pb2.Envelope(payload=payload, signature=signature).SerializeToString()
        return request


def _position(number: int) -> ab_pb2.SeekPosition:
    return ab_pb2.SeekPosition(specified=ab_pb2.SeekSpecified(number=number))


def _name(status: int) -> str:
    return common_pb2.Status.Name(status) if status in common_pb2.Status.values() else str(status)


def _endpoint(address: str, files: OrdererFiles) -> Endpoint:
    return Endpoint(
        address,
        _read(files.tls_ca),
        files.tls_name,
        client_certificate=_read(files.tls_certificate),
        client_key=_read(files.tls_key),
    )


def _read(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise EnvironmentFailed(f"{path}: {error.strerror}") from error
