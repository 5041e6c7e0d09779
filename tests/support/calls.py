"""Calling a chaincode without a server and without an event loop, as an enclave does."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from cloister.contract import Chaincode, ChaincodeStub, Invocation, Response

from .memory_ledger import MemoryLedger


def drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits for an event loop; one that does fails the test."""
    try:
        awaited = coroutine.send(None)
    except StopIteration as finished:
        return finished.value
    coroutine.close()
    raise AssertionError(f"the coroutine waits for {awaited!r}")


def call(
    chaincode: Chaincode, *arguments: bytes | str, ledger: MemoryLedger | None = None, creator: bytes = b""
) -> Response:
    """Run a transaction and commit it if it succeeded."""
    ledger = ledger if ledger is not None else MemoryLedger()
    encoded = tuple(argument.encode() if isinstance(argument, str) else argument for argument in arguments)
    stub = ChaincodeStub(Invocation(encoded, "channel", "tx", creator), ledger)
    response = drive(chaincode.invoke(stub))
    if not isinstance(response, Response):
        raise AssertionError("not a response")
    if response.status < 400:
        ledger.commit("tx")
    else:
        ledger.rollback()
    return response
