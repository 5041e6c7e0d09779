"""Trying an endorsement again when peers were at different heights.

Endorsers read their own committed state. Just after a commit one peer may be a block behind the other; their read sets
differ, and the Gateway gives up: nothing was submitted, and a moment later they agree. (Fabric 2.5.9
internal/pkg/gateway/endorsement.go: "ProposalResponsePayloads do not match".)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from cloister.gateway import EndorseError

ATTEMPTS = 6
FIRST_DELAY_S = 0.05
_MISMATCH = "ProposalResponsePayloads do not match"
_T = TypeVar("_T")


async def retry_endorsement(call: Callable[[], Awaitable[_T]]) -> _T:
    """The result of `call`, which makes a fresh proposal each time: up to ATTEMPTS times, waiting twice as long each.

    Raises: EndorseError of the last attempt; any other error at once.
    """
    delay_s = FIRST_DELAY_S
    for _ in range(ATTEMPTS - 1):
        try:
            return await call()
        except EndorseError as error:
            if not any(_MISMATCH in detail.message for detail in error.details):
                raise
        await asyncio.sleep(delay_s)
        delay_s *= 2
    return await call()
