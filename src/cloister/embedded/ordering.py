"""The ordering service: takes transactions, cuts blocks, signs them, has them committed.

Source: Fabric 2.5.9 orderer/common/{broadcast,blockcutter,msgprocessor,multichannel}. One node, so there is nothing to
agree on. A transaction that would stop real peers (see the judge's `LedgerHalted`) is left out, loudly.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Sequence
from typing import Any

from fabric_protos.common import common_pb2, configtx_pb2
from fabric_protos.orderer import configuration_pb2

from cloister.errors import MalformedInput
from cloister.fabric.decoding import decode_message
from cloister.testing.blocks import make_block
from cloister.testing.configs import sign_data
from cloister.testing.signers import Signer
from cloister.trusted.ledger.channel_config import ChannelConfig, load_config
from cloister.trusted.ledger.config_update import check_compatible, verify_config_update
from cloister.trusted.ledger.errors import LedgerHalted
from cloister.trusted.ledger.judge import JudgedBlock
from cloister.trusted.ledger.policies import SignedItem, valid_signers

from .config_updates import propose_config
from .errors import BroadcastRefused
from .ledger import Ledger

LOG = logging.getLogger("cloister.embedded.orderer")
WRITERS = "/Channel/Writers"
_NONCE_BYTES = 24
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Orderer:
    """Use `run` as a task. `signer`: the orderer's identity."""

    def __init__(self, ledger: Ledger, signer: Signer) -> None:
        self._ledger = ledger
        self._signer = signer
        self._pending: list[bytes] = []
        self._size = 0
        self._arrived = asyncio.Condition()
        self._configurations: list[bytes] = []

    async def broadcast(self, encoded: bytes) -> None:
        """Take an envelope. Raises: BroadcastRefused."""
        envelope, header = _parse(encoded)
        if header.channel_id != self._ledger.channel:
            raise BroadcastRefused("channel does not exist", common_pb2.NOT_FOUND)
        if header.type == common_pb2.CONFIG:
            raise BroadcastRefused("message is of type that cannot be processed directly", common_pb2.BAD_REQUEST)
        self._check_size(encoded)
        self._check_writer(envelope)
        async with self._arrived:
            if header.type == common_pb2.CONFIG_UPDATE:
                self._configurations.append(self._make_configuration(encoded))
            else:
                self._pending.append(encoded)
                self._size += len(encoded)
            self._arrived.notify_all()

    async def run(self) -> None:
        """Cut blocks for ever: by count, by size, by time after the first transaction."""
        while True:
            batch, configuration = await self._next_batch()
            if batch:
                await self._write(batch)
            if configuration:
                await self._write([configuration], is_config=True)

    async def _next_batch(self) -> tuple[list[bytes], bytes]:
        async with self._arrived:
            await self._arrived.wait_for(lambda: bool(self._pending or self._configurations))
            try:
                async with asyncio.timeout(batch_timeout(self._ledger.config)):
                    await self._arrived.wait_for(self._is_full)
            except TimeoutError:
                pass
            batch = self._cut()
            configuration = self._configurations.pop(0) if self._configurations and not self._pending else b""
            return batch, configuration

    def _is_full(self) -> bool:
        size = batch_size(self._ledger.config)
        return (
            len(self._pending) >= size.max_message_count
            or self._size >= size.preferred_max_bytes
            or bool(self._configurations)
        )

    def _cut(self) -> list[bytes]:
        """What goes into the next block; a transaction above the preferred size goes alone."""
        size = batch_size(self._ledger.config)
        batch: list[bytes] = []
        taken = 0
        while self._pending and len(batch) < size.max_message_count:
            if batch and taken + len(self._pending[0]) > size.preferred_max_bytes:
                break
            taken += len(self._pending[0])
            batch.append(self._pending.pop(0))
        self._size -= taken
        return batch

    async def _write(self, batch: Sequence[bytes], *, is_config: bool = False) -> None:
        """Make the next block of a batch and commit it."""
        block, judged = self._try(batch, is_config=is_config)
        if judged is None:
            sound = [item for item in batch if self._try([item], is_config=is_config)[1] is not None]
            block, judged = self._try(sound, is_config=is_config) if sound else (b"", None)
        if judged is not None:
            await self._ledger.commit(block, judged)

    def _try(self, batch: Sequence[bytes], *, is_config: bool) -> tuple[bytes, JudgedBlock | None]:
        block = self._make(batch, is_config=is_config)
        try:
            return block, self._ledger.judge(block)
        except LedgerHalted as halted:
            LOG.warning(
                "left out of block %d, for real peers would stop at it: %s", self._ledger.height, halted.message
            )
            return block, None

    def _make(self, batch: Sequence[bytes], *, is_config: bool) -> bytes:
        number = self._ledger.height
        last_config = number if is_config else self._ledger.config_block
        nonce = os.urandom(_NONCE_BYTES)
        return make_block(number, self._ledger.last_hash, batch, [self._signer], last_config=last_config, nonce=nonce)

    def _make_configuration(self, update: bytes) -> bytes:
        """The CONFIG transaction of a CONFIG_UPDATE, if its signers may make it. Raises: BroadcastRefused."""
        current = self._ledger.config
        envelope = configtx_pb2.ConfigEnvelope(last_update=common_pb2.Envelope.FromString(update))
        try:
            envelope.config.CopyFrom(propose_config(update, current))
            config = verify_config_update(envelope.SerializeToString(), channel=self._ledger.channel, current=current)
            check_compatible(current, load_config(config))
        except (LedgerHalted, MalformedInput) as error:
            raise BroadcastRefused(
                f"error applying config update to existing channel '{self._ledger.channel}': {error.message}",
                common_pb2.BAD_REQUEST,
            ) from error
        return sign_data(self._ledger.channel, self._signer, common_pb2.CONFIG, envelope.SerializeToString())

    def _check_size(self, encoded: bytes) -> None:
        limit = batch_size(self._ledger.config).absolute_max_bytes
        if len(encoded) > limit:
            raise BroadcastRefused(
                f"message payload is {len(encoded)} bytes and exceeds maximum allowed {limit} bytes",
                common_pb2.BAD_REQUEST,
            )

    def _check_writer(self, envelope: Any) -> None:
        config = self._ledger.config
        if not config.policy(WRITERS).evaluate(valid_signers(signed_items(envelope), config.msps)):
            raise BroadcastRefused(
                "implicit policy evaluation failed - 0 sub-policies were satisfied, but this policy requires 1 of the "
                "'Writers' sub-policies to be satisfied: permission denied",
                common_pb2.FORBIDDEN,
            )


