"""Exports of an enclave's keys: asked for through the peer, or by itself once peers call another definition's host.

After an upgrade is committed every peer calls the new package's host, and nobody reaches the old enclave any more. So
it is started once more from its sealed state, beside the organisation's ledger service, hands its keys over and ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cloister.errors import EnvironmentFailed
from cloister.trusted.attest.evidence import decode_evidence
from cloister.wire.messages import EnclaveMessage, Exported, ExportKeys, GetStatus, HostMessage, Status

from .config import HostConfig
from .errors import EnclaveLost, EnclaveRefused
from .kept_enclave import KeptEnclave
from .sealed_file import read_sealed

PATIENCE_S = 10.0
_POLL_S = 0.2
_EARLY = frozenset({"ledger-behind", "ledger-window", "no-ledger", "session", "definition"})
"""Refusals that may only mean that the ledger enclave has not seen the newest block yet."""


@dataclass(frozen=True, slots=True)
class ExportedKeys:
    """Keys wrapped to a newcomer and signed; `exporter` is the evidence id in hex, `sequence` the exporter's."""

    export: bytes
    exporter: str
    sequence: int


async def ask_for_export(ask: Callable[[HostMessage], Awaitable[EnclaveMessage]], message: ExportKeys) -> ExportedKeys:
    """What the enclave exports, and who it is. Raises: EnclaveRefused, EnclaveLost."""
    exported, status = await ask(message), await ask(GetStatus())
    if not isinstance(exported, Exported) or not isinstance(status, Status):
        raise EnclaveLost("enclave answered something else than an export")
    return ExportedKeys(exported.export, decode_evidence(status.evidence).evidence_id.hex(), status.sequence)


async def export_from_sealed_state(config: HostConfig, message: ExportKeys) -> ExportedKeys:
    """Start the enclave of a `host.toml`, have it export, end it. Its host may be running at the same time.

    Raises: EnvironmentFailed (no sealed state, or it is refused); EnclaveRefused (for instance `upgrade`: an
        organisation's approval is missing); LedgerLost.
    """
    if read_sealed(config.state) is None:
        raise EnvironmentFailed(
            f"no sealed state in {config.state}: this enclave never had keys",
            hint="name the host.toml of a host that served the definition before",
        )
    enclave = KeptEnclave(config)
    deadline = time.monotonic() + PATIENCE_S
    try:
        while True:
            try:
                return await ask_for_export(enclave.ask, message)
            except EnclaveRefused as refused:
                enclave.ledger.failed(refused)
                if refused.reason not in _EARLY or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(_POLL_S)
    finally:
        await enclave.stop()
