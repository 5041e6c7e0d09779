"""Messages of nothing but byte fields, taken apart without the library where they are plainly encoded.

Trust level: pure, measured into enclaves. A block is bytes within bytes, and long: the library copies it three times,
to read it and to see that it is plainly encoded. Here both are seen in passing. Plain is what the library itself would
write. Of anything that is not, nothing is said: the caller asks `decode_message`.
"""

from __future__ import annotations

_LONGEST_SHIFT = 21
"""Lengths of up to four bytes, 256 MB."""


def split_fields(encoded: bytes) -> tuple[bytes, list[bytes]] | None:
    """(first bytes of all fields, their contents), in order. None if a length is not plainly encoded or does not fit.

    The caller compares the first bytes with the tags of one byte, of wire type LEN, that it expects.
    """
    tags, contents = bytearray(), []
    position, size = 0, len(encoded)
    try:
        while position < size:
            length = byte = encoded[position + 1]
            start, shift = position + 2, 7
            while byte > 0x7F and shift <= _LONGEST_SHIFT:
                byte = encoded[start]
                start += 1
                length += (byte - 1) << shift  # minus one: the bit of the byte before that says "more"
                shift += 7
            if byte > 0x7F or (byte == 0 and shift > 7):
                return None
            tags.append(encoded[position])
            position = start + length
            contents.append(encoded[start:position])
    except IndexError:
        return None
    return (bytes(tags), contents) if position == size else None


def split_repeated(encoded: bytes, tag: bytes) -> list[bytes] | None:
    """The contents of a message of one field, any number of times, empty or not; None if it is not plainly that."""
    found = split_fields(encoded)
    return found[1] if found is not None and found[0] == tag * len(found[0]) else None
