"""What processes use, as Linux counts it; elsewhere nothing is known. Source: proc(5)."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

Pids = Mapping[str, tuple[int, ...]]
"""Role ("peers", "hosts", …) → processes."""
_PROC = Path("/proc")


def children(pid: int) -> tuple[int, ...]:
    """Processes that a process has started and that live."""
    try:
        return tuple(map(int, (_PROC / str(pid) / "task" / str(pid) / "children").read_text("ascii").split()))
    except OSError:
        return ()


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time of all their threads so far, user and system; 0 for what is gone."""
    return sum(map(_cpu_seconds, pids))


def memory_bytes(pid: int) -> int:
    """Resident memory; 0 if it is gone."""
    try:
        pages = int((_PROC / str(pid) / "statm").read_text("ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def load() -> float:
    """How many processes wanted a core in the last minute, on average."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return 0.0


@contextlib.contextmanager
def paused(pids: Iterable[int]) -> Iterator[None]:
    """Processes of ours that get no CPU time meanwhile."""
    stopped = [pid for pid in pids if _signal(pid, signal.SIGSTOP)]
    try:
        yield
    finally:
        for pid in stopped:
            _signal(pid, signal.SIGCONT)


def _cpu_seconds(pid: int) -> float:
    try:
        # "pid (program) state …": the name may hold blanks and parentheses, so count from the last one.
        fields = (_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0


def _signal(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
