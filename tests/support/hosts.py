"""Hosts and enclaves of a deployed chaincode, to be killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from cloister.deploy.servers import NAME, start_again, stop_server
from cloister.network import Network
from cloister.network.processes import running_pid

BOUND_S = 20


def host_folder(network: Network, organisation: str, chaincode: str) -> str:
    return str(network.organisation(organisation).folder / "chaincode" / chaincode)


def host_pid(network: Network, organisation: str, chaincode: str) -> int:
    folder = network.organisation(organisation).folder / "chaincode" / chaincode
    pid = running_pid(folder, NAME)
    assert pid is not None
    return pid


def enclave_pid(network: Network, organisation: str, chaincode: str) -> int:
    """The host's child."""
    host = host_pid(network, organisation, chaincode)
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children = [int(line.split()[0]) for line in table.splitlines() if line.split()[1] == str(host)]
    assert len(children) == 1
    return children[0]


def kill(pid: int) -> None:
    """Kill at once and wait until it is gone."""
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + BOUND_S
    while _runs(pid):
        assert time.monotonic() < deadline


def restart_host(network: Network, organisation: str, chaincode: str) -> None:
    """Stop it in order and start it again."""
    stop_server(network.organisation(organisation).folder / "chaincode" / chaincode)
    start_again(network)


def _runs(pid: int) -> bool:
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(done.stdout.strip()) and not done.stdout.startswith("Z")
