"""A service's ledger enclave: its process, and two connections to it.

An enclave answers the requests of one connection in order, and judging or sealing may take long: blocks go through one
connection, questions through the other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from cloister.enclave_process import EnclaveRun, start_enclave_process
from cloister.errors import EnvironmentFailed
from cloister.wire.ledger_messages import GetLedgerStatus, LedgerStatus, RestoreLedger, StartLedger

from .errors import ChannelHalted, LedgerRefused
from .link import LedgerLink, open_ledger_link

MODULE = "cloister.trusted.ledger"
RESTORE_TIMEOUT_S = 600.0
log = logging.getLogger(__name__)


class RunningEnclave:
    """Make it with `start_ledger_enclave`. `feeding` is the connection for blocks and sealing, `asking` the other."""

    def __init__(self, run: EnclaveRun, feeding: LedgerLink, asking: LedgerLink) -> None:
        self._run = run
        self.feeding = feeding
        self.asking = asking

    @property
    def port(self) -> int:
        """Where hosts reach it, on loopback."""
        return self._run.port

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._run.pid

    @property
    def alive(self) -> bool:
        """False once its process ended or a connection broke."""
        return self._run.alive and self.feeding.alive and self.asking.alive

    async def status(self) -> LedgerStatus:
        """Where it stands. Raises: LedgerLost."""
        return await self.asking.ask(GetLedgerStatus(), LedgerStatus)

    async def stop(self) -> None:
        """End its process."""
        await self.feeding.close()
        await self.asking.close()
        said = await self._run.stop()
        log.debug("ledger enclave ended: %s", said.decode("utf-8", "replace"))


async def start_ledger_enclave(
    start: StartLedger, sealed: Sequence[bytes], *, channel: str, authority: Path
) -> RunningEnclave:
    """Start it at the genesis block, and go on from the sealed checkpoint's parts if it takes them.

    Raises: EnvironmentFailed, LedgerLost; LedgerRefused or ChannelHalted if it does not take policy or genesis block.
    """
    environment = {
        "CLOISTER_ENCLAVE_AUTHORITY": str(authority),
        "PYTHONHASHSEED": "0",
        "LANG": "C.UTF-8",
    }
    run = await start_enclave_process(MODULE, environment)
    links: list[LedgerLink] = []
    try:
        for _ in range(2):
            links.append(await open_ledger_link(run.port))  # noqa: PERF401 - those open already must be closed again
        enclave = RunningEnclave(run, *links)
        status = await enclave.feeding.ask(start, LedgerStatus)
        if status.state == "halted":
            raise ChannelHalted(f"genesis block refused: {status.message}", reason=status.reason)
        if status.channel != channel:
            raise EnvironmentFailed(
                f"genesis block of channel {status.channel}, expected {channel}", hint="see [channel] in ledger.toml"
            )
        await _restore(enclave.feeding, sealed)
    except (Exception, asyncio.CancelledError):
        for link in links:
            await link.close()
        await run.stop()
        raise
    return enclave


async def _restore(link: LedgerLink, sealed: Sequence[bytes]) -> None:
    """An older or foreign checkpoint costs time, never safety."""
    try:
        for number, part in enumerate(sealed, start=1):
            request = RestoreLedger(part, int(number == len(sealed)))
            await link.ask(request, LedgerStatus, timeout_s=RESTORE_TIMEOUT_S)
    except LedgerRefused as refused:
        log.warning("sealed checkpoint not taken (%s): following from the genesis block", refused.reason)
