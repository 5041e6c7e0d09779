"""The enclave registry as an organisation's client sees it: through its own peer, patient with peers a block behind."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from cloister.errors import MalformedInput
from cloister.gateway import Contract, EndorseError, Network

from .retry import retry_early

LAG_TIMEOUT_S = 10.0
POLL_S = 0.2
_LAGGING = (
    "the first enclave of a definition brings its key set",
    "no such enclave is registered",
    "has no key set yet",
    "the registry is not configured",
    "is not committed on this channel",
)
"""Refusals of a registry whose peer is a block behind: this organisation's own peer has shown otherwise before."""


class RegistryClient:
    """One organisation's view of the registry. Raises, both methods: gateway errors; MalformedInput."""

    def __init__(self, network: Network, registry: str, msp_id: str) -> None:
        self._contract: Contract = network.get_contract(registry)
        self._msp_id = msp_id

    async def query(self, function: str, *arguments: str) -> Any:
        """One query of this organisation's own peer; the parsed JSON."""
        answer = await self._contract.evaluate(
            function, arguments=list(arguments), endorsing_organizations=[self._msp_id]
        )
        return parse_json(answer)

    async def submit(self, function: str, *arguments: str | bytes) -> None:
        """Submit, again for a while if an organisation's peer has not seen yet what this one has."""
        deadline = time.monotonic() + LAG_TIMEOUT_S
        while True:
            try:
                await retry_early(lambda: self._contract.submit_transaction(function, *arguments))
            except EndorseError as error:
                lagging = any(text in error.message for text in _LAGGING)
                if not lagging or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(POLL_S)
            else:
                return


def parse_json(answer: bytes) -> Any:
    """Raises: MalformedInput."""
    try:
        return json.loads(answer)
    except ValueError as error:
        raise MalformedInput("answer is not JSON", field="answer") from error
