"""Sealing state values and responses with a deterministic, misuse-resistant AEAD (AES-256-GCM-SIV, RFC 8452).

Trust level: trusted, pure; clients open responses with it.
Deterministic, because every endorser must produce the same bytes; misuse-resistant, because a host may run one
transaction id on different snapshots. The nonce is a PRF of the associated data, in which stand the place, the stored
key and the selector (statement.py): it differs for every (transaction id, proposal, reads) and, within one execution,
for every stored key, each of which is sealed at most once. PRF = HMAC-SHA256, its first 12 bytes; its key is derived
from the sealing key, so that nobody outside can look for places whose nonces meet.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from cloister.errors import MalformedInput, Refused
from cloister.wire.framing import begin_frame, encode_frame, frame_field, u32

from .padding import MESSAGE_CLASS, VALUE_CLASS, pad, unpad
from .prf import Prf

_TAG_NONCE_KEY = b"cloister/sealing/nonce-key/2"
_TAG_VALUE_AD = b"cloister/sealing/value-ad/2"
_TAG_RESPONSE_AD = b"cloister/sealing/response-ad/2"
_NONCE_BYTES, _KEY_BYTES = 12, 32
_VERSION = b"\x02"
_ID = 32
_LENGTH = 4
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


def read_header(sealed: bytes) -> SealedHeader:
    """The header of a sealed value; nothing of it is authenticated before it is opened. Raises: Refused."""
    key_set_id = read_key_set_id(sealed)
    return SealedHeader(key_set_id, sealed[1 + _ID : 1 + 2 * _ID].hex(), sealed[1 + 2 * _ID : HEADER_BYTES])


def read_key_set_id(sealed: bytes) -> bytes:
    """The same of the header's key-set id (32 bytes) alone. Raises: Refused."""
    if len(sealed) < HEADER_BYTES or sealed[:1] != _VERSION:
        raise _does_not_open()
    return sealed[1 : 1 + _ID]


class ValueCipher:
    """Seals and opens the state values of one place under one value key (32 bytes).

    The content is u32 length of the plain key, that key as UTF-8, the value; padded to its size class.
    """

    __slots__ = ("_beginning", "_cipher", "_nonce")

    def __init__(self, value_key: bytes, place: Place) -> None:
        self._cipher = AESGCMSIV(value_key)
        self._nonce = _nonces(value_key)
        self._beginning = begin_frame(_TAG_VALUE_AD, 5, place.fields())

    def seal(self, header: SealedHeader, *, stored_key: str, key: str, value: bytes) -> bytes:
        """A sealed state value: header, ciphertext, tag. The plain key name travels inside."""
        plain_key, encoded = key.encode(), header.encode()
        content = pad(u32(len(plain_key)) + plain_key + value, VALUE_CLASS)
        associated = self._associated(encoded, stored_key)
        return encoded + self._cipher.encrypt(self._nonce(associated), content, associated)

    def open(self, sealed: bytes, *, stored_key: str) -> tuple[str, bytes]:
        """(plain key, value) of what was found under `stored_key`.

        Raises: Refused(reason="integrity"), the same for every cause.
        """
        associated = self._associated(sealed[:HEADER_BYTES], stored_key)
        try:
            content = unpad(self._cipher.decrypt(self._nonce(associated), sealed[HEADER_BYTES:], associated))
            begin = _LENGTH + int.from_bytes(content[:_LENGTH], "big")
            if begin > len(content):
                raise _does_not_open()
            return content[_LENGTH:begin].decode(), content[begin:]
        except (InvalidTag, MalformedInput, ValueError) as error:
            raise _does_not_open() from error

    def _associated(self, header: bytes, stored_key: str) -> bytes:
        return self._beginning + frame_field(header) + frame_field(stored_key.encode())


def seal_response(*, response_key: bytes, place: Place, transaction_id: str, selector: bytes, content: bytes) -> bytes:
    """Selector (32 bytes) and the response sealed under a key of 32 bytes that came inside the request."""
    associated = _response_ad(place, transaction_id, selector)
    padded = pad(content, MESSAGE_CLASS)
    nonce = _nonces(response_key)(associated)
    return selector + AESGCMSIV(response_key).encrypt(nonce, padded, associated)


def open_response(*, response_key: bytes, place: Place, transaction_id: str, sealed: bytes) -> bytes:
    """Inverse of `seal_response`. Raises: Refused(reason="integrity")."""
    associated = _response_ad(place, transaction_id, response_selector(sealed))
    nonce = _nonces(response_key)(associated)
    try:
        return unpad(AESGCMSIV(response_key).decrypt(nonce, sealed[_ID:], associated))
    except (InvalidTag, MalformedInput, ValueError) as error:
        raise _does_not_open() from error


def response_selector(sealed: bytes) -> bytes:
    """The selector (32 bytes) in front of a sealed response; `open_response` authenticates it."""
    return sealed[:_ID]


def _response_ad(place: Place, transaction_id: str, selector: bytes) -> bytes:
    return encode_frame(_TAG_RESPONSE_AD, (*place.fields(), transaction_id.encode(), selector))


def _nonces(sealing_key: bytes) -> Prf:
    """Associated data → nonce."""
    nonce_key = Prf(sealing_key, _KEY_BYTES)(_TAG_NONCE_KEY)
    return Prf(nonce_key, _NONCE_BYTES)


def _does_not_open() -> Refused:
    return Refused("sealed value refused: it does not belong here", reason="integrity")
