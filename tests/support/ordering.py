"""The ordering service from outside: transactions that need no chaincode to run, blocks as an orderer delivers them."""

from __future__ import annotations

import asyncio
import itertools
import os
import time

import grpc
from fabric_protos.common import common_pb2, ledger_pb2
from fabric_protos.orderer import ab_pb2

from cloister.deploy.deploy import connected
from cloister.gateway import SubmitError
from cloister.lifecycle import ChaincodeDefinition, Lifecycle
from cloister.network import Network, Orderer
from cloister.testing.signers import Signer, client_signer


async def commit_one(network: Network, name: str) -> int:
    """Have the first organisation approve a definition, through its peer's Gateway; the peer's height after it.

    As clients do while orderers come, go and choose a leader, it tries again with another transaction.
    """
    async with connected(network.organisations[0]) as gateway, asyncio.timeout(20):
        for attempt in itertools.count(1):
            try:
                await Lifecycle(gateway, network.channel).approve(ChaincodeDefinition(f"{name}-{attempt}", "1"))
                break
            except SubmitError:
                await asyncio.sleep(0.1)
    return await height(network)


async def height(network: Network) -> int:
    """How many blocks the first peer has."""
    async with connected(network.organisations[0]) as gateway:
        contract = gateway.network(network.channel).contract("qscc")
        answer = await contract.evaluate_transaction("GetChainInfo", network.channel)
    return int(ledger_pb2.BlockchainInfo.FromString(answer).height)


async def deliver(network: Network, orderer: Orderer, height: int) -> list[bytes]:
    """The channel's first blocks out of one orderer's ledger, as soon as it has them."""
    request = _seek(network.channel, client_signer(network.organisations[0]), height - 1)
    credentials = grpc.ssl_channel_credentials(orderer.tls_ca_path.read_bytes())
    options = [("grpc.ssl_target_name_override", orderer.host)]
    blocks: list[bytes] = []
    async with grpc.aio.secure_channel(orderer.endpoint, credentials, options=options) as channel, asyncio.timeout(20):
        stream = channel.stream_stream("/orderer.AtomicBroadcast/Deliver")()
        await stream.write(request)
        while len(blocks) < height:
            answer = ab_pb2.DeliverResponse.FromString(await stream.read())
            if answer.WhichOneof("Type") != "block":
                raise RuntimeError(f"{orderer.name} ended the stream: {answer.status}")
            blocks.append(answer.block.SerializeToString())
        stream.cancel()
    return blocks


def _seek(channel: str, signer: Signer, last: int) -> bytes:
    """A signed envelope that asks for the blocks from 0 to `last`, waiting for those that are not there yet."""
    header = common_pb2.ChannelHeader(type=common_pb2.DELIVER_SEEK_INFO, channel_id=channel)
    header.timestamp.seconds = int(time.time())
    seek = ab_pb2.SeekInfo(
        start=ab_pb2.SeekPosition(specified=ab_pb2.SeekSpecified(number=0)),
        stop=ab_pb2.SeekPosition(specified=ab_pb2.SeekSpecified(number=last)),
        behavior=ab_pb2.SeekInfo.BLOCK_UNTIL_READY,
    )
    payload = common_pb2.Payload(
        header=common_pb2.Header(
            channel_header=header.SerializeToString(),
            signature_header=common_pb2.SignatureHeader(
                creator=signer.creator, nonce=os.urandom(24)
            ).SerializeToString(),
        ),
        data=seek.SerializeToString(),
    ).SerializeToString()
    envelope = common_pb2.Envelope(payload=payload, signature=signer.sign(payload))
    return envelope.SerializeToString()  # type: ignore[no-any-return]
