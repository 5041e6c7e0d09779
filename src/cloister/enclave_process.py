"""Starting and stopping an enclave's process: the only thing that a host and a ledger service do to it from outside.

In simulation an enclave is an ordinary Python process with a bare environment; `sgx-dcap` will start it under Gramine.
It listens on a loopback port that it prints, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping

from cloister.errors import EnvironmentFailed

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
_READY = b"listening "
_MAX_LINE = 400


class EnclaveRun:
    """A started enclave process, listening on `port`."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """True while the process runs."""
        return self._process.returncode is None

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    async def ended(self) -> None:
        """Wait until the process is gone."""
        await self._process.wait()

    async def stop(self) -> bytes:
        """Close its standard input, which ends it; kill it if it does not end in STOP_TIMEOUT_S seconds.

        Returns what it wrote to standard error, at most a few lines.
        """
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        return await self._process.stderr.read(_MAX_LINE * 10) if self._process.stderr is not None else b""


async def start_enclave_process(module: str, environment: Mapping[str, str]) -> EnclaveRun:
    """Run an enclave's module with exactly this environment and wait until it listens.

    Raises: EnvironmentFailed if it does not start (its one line of explanation is in the message).
    """
    process = await asyncio.create_subprocess_exec(
        # -P: no current folder on the import path; -s: no user packages.
        *(sys.executable, "-P", "-s", "-B", "-m", module),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(environment),
        start_new_session=True,  # Ctrl-C reaches the host, which then stops the enclave in order
        cwd=os.path.sep,
    )
    try:
        port = await asyncio.wait_for(_read_port(process), START_TIMEOUT_S)
    except (TimeoutError, EnvironmentFailed, asyncio.CancelledError) as error:
        if process.returncode is None:
            process.kill()
            await process.wait()
        if isinstance(error, TimeoutError):
            raise EnvironmentFailed(f"enclave did not start within {START_TIMEOUT_S:.0f} s") from error
        raise
    return EnclaveRun(process, port)


async def _read_port(process: asyncio.subprocess.Process) -> int:
    if process.stdout is None or process.stderr is None:
        raise EnvironmentFailed("enclave started without pipes")
    line = await process.stdout.readline()
    if line.startswith(_READY) and line[len(_READY) :].strip().isdigit():
        return int(line[len(_READY) :])
    said = (await process.stderr.read(_MAX_LINE * 10)).decode("utf-8", "replace").strip().splitlines()
    await process.wait()
    reason = (said[-1] if said else "it said nothing")[:_MAX_LINE]
    raise EnvironmentFailed(f"enclave did not start: {reason.partition('enclave: ')[2] or reason}")
