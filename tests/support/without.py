"""Builds without one of the protocol's decisions each: there the attack that the decision answers succeeds.

For tests alone: an attack that fails on these builds too would show nothing. Each is a context manager; inside it the
enclaves and ledger enclaves of this process lack the decision.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import ANY, patch

from cloister.contract.response import Response
from cloister.errors import MalformedInput, Refused
from cloister.fabric.transaction import EndorsedTransaction, parse_endorsed_transaction
from cloister.trusted.chaincode import execution, opening
from cloister.trusted.chaincode.checked_reads import CheckedReads
from cloister.trusted.chaincode.contract_image import ContractImage
from cloister.trusted.ledger import coverage, statements
from cloister.trusted.ledger.coverage import Coverage, written_facts
from cloister.trusted.ledger.history import Fact
from cloister.trusted.ledger.transaction import NamespaceSet
from cloister.trusted.protocol.questions import Head, SegmentsAnswer, TransactionAnswer
from cloister.trusted.protocol.statement import REVEAL_AT_ENDORSEMENT


@contextmanager
def checked_reads() -> Iterator[None]:
    """The naive build, without a ledger enclave: reads are believed whatever that says (protocol.md 5)."""

    async def hold(self: CheckedReads, noted: object, head: Head, answer: SegmentsAnswer, classify: object) -> None:
        del noted, answer, classify
        self._note_head(head)

    with patch.object(CheckedReads, "_hold", hold):
        yield


@contextmanager
def coverage_marks() -> Iterator[None]:
    """Nobody keeps which transaction wrote a key, and whether a statement covers it (7)."""
    with patch.object(Coverage, "_mark_all", lambda self, part, transaction_id, position: None):
        yield


@contextmanager
def tombstones() -> Iterator[None]:
    """Marks on values alone: what was deleted is as if it had never been (7)."""

    def written(part: NamespaceSet) -> Iterator[Fact]:
        deleted = {write.key.encode() for write in part.public.writes if write.is_delete or not write.value}
        return (fact for fact in written_facts(part) if fact.key not in deleted)

    with patch.object(coverage, "written_facts", written):
        yield


@contextmanager
def signed_reads() -> Iterator[None]:
    """A statement covers whether or not the signed reads hold at the transaction's position (7)."""
    with (
        patch.object(statements, "_reads_marked", lambda reads, chaincode, marks: False),
        patch.object(statements, "_reads_digest", lambda reads, chaincode, position, marks: ANY),
    ):
        yield


@contextmanager
def open_from_the_block() -> Iterator[None]:
    """What is opened is what the asker brings, if its transaction id is committed (8)."""

    from_the_block = opening._transaction

    def transaction(committed: bytes, found: TransactionAnswer, transaction_id: str) -> EndorsedTransaction:
        try:
            return from_the_block(committed, found, transaction_id)
        except (MalformedInput, Refused):
            return parse_endorsed_transaction(committed)

    with patch.object(opening, "_transaction", transaction):
        yield


@contextmanager
def reads_in_the_nonce() -> Iterator[None]:
    """Ciphertexts depend on the transaction id alone (3)."""

    def selector(transaction_id: str, proposal_hash: bytes, reads: bytes) -> bytes:
        del proposal_hash, reads
        return hashlib.sha256(transaction_id.encode()).digest()

    with patch.object(execution, "compute_selector", selector):
        yield


@contextmanager
def one_status_for_all() -> Iterator[None]:
    """A contract's error is an error of the proposal, as in plain chaincode (5.4)."""
    settle = execution._settle

    def settled(response: Response, *rest: object) -> Response:
        done = settle(response, *rest)  # type: ignore[arg-type]
        if done.status >= 400:
            raise Refused("the contract failed", reason="contract")
        return done

    with patch.object(execution, "_settle", settled):
        yield


@contextmanager
def reveal_on_commit() -> Iterator[None]:
    """Every answer is told when it is endorsed (5.4, 8)."""

    def mode(function: str, image: ContractImage) -> execution._Mode:
        found = image.chaincode.find(function)
        return execution._Mode(is_query=found is not None and found.evaluate, reveal=REVEAL_AT_ENDORSEMENT)

    with patch.object(execution, "_mode", mode):
        yield
