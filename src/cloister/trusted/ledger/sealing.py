"""A checkpoint on its way to the host and back: sealed part by part, so that no part can be left out, moved or mixed.

Trust level: trusted, pure (fresh randomness is handed in). AES-256-GCM-SIV (RFC 8452) under a key for this one file,
derived from the platform's sealing secret and a random file id; the part's number and whether it is the last one are
nonce and associated data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cloister.errors import Refused
from cloister.wire.framing import encode_frame, u32, u64
from cloister.wire.stream import FrameBuffer, wrap_frame

PART_BYTES = 1 << 20
FILE_ID_BYTES = 16
_TAG_KEY = b"cloister/ledger-checkpoint/key/2"
_TAG_PART = b"cloister/ledger-checkpoint/part/2"
_LAST, _MORE = b"\1", b"\0"


def seal_parts(
    records: Iterable[bytes], *, secret: bytes, random_bytes: Callable[[int], bytes]
) -> Iterator[tuple[bytes, bool]]:
    """(sealed part, whether it is the last one). Each part begins with the file id and says nothing else in clear."""
    file_id = random_bytes(FILE_ID_BYTES)
    cipher = _cipher(secret, file_id)
    waiting, number = bytearray(), 0
    for record in records:
        waiting += wrap_frame(record)
        while len(waiting) > PART_BYTES:
            yield _seal(cipher, file_id, number, bytes(waiting[:PART_BYTES]), last=False), False
            del waiting[:PART_BYTES]
            number += 1
    yield _seal(cipher, file_id, number, bytes(waiting), last=True), True


class PartOpener:
    """Opens the parts of one file, in order. `records` gives what is complete; `done` once the last part was opened."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._file_id = b""
        self._number = 0
        self._buffer = FrameBuffer()
        self.done = False

    def records(self, part: bytes, *, last: bool) -> list[bytes]:
        """Raises: Refused(reason="sealed-state"); MalformedInput."""
        file_id, sealed = part[:FILE_ID_BYTES], part[FILE_ID_BYTES:]
        if self.done or (self._number and file_id != self._file_id):
            raise _refused()
        self._file_id = file_id
        nonce, associated = _place(file_id, self._number, last=last)
        try:
            opened = _cipher(self._secret, file_id).decrypt(nonce, sealed, associated)
        except (InvalidTag, ValueError) as error:
            raise _refused() from error
        self._number += 1
        self.done = last
        return self._buffer.feed(opened)


def _seal(cipher: AESGCMSIV, file_id: bytes, number: int, content: bytes, *, last: bool) -> bytes:
    nonce, associated = _place(file_id, number, last=last)
    return file_id + cipher.encrypt(nonce, content, associated)


def _place(file_id: bytes, number: int, *, last: bool) -> tuple[bytes, bytes]:
    associated = encode_frame(_TAG_PART, (file_id, u64(number), _LAST if last else _MORE))
    return u32(0) + u64(number), associated


def _cipher(secret: bytes, file_id: bytes) -> AESGCMSIV:
    info = encode_frame(_TAG_KEY, (file_id,))
    return AESGCMSIV(HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(secret))


def _refused() -> Refused:
    return Refused("sealed checkpoint refused: it is not of this enclave on this platform", reason="sealed-state")
