"""Every parser, found by its shape: any bytes and damaged records parse or are refused with this project's own errors.

The same parsers are fuzzed by coverage: `make fuzz`.
"""

from __future__ import annotations

import contextlib
import random

from hypothesis import given, note
from hypothesis import strategies as st

from cloister.errors import CloisterError
from cloister.wire.framing import encode_frame
from fuzz.fields import join, mutate, split
from fuzz.parsers import all_parsers, tags

PARSERS = all_parsers()
fields = st.lists(st.binary(max_size=40) | st.sampled_from([b"", bytes(8), bytes(32), b"text"]), max_size=12)


@given(st.binary(max_size=200) | st.builds(encode_frame, st.sampled_from(tags()), fields))
def test_any_bytes_parse_or_are_refused_with_our_own_errors(encoded: bytes) -> None:
    for name, parse in PARSERS.items():
        note(name)
        with contextlib.suppress(CloisterError):
            parse(encoded)


def test_the_parsers_are_found() -> None:
    assert {
        "cloister.fabric.block.parse_block",
        "cloister.trusted.attest.evidence.decode_evidence",
        "cloister.trusted.ledger.msp.load_msp",
        "cloister.wire.messages.decode_host_message",
        "parse_transaction",
    } <= PARSERS.keys()


@given(st.binary(max_size=60), st.integers())
def test_mutated_messages_are_still_messages(content: bytes, seed: int) -> None:
    """The fuzzer's own mutator: what it changes deep inside keeps the lengths around it right."""
    inner = join([(10, content), (16, b"\x05")])
    outer = join([(10, inner), (18, content)])
    assert split(outer) == [(10, inner), (18, content)]
    mutated = mutate(outer, lambda part: part + b"x", random.Random(seed))
    assert split(mutated) is not None or mutated == outer + b"x"
