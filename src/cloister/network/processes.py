"""Fabric programs as detached processes: pid files, logs, stopping by pid and never by name."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from .errors import NetworkFailed

STOP_TIMEOUT_S = 10.0
POLL_S = 0.01
_TAIL_BYTES = 4000


def start_detached(command: list[str], *, folder: Path, name: str, environment: Mapping[str, str]) -> int:
    """Start a program in its own session; output goes to FOLDER/NAME.log, its pid to FOLDER/NAME.pid. Returns the pid.

    Spawned, not held as a `subprocess.Popen`: the process is to outlive this program.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = str(folder / f"{name}.log")
    try:
        pid = os.posix_spawn(
            command[0],
            command,
            {**_inherited(), **environment},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
    except OSError as error:
        raise NetworkFailed(f"{command[0]} does not start: {error.strerror}") from error
    (folder / f"{name}.pid").write_text(f"{pid}\n{command[0]}\n", "utf-8")
    return pid


def running_pid(folder: Path, name: str) -> int | None:
    """The pid in FOLDER/NAME.pid if that process still is the program that was started, else None."""
    try:
        pid_text, program = (folder / f"{name}.pid").read_text("utf-8").splitlines()
        pid = int(pid_text)
    except (OSError, ValueError):
        return None
    return pid if command_of(pid).startswith(program) else None


def command_of(pid: int) -> str:
    """The command line of a live process, empty if there is none (or only a zombie)."""
    done = subprocess.run(["ps", "-o", "stat=,args=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, command = done.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else command.strip()


def stop_process(folder: Path, name: str) -> bool:
    """Stop it: SIGTERM, after STOP_TIMEOUT_S seconds SIGKILL. False if it was not running."""
    pid = running_pid(folder, name)
    if pid is not None:
        _end(pid)
    with contextlib.suppress(FileNotFoundError):
        (folder / f"{name}.pid").unlink()
    return pid is not None


def wait_until(condition: Callable[[], bool], *, what: str, timeout_s: float, log: Path) -> None:
    """Poll a condition. Raises: NetworkFailed with the log's last line if it does not come true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise NetworkFailed(
                f"{what}: not within {timeout_s:.0f} s; last log line: {last_line(log)}", hint=f"see {log}"
            )
        time.sleep(POLL_S)


def listens(port: int) -> bool:
    """True if something accepts connections on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def run_program(command: list[str], *, environment: Mapping[str, str], timeout_s: float = 60) -> str:
    """Run a program to its end; its output. Raises: NetworkFailed with its last line."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**_inherited(), **environment},
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NetworkFailed(f"{Path(command[0]).name} {command[1]}: {error}") from error
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines() or ["(silent)"]
        raise NetworkFailed(f"{Path(command[0]).name} {command[1]}: {words[-1][:400]}")
    return done.stdout + done.stderr


def last_line(log: Path) -> str:
    """The last line of a log, shortened."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1][-300:] if lines else "(empty)"
    return "(no log)"


def _end(pid: int) -> None:
    deadline = time.monotonic() + STOP_TIMEOUT_S
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        while _alive(pid):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                return
            time.sleep(POLL_S)


def _alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # if it is our own child, do not leave a zombie that looks alive
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return bool(command_of(pid))


def _inherited() -> dict[str, str]:
    """Our environment without anything that would configure a Fabric program behind our back."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CORE_", "ORDERER_", "FABRIC_", "CONFIGTX_"))
    }
