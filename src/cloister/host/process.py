"""Starting and stopping the enclave process, and starting it again when it dies.

In simulation the enclave is an ordinary Python process with a bare environment; `sgx-dcap` will start it under Gramine.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from cloister.errors import EnvironmentFailed

from .errors import EnclaveLost
from .link import EnclaveLink, open_link

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
_READY = b"listening "
_MAX_LINE = 400


@dataclass(frozen=True, slots=True)
class EnclaveCommand:
    """What to start. `hash_seed` is PYTHONHASHSEED; fixed, as a measured manifest would fix it."""

    contract: str
    authority: Path
    hash_seed: str = "0"

    def arguments(self) -> list[str]:
        """The command line. -P: no current folder on the import path; -s: no user packages."""
        return [sys.executable, "-P", "-s", "-B", "-m", "cloister.trusted.chaincode"]

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

    def __init__(self, process: asyncio.subprocess.Process, port: int, link: EnclaveLink) -> None:
        self._process = process
        self.port = port
        self.link = link

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """True while the process runs and its connection stands."""
        return self._process.returncode is None and self.link.alive

    async def reconnect(self) -> None:
        """A new connection after the old one broke. Raises: EnclaveLost."""
        await self.link.close()
        self.link = await open_link(self.port)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    async def stop(self) -> bytes:
        """Close its standard input, which ends it; kill it if it does not end in STOP_TIMEOUT_S seconds.

        Returns what it wrote to standard error, at most a few lines.
        """
        await self.link.close()
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        return await self._process.stderr.read(_MAX_LINE * 10) if self._process.stderr is not None else b""


async def start_enclave(command: EnclaveCommand) -> EnclaveProcess:
    """Start an enclave and connect to it.

    Raises: EnvironmentFailed if it does not start (its one line of explanation is in the message); EnclaveLost.
    """
    process = await asyncio.create_subprocess_exec(
        *command.arguments(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=command.environment(),
        start_new_session=True,  # Ctrl-C reaches the host, which then stops the enclave in order
        cwd=os.path.sep,
    )
    try:
        port = await asyncio.wait_for(_read_port(process), START_TIMEOUT_S)
        return EnclaveProcess(process, port, await open_link(port))
    except (TimeoutError, EnclaveLost, EnvironmentFailed, asyncio.CancelledError) as error:
        if process.returncode is None:
            process.kill()
            await process.wait()
        if isinstance(error, TimeoutError):
            raise EnvironmentFailed(f"enclave did not start within {START_TIMEOUT_S:.0f} s") from error
        raise


async def _read_port(process: asyncio.subprocess.Process) -> int:
    if process.stdout is None or process.stderr is None:
        raise EnvironmentFailed("enclave started without pipes")
    line = await process.stdout.readline()
    if line.startswith(_READY) and line[len(_READY) :].strip().isdigit():
        return int(line[len(_READY) :])
    said = (await process.stderr.read(_MAX_LINE * 10)).decode("utf-8", "replace").strip().splitlines()
    await process.wait()
    reason = (said[-1] if said else "it said nothing")[:_MAX_LINE]
    raise EnvironmentFailed(f"enclave did not start: {reason.removeprefix('enclave: ')}")
