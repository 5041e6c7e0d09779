"""The sealed request: what a client sends as the only argument of its proposal.

Trust level: trusted, pure; used by both ends.
Bound through HPKE's `info` to channel, genesis hash, chaincode, sequence, measurement, transaction id and creator: the
same request under another transaction id or another creator does not open.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from cloister.errors import MalformedInput
from cloister.wire.framing import (
    begin_frame,
    decode_frame,
    decode_text,
    decode_u64,
    encode_frame,
    frame_field,
    require_length,
    u64,
)

from .hpke import HpkeKey, seal_to
from .key_set import KeySetDescriptor
from .padding import MESSAGE_CLASS, pad, unpad
from .statement import NO_CHECKPOINT, Checkpoint

RESPONSE_KEY_BYTES = 32
MAX_REQUEST_BYTES = 16 * 1024 * 1024
"""Bound on a sealed request in bytes."""
_TAG_ENVELOPE = b"cloister/sealed-request/1"
_TAG_REQUEST = b"cloister/request/1"
_TAG_INFO = b"cloister/request-info/1"
_TAG_LIST = b"cloister/list/1"


@dataclass(frozen=True, slots=True)
class Request:
    """What the client wants run. `response_key` is 32 fresh random bytes; `minimum` its last checkpoint."""

    function: str
    arguments: tuple[bytes, ...]
    response_key: bytes = field(repr=False)
    transient: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    minimum: Checkpoint = NO_CHECKPOINT

    def encode(self) -> bytes:
        """Canonical bytes. Secret."""
        transient = [part for key in sorted(self.transient) for part in (key.encode(), self.transient[key])]
        return encode_frame(
            _TAG_REQUEST,
            (
                self.function.encode(),
                encode_frame(_TAG_LIST, self.arguments),
                self.response_key,
                encode_frame(_TAG_LIST, transient),
                u64(self.minimum.height),
                self.minimum.block_hash,
            ),
        )


@dataclass(frozen=True)
class RequestScope:
    """What the requests of one definition are bound to. Hash and measurement 32 bytes."""

    channel: str
    genesis_hash: bytes
    chaincode: str
    sequence: int
    measurement: bytes

    def info(self, transaction_id: str, creator: bytes) -> bytes:
        """HPKE `info` of one request; `creator` is a serialised identity."""
        return self._beginning + frame_field(transaction_id.encode()) + frame_field(hashlib.sha256(creator).digest())

    @cached_property
    def _beginning(self) -> bytes:
        fields = (
            self.channel.encode(),
            self.genesis_hash,
            self.chaincode.encode(),
            u64(self.sequence),
            self.measurement,
        )
        return begin_frame(_TAG_INFO, len(fields) + 2, fields)


def seal_request(request: Request, descriptor: KeySetDescriptor, *, transaction_id: str, creator: bytes) -> bytes:
    """The sealed request, made by a client that has verified the descriptor."""
    scope = RequestScope(
        channel=descriptor.channel,
        genesis_hash=descriptor.genesis_hash,
        chaincode=descriptor.chaincode,
        sequence=descriptor.sequence,
        measurement=descriptor.measurement,
    )
    padded, info = pad(request.encode(), MESSAGE_CLASS), scope.info(transaction_id, creator)
    return encode_frame(_TAG_ENVELOPE, (descriptor.key_set_id, seal_to(descriptor.request_key, padded, info)))


def split_request(sealed: bytes) -> tuple[bytes, bytes]:
    """(id of the key set that a sealed request was made for, 32 bytes; ciphertext). Raises: MalformedInput."""
    if len(sealed) > MAX_REQUEST_BYTES:
        raise MalformedInput("request: too long", field="request")
    key_set_id, ciphertext = decode_frame(_TAG_ENVELOPE, sealed, count=2)
    return require_length(key_set_id, (32,), "key-set id"), ciphertext


def open_request(ciphertext: bytes, info: bytes, request_key: HpkeKey) -> Request:
    """Open a request's ciphertext for exactly this `info` (of its scope).

    Raises: Refused(reason="sealed"); MalformedInput.
    """
    opened = unpad(request_key.open(ciphertext, info))
    function, arguments, response_key, transient, height, block_hash = decode_frame(_TAG_REQUEST, opened, count=6)
    flat = decode_frame(_TAG_LIST, transient)
    if len(flat) % 2:
        raise MalformedInput("request: transient pairs expected", field="request")
    return Request(
        function=decode_text(function, "function"),
        arguments=decode_frame(_TAG_LIST, arguments),
        response_key=require_length(response_key, (RESPONSE_KEY_BYTES,), "response key"),
        transient={decode_text(flat[i], "transient key"): flat[i + 1] for i in range(0, len(flat), 2)},
        minimum=Checkpoint(decode_u64(height, "height"), require_length(block_hash, (0, 32), "checkpoint hash")),
    )
