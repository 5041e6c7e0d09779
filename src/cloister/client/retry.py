"""Trying again what only came a moment too early: nothing was submitted, and soon all are at the same height.

Endorsers read their own committed state: just after a commit one peer may be a block behind the other, their read sets
differ, and the Gateway gives up (Fabric 2.5.9 internal/pkg/gateway/endorsement.go: "ProposalResponsePayloads do not
match"). And a ledger enclave never waits inside a chaincode call: it says that it is behind, the client comes again.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from cloister.gateway import EndorseError, EvaluateError

PATIENCE_S = 15.0
FIRST_DELAY_S = 0.02
LONGEST_DELAY_S = 0.5
_RETRYABLE = re.compile(
    r"ProposalResponsePayloads do not match"
    r"|enclave refused: (ledger-behind|ledger-window|no-ledger|session|busy|stale)"
    r"|(ledger enclave|ledger service) (not reachable|lost)"
)
_T = TypeVar("_T")


async def retry_early(call: Callable[[], Awaitable[_T]], *, patience_s: float = PATIENCE_S) -> _T:
    """The result of `call`, which makes a fresh proposal each time; waits grow from FIRST_DELAY_S to LONGEST_DELAY_S.

    Raises: EndorseError, EvaluateError of the last attempt after `patience_s` seconds; any other error at once.
    """
    deadline, delay_s = time.monotonic() + patience_s, FIRST_DELAY_S
    while True:
        try:
            return await call()
        except (EndorseError, EvaluateError) as error:
            if not is_early(error) or time.monotonic() > deadline:
                raise
        await asyncio.sleep(delay_s)
        delay_s = min(delay_s * 1.6, LONGEST_DELAY_S)


def is_early(error: EndorseError | EvaluateError) -> bool:
    """Whether a moment later the same call may succeed."""
    told = [error.message, *(detail.message for detail in error.details)]
    return any(_RETRYABLE.search(text) for text in told)
