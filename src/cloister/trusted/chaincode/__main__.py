"""Entry point of a chaincode enclave process, and the root of what is measured.

Trust level: trusted. Configuration comes from the environment, all of it the host's word:
CLOISTER_ENCLAVE_CONTRACT (FILE.py[:Class]) and CLOISTER_ENCLAVE_AUTHORITY (file with the simulation authority's
32-byte seed). Prints one line, `listening PORT`, when ready. Simulation only, so far.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType

from cloister.errors import CloisterError, UsageError
from cloister.trusted.attest.measurement import compute_measurement
from cloister.trusted.attest.platform import make_simulation_platform

from .confinement import install
from .contract_image import load_contract_image
from .enclave import Enclave
from .serve import open_listener, serve

CONTRACT_VARIABLE = "CLOISTER_ENCLAVE_CONTRACT"
AUTHORITY_VARIABLE = "CLOISTER_ENCLAVE_AUTHORITY"


def _quiet_excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A crash tells the host its type and nothing else: messages and frames may hold plaintext."""
    del error, trace
    sys.stderr.write(f"enclave: stopped by {kind.__name__}\n")


def _forget_unraisable(found: object) -> None:
    """What a contract's objects raise as they are collected would be printed, message and all."""
    del found


def _setting(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise UsageError(f"enclave: {name} is not set")
    return value


def main() -> int:
    """Run the enclave until its standard input ends. Returns the exit code."""
    sys.excepthook = _quiet_excepthook
    sys.unraisablehook = _forget_unraisable
    install()
    try:
        image = load_contract_image(_setting(CONTRACT_VARIABLE))
        seed = Path(_setting(AUTHORITY_VARIABLE)).read_bytes()
        platform = make_simulation_platform(compute_measurement(image.digest), seed)
    except CloisterError as error:
        # Before any secret exists, so the message may be shown.
        sys.stderr.write(f"enclave: {error.message}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"enclave: {error.strerror}: {error.filename}\n")
        return UsageError.exit_code
    enclave = Enclave(platform=platform, image=image, random_bytes=os.urandom)
    with open_listener() as listener:
        sys.stderr.write("enclave: SIMULATION - no hardware protects this process; for development and tests only\n")
        sys.stdout.write(f"listening {listener.getsockname()[1]}\n")
        sys.stdout.flush()
        serve(enclave, listener)
    return 0


if __name__ == "__main__":
    sys.exit(main())
