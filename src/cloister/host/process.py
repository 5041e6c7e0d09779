"""The host's chaincode enclave: its process, and the link to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cloister.enclave_process import EnclaveRun, start_enclave_process

from .errors import EnclaveLost
from .link import AskLedgerEnclave, EnclaveLink, open_link

MODULE = "cloister.trusted.chaincode"


@dataclass(frozen=True, slots=True)
class EnclaveCommand:
    """What to start. `hash_seed` is PYTHONHASHSEED; fixed, as a measured manifest would fix it."""

    contract: str
    authority: Path
    hash_seed: str = "0"

    def environment(self) -> dict[str, str]:
        """The whole environment of the process; nothing of the host's own enters it."""
        return {
            "CLOISTER_ENCLAVE_CONTRACT": self.contract,
            "CLOISTER_ENCLAVE_AUTHORITY": str(self.authority),
            "PYTHONHASHSEED": self.hash_seed,
            "LANG": "C.UTF-8",
        }


class EnclaveProcess:
    """A running enclave and the link to it."""

    def __init__(self, run: EnclaveRun, link: EnclaveLink, ask_ledger: AskLedgerEnclave) -> None:
        self._run = run
        self._ask_ledger = ask_ledger
        self.link = link

    @property
    def pid(self) -> int:
        """The process id."""
        return self._run.pid

    @property
    def port(self) -> int:
        """Where it listens, on loopback."""
        return self._run.port

    @property
    def alive(self) -> bool:
        """True while the process runs and its connection stands."""
        return self._run.alive and self.link.alive

    async def reconnect(self) -> None:
        """A new connection after the old one broke. Raises: EnclaveLost."""
        await self.link.close()
        self.link = await open_link(self._run.port, self._ask_ledger)

    def kill(self) -> None:
        """End it at once."""
        self._run.kill()

    async def stop(self) -> bytes:
        """Close the link and end the process; what it wrote to standard error, at most a few lines."""
        await self.link.close()
        return await self._run.stop()


async def start_enclave(command: EnclaveCommand, ask_ledger: AskLedgerEnclave) -> EnclaveProcess:
    """Start an enclave and connect to it; its questions for the ledger enclave go to `ask_ledger`.

    Raises: EnvironmentFailed if it does not start (its one line of explanation is in the message); EnclaveLost.
    """
    run = await start_enclave_process(MODULE, command.environment())
    try:
        link = await open_link(run.port, ask_ledger)
    except EnclaveLost:
        await run.stop()
        raise
    return EnclaveProcess(run, link, ask_ledger)
