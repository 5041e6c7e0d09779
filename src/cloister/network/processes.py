"""Fabric programs as detached processes: pid files, logs, stopping by pid and never by name."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from .errors import NetworkFailed

LOOPBACK = "127.0.0.1"
PORTS = range(20000, 32000)
STOP_TIMEOUT_S = 10.0
POLL_S = 0.01
_TAIL_BYTES = 4000
_SHELL = "/bin/sh"
# If the pipe closes first, `read` fails. `exec` keeps pid and beginning.
_WAIT_THEN_RUN = 'read -r _ && exec "$0" "$@" </dev/null'


def start_detached(command: list[str], *, folder: Path, name: str, environment: Mapping[str, str]) -> int:
    """Start a program in its own session; output goes to FOLDER/NAME.log. Returns the pid.

    FOLDER/NAME.pid gets three lines: pid, program, and when the process began. The program runs only once they are
    written: whatever ends us in between, by whatever signal, nothing is left that nobody could find and stop.
    Spawned, not held as a `subprocess.Popen`: the process is to outlive this program.
    Raises: NetworkFailed if it is no program.
    """
    if not os.access(command[0], os.X_OK):
        raise NetworkFailed(f"{command[0]} does not start: expected an executable file")
    folder.mkdir(parents=True, exist_ok=True)
    log = str(folder / f"{name}.log")
    reading, writing = os.pipe()
    try:
        pid = os.posix_spawn(
            _SHELL,
            [_SHELL, "-c", _WAIT_THEN_RUN, *command],
            {**_inherited(), **environment},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, reading, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        (folder / f"{name}.pid").write_text(f"{pid}\n{command[0]}\n{process_began(pid)}\n", "utf-8")
        os.write(writing, b"\n")
    except OSError as error:
        raise NetworkFailed(f"{command[0]} does not start: {error.strerror}") from error
    finally:
        os.close(reading)
        os.close(writing)
    return pid


def running_pid(folder: Path, name: str) -> int | None:
    """The pid in FOLDER/NAME.pid if that process still is the one that was started, else None."""
    noted = _noted(folder, name)
    return noted[0] if noted is not None and _is_running(*noted) else None


def process_began(pid: int) -> str:
    """When a live process began: together with its pid it names one process for ever. Empty if there is none.

    A zombie counts as none. Source: proc(5) for Linux (start time in ticks of this boot), elsewhere `ps`.
    """
    try:
        # "pid (program) state ppid …": the program's name may hold blanks and parentheses, so count from the last one.
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        state, began = fields[0], f"{_boot()} {fields[19]}"
    except (OSError, IndexError):
        if Path("/proc/self/stat").exists():
            return ""
        command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        state, _, began = done.stdout.strip().partition(" ")
    return "" if state.startswith(("Z", "X")) else began.strip()


def stop_process(folder: Path, name: str) -> bool:
    """Stop it: SIGTERM, after STOP_TIMEOUT_S seconds SIGKILL. False if it was not running.

    Raises: NetworkFailed if it belongs to another user.
    """
    noted = _noted(folder, name)
    was_running = noted is not None and _is_running(*noted)
    if noted is not None and was_running:
        _end(*noted)
    with contextlib.suppress(FileNotFoundError):
        (folder / f"{name}.pid").unlink()
    return was_running


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
        return probe.connect_ex((LOOPBACK, port)) == 0


def free_ports(count: int) -> list[int]:
    """Loopback ports that were free a moment ago, all different.

    Below the range from which systems serve outgoing connections: a stopped network wants its ports back.
    """
    found: list[int] = []
    with contextlib.ExitStack() as probes:
        for port in random.sample(PORTS, len(PORTS)):
            probe = probes.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind((LOOPBACK, port))
                found.append(port)
            if len(found) == count:
                return found
    raise NetworkFailed(f"no {count} free ports on {LOOPBACK} between {PORTS.start} and {PORTS.stop}")


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


def _noted(folder: Path, name: str) -> tuple[int, str] | None:
    """Pid and beginning from a pid file; None if there is no file or it is damaged."""
    try:
        pid, _program, began = (folder / f"{name}.pid").read_text("utf-8").splitlines()
        return int(pid), began
    except (OSError, ValueError):
        return None


def _is_running(pid: int, began: str) -> bool:
    return bool(began) and process_began(pid) == began


def _end(pid: int, began: str) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise NetworkFailed(f"process {pid} belongs to another user", hint="stop it as that user") from error
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while time.monotonic() < deadline:
            if not _is_running(pid, began):
                return
            time.sleep(POLL_S)


def _boot() -> str:
    """This boot of the machine: start times count from it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()


def _inherited() -> dict[str, str]:
    """Our environment without anything that would configure a Fabric program behind our back."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CORE_", "ORDERER_", "FABRIC_", "CONFIGTX_"))
    }
