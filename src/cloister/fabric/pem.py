"""The first block of PEM bytes, as Fabric's programs find it: which certificate an identity is depends on that.

Trust level: pure, measured into enclaves. Written after Go's encoding/pem Decode (Go 1.26; older ones agree but for
nested beginnings), which Fabric's MSPs call and take whatever type the block says it is. Other libraries look for the
first block of type CERTIFICATE: an identity of two blocks would be one member for peers, and another one here.
"""

from __future__ import annotations

import binascii
import re

_BEGIN = b"-----BEGIN "
_END = b"\n-----END "
_DASHES = b"-----"
_NO_SPACES = re.compile(rb"[ \t\r\n]")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,2}")
_PLAIN = re.compile(rb"\s*-----BEGIN CERTIFICATE-----\r?\n[A-Za-z0-9+/=\r\n]+\n-----END CERTIFICATE-----\s*")


def is_plain_certificate(pem: bytes) -> bool:
    """One block of type CERTIFICATE and nothing else: nobody reads another one in it."""
    return _PLAIN.fullmatch(pem) is not None


def first_pem_block(pem: bytes) -> bytes | None:
    """The content of the first block that can be read, of whatever type; None if there is none."""
    start = 0
    while True:
        end = pem.find(_END, start)
        if end < 0:
            return None
        after_end = end + len(_END)
        begin = pem.rfind(_BEGIN, start, end)
        # It begins a line, or stands where a failed block before it left off.
        if begin == start or (begin > start and pem[begin - 1 : begin] == b"\n"):
            content, is_last = _read(pem, begin + len(_BEGIN), end, after_end)
            if content is not None or is_last:
                return content
        start = after_end


def _read(pem: bytes, begin: int, end: int, after_end: int) -> tuple[bytes | None, bool]:
    """(content of one block, from its type on, or None; whether nothing is looked for behind it).

    `end`: of its content; `after_end`: where the type stands again.
    """
    kind, body = _line(pem, begin)
    if not kind.endswith(_DASHES):
        return None, False
    start = body
    while True:
        if start >= len(pem):
            return None, True
        text, following = _line(pem, start)
        if b":" not in text:
            break
        start = following
    if start > body and start > end:  # headers up to its end, or beyond
        return None, start > after_end
    if not pem.startswith(kind, after_end) or _line(pem, after_end + len(kind))[0]:
        return None, False
    return (_decode(pem[start:end]) if start < end else b""), False


def _line(pem: bytes, start: int) -> tuple[bytes, int]:
    """(a line without spaces at its end, where the next one begins)."""
    newline = pem.find(b"\n", start)
    if newline < 0:
        return pem[start:].rstrip(b" \t"), len(pem)
    end = newline - 1 if newline > start and pem[newline - 1 : newline] == b"\r" else newline
    return pem[start:end].rstrip(b" \t"), newline + 1


def _decode(text: bytes) -> bytes | None:
    """Base64 as Go's StdEncoding has it: padded, with line ends anywhere."""
    bare = _NO_SPACES.sub(b"", text)
    if len(bare) % 4 or not _BASE64.fullmatch(bare):
        return None
    return binascii.a2b_base64(bare)
