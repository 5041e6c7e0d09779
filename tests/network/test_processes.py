"""Detached programs: known by pid and beginning, stopped gently and then not, and never anybody else's."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cloister.network import NetworkFailed, processes
from cloister.network.processes import (
    PORTS,
    free_ports,
    last_line,
    process_began,
    run_program,
    running_pid,
    start_detached,
    stop_process,
    wait_until,
)
from support.programs import fake_program

WAITING = ["/bin/sh", "-c", "echo ready; exec sleep 60"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); signal.pause()",
]


def start(folder: Path, command: list[str]) -> int:
    pid = start_detached(command, folder=folder, name="program", environment={})
    log = folder / "program.log"
    wait_until(lambda: last_line(log) == "ready", what="ready", timeout_s=20, log=log)
    return pid


def test_a_started_program_is_known_until_it_is_stopped(tmp_path: Path) -> None:
    pid = start(tmp_path, WAITING)
    assert running_pid(tmp_path, "program") == pid
    assert os.getsid(pid) == pid
    assert stop_process(tmp_path, "program") is True
    assert process_began(pid) == ""
    assert not (tmp_path / "program.pid").exists()
    assert stop_process(tmp_path, "program") is False


def test_one_that_does_not_heed_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(processes, "STOP_TIMEOUT_S", 0.3)
    pid = start(tmp_path, STUBBORN)
    assert stop_process(tmp_path, "program") is True
    assert process_began(pid) == ""


def test_a_pid_that_belongs_to_another_process_by_now_is_left_alone(tmp_path: Path) -> None:
    """Even if the other one runs the same program."""
    stranger = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        earlier = process_began(stranger.pid)[:-1]
        (tmp_path / "peer.pid").write_text(f"{stranger.pid}\n{sys.executable}\n{earlier}\n")
        assert running_pid(tmp_path, "peer") is None
        assert stop_process(tmp_path, "peer") is False
        assert stranger.poll() is None
    finally:
        stranger.communicate()


@pytest.mark.parametrize("content", ["", "x\ny\nz\n", "99999999\n/bin/peer\nnow\n", "1\n", "1\n/bin/peer\n\n"])
def test_a_damaged_pid_file_means_not_running(tmp_path: Path, content: str) -> None:
    (tmp_path / "peer.pid").write_text(content)
    assert running_pid(tmp_path, "peer") is None


def test_where_there_is_no_proc_the_beginning_comes_from_ps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if shutil.which("ps") is None:  # Linux without it; systems without /proc have it
        fake_program(tmp_path / "ps", f'[ "$4" = {os.getpid()} ] && echo "S    Tue Nov 24 13:00:00 2026"')
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    class Elsewhere(type(Path())):  # type: ignore[misc]
        def read_text(self, *arguments: str) -> str:
            raise FileNotFoundError

        def exists(self, **options: bool) -> bool:
            return False

    monkeypatch.setattr(processes, "Path", Elsewhere)
    assert process_began(os.getpid()) == process_began(os.getpid()) != ""
    assert process_began(99999999) == ""


def test_a_program_that_cannot_be_started_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(NetworkFailed, match="/nonexistent does not start: expected an executable"):
        start_detached(["/nonexistent"], folder=tmp_path, name="x", environment={})


def test_a_start_broken_off_before_the_pid_is_written_runs_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pids: list[int] = []

    def interrupted(pid: int) -> str:
        pids.append(pid)
        signal.raise_signal(signal.SIGINT)
        return ""

    monkeypatch.setattr(processes, "process_began", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start_detached(WAITING, folder=tmp_path, name="program", environment={})
    monkeypatch.undo()
    log = tmp_path / "program.log"
    wait_until(lambda: process_began(pids[0]) == "", what="end", timeout_s=20, log=log)
    assert log.read_text() == ""


def test_starting_works_in_other_threads_too(tmp_path: Path) -> None:
    thread = threading.Thread(target=start, args=(tmp_path, WAITING))
    thread.start()
    thread.join()
    assert stop_process(tmp_path, "program") is True


def test_our_own_fabric_settings_do_not_reach_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORE_PEER_ADDRESS", "elsewhere:1")
    monkeypatch.setenv("ORDERER_GENERAL_LISTENPORT", "1")
    assert run_program(["/usr/bin/env"], environment={"A": "1"}).count("elsewhere") == 0
    assert "ORDERER_" not in run_program(["/usr/bin/env"], environment={})


@pytest.mark.parametrize(
    ("script", "message"), [("echo first >&2; echo last >&2; exit 3", "sh -c: last"), ("exit 1", r"sh -c: \(silent\)")]
)
def test_a_failed_program_is_quoted(script: str, message: str) -> None:
    with pytest.raises(NetworkFailed, match=message):
        run_program(["/bin/sh", "-c", script], environment={})


def test_a_program_that_takes_too_long_is_ended() -> None:
    with pytest.raises(NetworkFailed, match="timed out"):
        run_program(["/bin/sleep", "60"], environment={}, timeout_s=0.1)


def test_waiting_ends_with_the_last_log_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("one\ntwo\n")
    with pytest.raises(NetworkFailed, match=r"leader: not within 0 s; last log line: two"):
        wait_until(lambda: False, what="leader", timeout_s=0, log=log)
    assert last_line(tmp_path / "absent") == "(no log)"
    log.write_text("")
    assert last_line(log) == "(empty)"


def test_free_ports_differ_are_not_taken_and_not_those_of_outgoing_connections() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_ports(1)[0]))
        found = free_ports(50)
        assert len(set(found)) == 50
        assert taken.getsockname()[1] not in found
    assert all(port in PORTS for port in found)


def test_no_free_ports_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PORTS", range(20000, 20002))
    with pytest.raises(NetworkFailed, match=r"no 3 free ports on 127\.0\.0\.1 between 20000 and 20002"):
        free_ports(3)
