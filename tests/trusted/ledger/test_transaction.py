"""Envelopes of any bytes are taken apart without an error other than a verdict."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from cloister.testing.forge import Draft, hashed_rwset, range_query, rwset
from cloister.testing.signers import Signer
from cloister.trusted.ledger.codes import Code, Invalid
from cloister.trusted.ledger.errors import LedgerHalted
from cloister.trusted.ledger.transaction import Stage, extract_namespaces, parse_transaction

SIGNER = Signer(b"creator", ec.generate_private_key(ec.SECP256R1()))
PARTS = (
    ("cc", rwset(reads=[("r", (1, 2))], writes=[("w", b"v"), ("d", None)], metadata=[("m", b"p")],
                 ranges=[range_query("a", "b", [("a", (1, 0))])])),
    ("pd", hashed_rwset("pd", "coll", reads=[("r", None)], writes=[("w", b"v")])),
)  # fmt: skip
SOUND = Draft("channel", "cc", SIGNER, [SIGNER], PARTS).build()


def test_a_sound_transaction_has_no_problem_and_every_signature_is_listed() -> None:
    found = parse_transaction(SOUND, 3)
    assert (found.problem, found.index, found.channel, found.chaincode) == (None, 3, "channel", "cc")
    assert found.transaction_id == found.computed_id == found.indexed_id
    assert found.creator is not None
    assert [item.namespace for item in found.namespaces] == ["cc", "pd"]
    assert len(found.endorsements) == 1
    assert found.well_formed
    assert extract_namespaces(SOUND) == found.namespaces


@given(st.binary(max_size=400))
def test_any_bytes_have_a_verdict(encoded: bytes) -> None:
    found = parse_transaction(encoded, 0)
    assert isinstance(found.problem, Invalid | LedgerHalted)
    extract_namespaces(encoded)


@given(st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), max_size=4), st.integers(0, len(SOUND)))
def test_damaged_transactions_have_a_verdict(changes: list[tuple[int, int]], end: int) -> None:
    damaged = bytearray(SOUND)
    for offset, value in changes:
        damaged[offset] = value
    for encoded in (bytes(damaged), bytes(damaged[:end])):
        parse_transaction(encoded, 0)
        extract_namespaces(encoded)


def test_the_stage_of_a_problem_is_where_a_peer_looks_for_it() -> None:
    draft = Draft("channel", "cc", SIGNER, [SIGNER], PARTS)
    for bends, stage, code in (
        ({"header": lambda item: setattr(item, "epoch", 1)}, Stage.HEADER, Code.BAD_COMMON_HEADER),
        ({"header": lambda item: setattr(item, "tx_id", "x")}, Stage.STRUCTURE, Code.BAD_PROPOSAL_TXID),
        ({"results": b"\xff"}, Stage.CONTENT, Code.BAD_RWSET),
    ):
        found = parse_transaction(draft.but(**bends).build(), 0)
        assert isinstance(found.problem, Invalid)
        assert (found.problem_stage, found.problem.code) == (stage, code)
