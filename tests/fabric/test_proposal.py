from __future__ import annotations

import pytest

from cloister.fabric.proposal import NONCE_BYTES, build_proposal, encode_signed_proposal, parse_signed_proposal


@pytest.mark.parametrize("transient", [{}, {"b": b"2", "a": b"1"}])
def test_what_was_built_is_parsed_with_the_same_id_and_hash(transient: dict[str, bytes]) -> None:
    built = build_proposal(
        channel="channel",
        chaincode="chaincode",
        arguments=[b"function", b"", b"argument"],
        creator=b"creator",
        nonce=bytes(NONCE_BYTES),
        timestamp_ns=1_700_000_000_123_456_789,
        transient=transient,
    )
    parsed = parse_signed_proposal(encode_signed_proposal(built.encoded, b"signature"))
    assert (parsed.transaction_id, parsed.proposal_hash) == (built.transaction_id, built.proposal_hash)
    assert (parsed.arguments, parsed.transient) == ((b"function", b"", b"argument"), transient)
    assert (parsed.channel, parsed.spec_chaincode, parsed.creator) == ("channel", "chaincode", b"creator")
