"""Entry point of a ledger enclave process, and the root of what is measured into it.

Trust level: trusted. Configuration comes from the environment, all of it the host's word: CLOISTER_ENCLAVE_AUTHORITY
(file with the simulation authority's 32-byte seed), CLOISTER_ENCLAVE_PORT (where to listen, 0 for a free port). Prints
one line, `listening PORT`, when ready. Simulation only, so far.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from cloister.errors import CloisterError, UsageError
from cloister.trusted.attest.measurement import compute_ledger_measurement
from cloister.trusted.attest.platform import make_simulation_platform

from .enclave import LedgerEnclave
from .identities import SignatureChecker, run_on
from .serve import open_listener, serve

AUTHORITY_VARIABLE = "CLOISTER_ENCLAVE_AUTHORITY"
PORT_VARIABLE = "CLOISTER_ENCLAVE_PORT"
_SWITCH_S = 0.0005
"""How long a judging thread may hold the interpreter while a question waits."""


def _quiet_excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A crash tells the host its type and nothing else."""
    del error, trace
    sys.stderr.write(f"ledger enclave: stopped by {kind.__name__}\n")


def _setting(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise UsageError(f"ledger enclave: {name} is not set")
    return value


def main() -> int:
    """Run the enclave until its standard input ends. Returns the exit code."""
    sys.excepthook = _quiet_excepthook
    sys.setswitchinterval(_SWITCH_S)
    try:
        seed = Path(_setting(AUTHORITY_VARIABLE)).read_bytes()
        port = int(os.environ.get(PORT_VARIABLE) or "0")
        platform = make_simulation_platform(compute_ledger_measurement(), seed)
    except CloisterError as error:
        sys.stderr.write(f"ledger enclave: {error.message}\n")
        return error.exit_code
    except (OSError, ValueError) as error:
        sys.stderr.write(f"ledger enclave: {error}\n")
        return UsageError.exit_code
    cores = os.cpu_count() or 1
    pool = ThreadPoolExecutor(cores)
    checker = SignatureChecker(run_on(lambda work: pool.submit(work).result, cores - 1))
    enclave = LedgerEnclave(platform=platform, checker=checker, random_bytes=os.urandom)
    with open_listener(port) as listener:
        sys.stderr.write("ledger enclave: SIMULATION - no hardware protects it; for development and tests only\n")
        sys.stdout.write(f"listening {listener.getsockname()[1]}\n")
        sys.stdout.flush()
        serve(enclave, listener)
    os._exit(0)  # threads that wait for a socket do not end by themselves


if __name__ == "__main__":
    sys.exit(main())
