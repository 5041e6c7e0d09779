"""The little DER (X.690) that Fabric needs beside what libraries do: one element in, one element out.

Trust level: pure, measured into enclaves. `read_element` accepts what Go's encoding/asn1 does: minimal lengths of at
most four bytes, single-byte tags, bytes after the element.
"""

from __future__ import annotations

SEQUENCE, INTEGER, BIT_STRING, OCTET_STRING = 0x30, 0x02, 0x03, 0x04


def encode_element(tag: int, content: bytes) -> bytes:
    """One element with a minimal length."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    encoded = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(encoded))) + encoded + content


def read_element(data: bytes, offset: int, tag: int) -> tuple[int, int] | None:
    """(start, end) of the content of the element at `offset`, None if there is none with this tag."""
    if offset + 2 > len(data) or data[offset] != tag:
        return None
    length, start = data[offset + 1], offset + 2
    if length & 0x80:
        count = length & 0x7F
        encoded = data[start : start + count]
        if not 1 <= count <= 4 or len(encoded) < count or encoded[0] == 0:
            return None
        length, start = int.from_bytes(encoded, "big"), start + count
        if length < 0x80:
            return None
    return (start, start + length) if start + length <= len(data) else None


def read_integer(content: bytes) -> int | None:
    """The value of an INTEGER's content, None if it is empty or longer than need be."""
    if not content:
        return None
    minimal = len(content) == 1 or not (
        (content[0] == 0 and content[1] < 0x80) or (content[0] == 0xFF and content[1] >= 0x80)
    )
    return int.from_bytes(content, "big", signed=True) if minimal else None