def signed_items(envelope: Any) -> list[SignedItem]:
    """Who claims to have signed an envelope."""
    payload = common_pb2.Payload.FromString(envelope.payload)
    creator = common_pb2.SignatureHeader.FromString(payload.header.signature_header).creator
    return [SignedItem(creator, envelope.payload, envelope.signature)]


def batch_size(config: ChannelConfig) -> Any:
    """The channel's `BatchSize`."""
    return configuration_pb2.BatchSize.FromString(config.group.groups["Orderer"].values["BatchSize"].value)


def batch_timeout(config: ChannelConfig) -> float:
    """The channel's batch timeout in seconds."""
    value = config.group.groups["Orderer"].values["BatchTimeout"].value
    text = configuration_pb2.BatchTimeout.FromString(value).timeout
    return sum(float(number) * _SECONDS.get(unit, 1e-6) for number, unit in re.findall(r"([0-9.]+)([a-zµ]+)", text))


def _parse(encoded: bytes) -> tuple[Any, Any]:
    try:
        envelope = decode_message(common_pb2.Envelope(), encoded, "envelope")
        payload = decode_message(common_pb2.Payload(), envelope.payload, "payload")
        decode_message(common_pb2.SignatureHeader(), payload.header.signature_header, "signature header")
        return envelope, decode_message(common_pb2.ChannelHeader(), payload.header.channel_header, "channel header")
    except MalformedInput as error:
        message = f"could not determine channel ID: {error.message}"
        raise BroadcastRefused(message, common_pb2.BAD_REQUEST) from error
