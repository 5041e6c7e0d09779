"""Sealing state values and responses with a deterministic, misuse-resistant AEAD (AES-256-GCM-SIV, RFC 8452).

Trust level: trusted, pure; clients open responses with it.
Deterministic, because every endorser must produce the same bytes; misuse-resistant, because a host may run one
transaction id on different snapshots. Sub-key = HKDF(key, selector); the selector (statement.py) differs for every
(transaction id, proposal, reads). Within one execution each stored key is sealed at most once, under its own nonce.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cloister.errors import MalformedInput, Refused
from cloister.wire.framing import decode_frame, decode_text, encode_frame

from .padding import MESSAGE_CLASS, VALUE_CLASS, pad, unpad

_TAG_VALUE_KEY = b"cloister/sealing/value-key/1"
_TAG_RESPONSE_KEY = b"cloister/sealing/response-key/1"
_TAG_NONCE = b"cloister/sealing/nonce/1"
_TAG_VALUE_AD = b"cloister/sealing/value-ad/1"
_TAG_RESPONSE_AD = b"cloister/sealing/response-ad/1"
_TAG_CONTENT = b"cloister/sealing/content/1"
_NONCE_BYTES = 12
_VERSION = b"\x01"
_ID = 32
HEADER_BYTES = 1 + 3 * _ID
"""Version (1), key-set id (32), transaction id (32), selector (32)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a ciphertext belongs; all of it is associated data. `genesis_hash` 32 bytes."""

    genesis_hash: bytes
    channel: str
    chaincode: str

    def fields(self) -> tuple[bytes, ...]:
        """The place as frame fields."""
        return (self.genesis_hash, self.channel.encode(), self.chaincode.encode())


@dataclass(frozen=True, slots=True)
class SealedHeader:
    """What stands in clear before a sealed value. `transaction_id` is that of the writer, 64 hex characters."""

    key_set_id: bytes
    transaction_id: str
    selector: bytes

    def encode(self) -> bytes:
        """HEADER_BYTES bytes."""
        return _VERSION + self.key_set_id + bytes.fromhex(self.transaction_id) + self.selector


@dataclass(frozen=True, slots=True)
class OpenedValue:
    """A state value with its plain key name and the id of the transaction that wrote it."""

    key: str
    value: bytes
    transaction_id: str


def seal_value(
    *, value_key: bytes, place: Place, header: SealedHeader, stored_key: str, key: str, value: bytes
) -> bytes:
    """A sealed state value: header, ciphertext, tag. The plain key name travels inside."""
    content = pad(encode_frame(_TAG_CONTENT, (key.encode(), value)), VALUE_CLASS)
    sub_key = _sub_key(_TAG_VALUE_KEY, value_key, header.selector)
    encoded = header.encode()
    return encoded + AESGCMSIV(sub_key).encrypt(_nonce(stored_key), content, _value_ad(place, encoded, stored_key))


def read_header(sealed: bytes) -> SealedHeader:
    """The header of a sealed value; nothing of it is authenticated before `open_value`. Raises: Refused."""
    if len(sealed) < HEADER_BYTES or sealed[:1] != _VERSION:
        raise _does_not_open()
    return SealedHeader(sealed[1 : 1 + _ID], sealed[1 + _ID : 1 + 2 * _ID].hex(), sealed[1 + 2 * _ID : HEADER_BYTES])


def open_value(*, value_key: bytes, place: Place, stored_key: str, sealed: bytes) -> OpenedValue:
    """Open a state value found under `stored_key`. Raises: Refused(reason="integrity"), the same for every cause."""
    header = read_header(sealed)
    sub_key = _sub_key(_TAG_VALUE_KEY, value_key, header.selector)
    associated = _value_ad(place, sealed[:HEADER_BYTES], stored_key)
    try:
        content = AESGCMSIV(sub_key).decrypt(_nonce(stored_key), sealed[HEADER_BYTES:], associated)
        key, value = decode_frame(_TAG_CONTENT, unpad(content), count=2)
        return OpenedValue(decode_text(key, "key"), value, header.transaction_id)
    except (InvalidTag, MalformedInput, ValueError) as error:
        raise _does_not_open() from error


def seal_response(*, response_key: bytes, place: Place, transaction_id: str, selector: bytes, content: bytes) -> bytes:
    """Selector (32 bytes) and the response sealed under a key of 32 bytes that came inside the request."""
    sub_key = _sub_key(_TAG_RESPONSE_KEY, response_key, selector)
    associated = _response_ad(place, transaction_id, selector)
    return selector + AESGCMSIV(sub_key).encrypt(_nonce(""), pad(content, MESSAGE_CLASS), associated)


def open_response(*, response_key: bytes, place: Place, transaction_id: str, sealed: bytes) -> bytes:
    """Inverse of `seal_response`. Raises: Refused(reason="integrity")."""
    selector = response_selector(sealed)
    sub_key = _sub_key(_TAG_RESPONSE_KEY, response_key, selector)
    try:
        content = AESGCMSIV(sub_key).decrypt(_nonce(""), sealed[_ID:], _response_ad(place, transaction_id, selector))
        return unpad(content)
    except (InvalidTag, MalformedInput, ValueError) as error:
        raise _does_not_open() from error


def response_selector(sealed: bytes) -> bytes:
    """The selector (32 bytes) in front of a sealed response; `open_response` authenticates it."""
    return sealed[:_ID]


def _value_ad(place: Place, header: bytes, stored_key: str) -> bytes:
    return encode_frame(_TAG_VALUE_AD, (*place.fields(), header, stored_key.encode()))


def _response_ad(place: Place, transaction_id: str, selector: bytes) -> bytes:
    return encode_frame(_TAG_RESPONSE_AD, (*place.fields(), transaction_id.encode(), selector))


def _sub_key(tag: bytes, key: bytes, selector: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=encode_frame(tag, (selector,))).derive(key)


def _nonce(stored_key: str) -> bytes:
    return hashlib.sha256(encode_frame(_TAG_NONCE, (stored_key.encode(),))).digest()[:_NONCE_BYTES]


def _does_not_open() -> Refused:
    return Refused("sealed value refused: it does not belong here", reason="integrity")
