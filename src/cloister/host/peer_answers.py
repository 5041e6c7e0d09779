"""Serving an enclave's questions from a peer's simulation and the ledger enclave, and writing its result."""

from __future__ import annotations

import asyncio

from cloister.contract.iterators import KeyValue, Page
from cloister.contract.ledger import VALIDATION_PARAMETER
from cloister.contract.server import PeerStub
from cloister.fabric.transaction import parameter_entry
from cloister.wire.messages import (
    Answer,
    AskLedger,
    GetRange,
    GetState,
    LedgerReplied,
    Question,
    Result,
    RowsAnswer,
    ValueAnswer,
)


async def answer_from_peer(stub: PeerStub, question: Question, ledger: asyncio.Future[bytes]) -> Answer:
    """What the peer says, with what the ledger enclave says to it: both are asked at once.

    Raises: PeerRefused, PeerLost.
    """
    if isinstance(question, AskLedger):
        return LedgerReplied(await ledger)
    if isinstance(question, GetState):
        value = await stub.get_state(question.key) or None
        return ValueAnswer(value, await ledger)
    if isinstance(question, GetRange):
        rows, bookmark = await _rows(stub, question)
        return RowsAnswer(rows, bookmark, await ledger)
    parameters = await stub.get_state_metadata(question.key)
    return ValueAnswer(parameters.get(VALIDATION_PARAMETER) or None, await ledger)


async def write_result(stub: PeerStub, result: Result) -> None:
    """Put an execution's writes, deletes, endorsement parameters and event into the peer's simulation."""
    stub.start_write_batch()
    for key, value in result.puts:
        await stub.put_state(key, value)
    for key in result.deletes:
        await stub.delete_state(key)
    for key, value in result.parameters:
        await stub.put_state_metadata(key, parameter_entry(value), value)
    await stub.finish_write_batch()
    if result.event_name:
        stub.set_event(result.event_name, result.event_payload)


async def _rows(stub: PeerStub, question: GetRange) -> tuple[tuple[tuple[str, bytes], ...], str]:
    page: Page[KeyValue] = await stub.get_state_by_range(
        question.start, question.end, page_size=question.limit, bookmark=question.bookmark
    )
    rows = [(row.key, row.value) for row in page.results]
    bookmark = page.metadata.bookmark
    while page.has_more and not question.limit:
        page = await stub.next_state_page(page.id)
        rows.extend((row.key, row.value) for row in page.results)
    return tuple(rows), bookmark if question.limit else ""
