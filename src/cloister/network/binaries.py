"""Which Fabric programs are used: FABRIC_BIN, else the user's cache, else PATH."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from cloister.errors import EnvironmentFailed

from .options import BFT

FABRIC_VERSION = "2.5.9"
PROGRAMS = ("peer", "orderer", "configtxgen", "cryptogen", "osnadmin", "configtxlator")
SUPPORTED = ("2.5.", "3.1.")
BFT_SUPPORTED = "3.1."
_VERSION_TIMEOUT_S = 20
INSTALL_HINT = (
    "run `cloister fabric install`, or set FABRIC_BIN to a folder with Fabric 2.5 or 3.1 programs; "
    "`cloister network up --embedded` needs none"
)


@dataclass(frozen=True, slots=True)
class FabricBinaries:
    """A folder with all PROGRAMS, where it was found (FABRIC_BIN, cache or PATH), and the peer's version."""

    folder: Path
    source: str
    version: str

    def path(self, program: str) -> str:
        """Absolute path of one program."""
        return str(self.folder / program)

    def require(self, consensus: str) -> None:
        """Raises: EnvironmentFailed if these programs do not have this consensus."""
        if consensus == BFT and not self.version.startswith(BFT_SUPPORTED):
            raise EnvironmentFailed(
                f"BFT orderers need Fabric 3.1, the programs in {self.folder} are of version {self.version}",
                hint="set FABRIC_BIN to a folder with Fabric 3.1 programs",
            )


def cache_folder() -> Path:
    """Where `cloister fabric install` puts the programs."""
    return Path(platformdirs.user_cache_dir("cloister")) / f"fabric-{FABRIC_VERSION}" / "bin"


def find_binaries() -> FabricBinaries:
    """The programs to use. FABRIC_BIN, if set, must work: there is no falling back from it.

    Raises: EnvironmentFailed if none are found, or they are of an unsupported version.
    """
    named = os.environ.get("FABRIC_BIN")
    if named:
        folder = Path(named).expanduser().resolve()
        missing = missing_programs(folder)
        if missing:
            raise EnvironmentFailed(
                f"FABRIC_BIN: expected {', '.join(PROGRAMS)} in {folder}, missing {', '.join(missing)}",
                hint="unset FABRIC_BIN to use the installed programs",
            )
        return checked_binaries(folder, "FABRIC_BIN")
    if not missing_programs(cache_folder()):
        return checked_binaries(cache_folder(), "cache")
    on_path = shutil.which("peer")
    if on_path and not missing_programs(Path(on_path).parent):
        return checked_binaries(Path(on_path).parent, "PATH")
    raise EnvironmentFailed(
        "Fabric programs not found: neither FABRIC_BIN, nor installed, nor on PATH", hint=INSTALL_HINT
    )


def missing_programs(folder: Path) -> list[str]:
    """Which of PROGRAMS are not executable files in the folder."""
    return [program for program in PROGRAMS if not os.access(folder / program, os.X_OK)]


def read_version(folder: Path) -> str:
    """The version that `peer version` prints, without a leading v; `latest`-style builds count as FABRIC_VERSION.

    Raises: EnvironmentFailed if the program does not run.
    """
    peer = str(folder / "peer")
    try:
        done = subprocess.run(
            [peer, "version"], capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentFailed(f"{peer} does not run: {error}", hint=INSTALL_HINT) from error
    found = re.search(r"^\s*Version:\s*v?(\S+)", done.stdout, re.MULTILINE)
    if done.returncode != 0 or found is None:
        raise EnvironmentFailed(f"{peer} version: unexpected answer (exit status {done.returncode})", hint=INSTALL_HINT)
    return FABRIC_VERSION if found[1] == "latest" else found[1]


def checked_binaries(folder: Path, source: str) -> FabricBinaries:
    """The programs in a folder. Raises: EnvironmentFailed if they do not run or are of an unsupported version."""
    version = read_version(folder)
    if not version.startswith(SUPPORTED):
        raise EnvironmentFailed(
            f"Fabric programs in {folder}: expected version 2.5.x or 3.1.x, got {version}", hint=INSTALL_HINT
        )
    return FabricBinaries(folder, source, version)
