"""The host's one enclave: started when it is needed, restored from its sealed state, connected to its ledger enclave.

What dies is started or connected again. Used by the service, and by itself where nothing is to be served.
"""

from __future__ import annotations

import asyncio
import logging

from cloister.errors import EnvironmentFailed
from cloister.wire.messages import EnclaveMessage, GetStatus, HostMessage, Provision, Restore

from .config import HostConfig
from .errors import EnclaveRefused
from .ledger_path import LedgerPath
from .process import EnclaveCommand, EnclaveProcess, start_enclave
from .sealed_file import read_sealed

log = logging.getLogger(__name__)


class KeptEnclave:
    """See the module. Raises, all methods: CloisterError."""

    def __init__(self, config: HostConfig) -> None:
        self._config = config
        self._command = EnclaveCommand(config.contract, config.authority, config.hash_seed)
        self._enclave: EnclaveProcess | None = None
        self._starting = asyncio.Lock()
        self.ledger = LedgerPath(config.ledger)

    @property
    def pid(self) -> int | None:
        """Process id of the enclave, None while there is none."""
        return self._enclave.pid if self._enclave else None

    async def running(self) -> EnclaveProcess:
        """The enclave, started (again) if need be and restored from its sealed state."""
        async with self._starting:
            if self._enclave is not None and not self._enclave.alive:
                log.warning("the enclave is gone; it is started again")
                await self.stop()
            if self._enclave is None:
                enclave = await start_enclave(self._command, self.ledger.question)
                try:
                    await self._restore(enclave)
                except BaseException:
                    await enclave.stop()
                    raise
                self._enclave = enclave
            return self._enclave

    async def connected(self) -> EnclaveProcess:
        """The running enclave, with a session with the ledger enclave."""
        enclave = await self.running()
        await self.ledger.ensure(enclave.link)
        return enclave

    async def ask(self, message: HostMessage) -> EnclaveMessage:
        """Ask what needs no peer. A new identity needs a new session."""
        if isinstance(message, GetStatus | Provision):
            reply = await (await self.running()).link.ask(message)
            if isinstance(message, Provision):
                self.ledger.renew()
            return reply
        return await (await self.connected()).link.ask(message)

    async def stop(self) -> None:
        """End the enclave and close all connections."""
        await self.ledger.close()
        enclave, self._enclave = self._enclave, None
        if enclave is not None:
            await enclave.stop()

    async def _restore(self, enclave: EnclaveProcess) -> None:
        sealed = read_sealed(self._config.state)
        if sealed is None:
            return
        try:
            await enclave.link.ask(Restore(sealed))
        except EnclaveRefused as refused:
            raise EnvironmentFailed(
                f"sealed state {self._config.state} refused by the enclave ({refused.reason})",
                hint="it belongs to another measurement or authority; move it away and run `cloister init` again",
            ) from refused
