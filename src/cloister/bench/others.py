"""Chaincode servers of others, to be compared with: installed into the user's cache, pinned by hashes, when asked for.

`fabric-chaincode-python` from PyPI in a virtual environment of its own; the official Node shim with its contract API
from npm, for the `node` on PATH. Nothing of them is ever imported into the project's own processes.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from cloister.deploy.servers import ServerPlan
from cloister.errors import EnvironmentFailed

NODE, OFFICIAL = "node", "fabric_chaincode_python"
_PORTS = Path(__file__).parent / "ports"
_NODE_NEEDED = (20, 9)
_COMPLETE = "complete"
_INSTALL_TIMEOUT_S = 600.0
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class OtherServer:
    """An installed server. `folder`: where it lies; `program`: its interpreter; `probe`: a function that every contract
    on it has."""

    name: str
    folder: Path
    program: str
    probe: str

    def command(self, contract: str, server: ServerPlan) -> list[str]:
        """How to serve a contract ("auction", "kv"), without TLS, as our own plain server does in a test network."""
        if self.name == NODE:
            cli = self.folder / "node_modules" / "fabric-shim" / "cli.js"
            where = ["--module-path", str(self.folder / contract)]
            return [
                *(self.program, str(cli), "server", *where),
                *("--chaincode-address", server.address, "--chaincode-id", server.package_id),
            ]
        settings = [f"CORE_CHAINCODE_ID_NAME={server.package_id}", f"CHAINCODE_ID={server.package_id}"]
        settings.append(f"CHAINCODE_SERVER_ADDRESS={server.address}")
        return [_env(), *settings, self.program, str(_PORTS / "python" / f"{contract}.py")]


def find_other(name: str) -> OtherServer:
    """An installed server. Raises: EnvironmentFailed, which says what is missing."""
    folder, program = _place(name)
    if not (folder / _COMPLETE).exists():
        raise EnvironmentFailed(f"{name}: not installed", hint="cloister bench overhead --install-others")
    return OtherServer(name, folder, program, "org.hyperledger.fabric:GetMetadata")


def install_other(name: str, *, progress: Progress) -> OtherServer:
    """Install it, if it is not. Raises: EnvironmentFailed."""
    folder, _ = _place(name)
    if not (folder / _COMPLETE).exists():
        progress(f"installing {name} into {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (_install_node if name == NODE else _install_python)(folder)
        (folder / _COMPLETE).touch()
    return find_other(name)


def _place(name: str) -> tuple[Path, str]:
    """(its folder in the cache, named by what is pinned; its interpreter). Raises: EnvironmentFailed without Node."""
    if name == NODE:
        sources = sorted(path for path in (_PORTS / "node").rglob("*") if path.is_file())
        program = _node()
    else:
        sources, program = [_PORTS / "python" / "requirements.txt"], ""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    folder = user_cache_path("cloister") / "bench-servers" / f"{name}-{digest}"
    return folder, program or str(folder / "bin" / "python")


def _install_node(folder: Path) -> None:
    shutil.copytree(_PORTS / "node", folder, dirs_exist_ok=True)
    _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], folder)


def _install_python(folder: Path) -> None:
    venv.create(folder, with_pip=True)
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
    _run([*command, "--only-binary", ":all:", "-r", str(_PORTS / "python" / "requirements.txt")], folder)


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=_INSTALL_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentFailed(f"{command[0]}: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["(silent)"]
        raise EnvironmentFailed(f"{Path(command[0]).name}: {said[-1][:300]}")


def _node() -> str:
    program = shutil.which("node")
    if program is None or shutil.which("npm") is None:
        raise EnvironmentFailed(f"{NODE}: no node and npm on PATH", hint="install Node.js 20.9 or newer")
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"v(\d+)\.(\d+)", done.stdout)
    if found is None or (int(found[1]), int(found[2])) < _NODE_NEEDED:
        raise EnvironmentFailed(f"{NODE}: needs Node.js 20.9 or newer, found {done.stdout.strip()}")
    return program


def _env() -> str:
    found = shutil.which("env")
    if found is None:
        raise EnvironmentFailed(f"no program env on {os.name}: it is needed to start another chaincode server")
    return found
