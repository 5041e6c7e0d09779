"""The naive build: the same enclave without a ledger enclave, which believes its host. For tests alone.

It shows that an attack is real: here it succeeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from cloister.trusted.chaincode.checked_reads import CheckedReads
from cloister.trusted.protocol.questions import Head, SegmentsAnswer


@contextmanager
def naive_build() -> Iterator[None]:
    """Inside, reads are believed whatever the ledger enclave says."""

    async def hold(self: CheckedReads, noted: object, head: Head, answer: SegmentsAnswer, classify: object) -> None:
        del noted, answer, classify
        self._note_head(head)

    with patch.object(CheckedReads, "_hold", hold):
        yield
