"""What happens to the process of an embedded network."""

from __future__ import annotations

import os
import signal

from cloister.network import Network
from cloister.network.processes import listens, process_began, wait_until


def kill_and_start(network: Network) -> None:
    """Kill it, wait until it has let go of its ports, start it again. Whatever else the test runs stays."""
    pid, ports = network.status()[0].pid, network.layout.ports().values()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: not process_began(pid) and not any(listens(port) for port in ports),
        what="killed",
        timeout_s=10,
        log=network.folder / "embedded.log",
    )
    Network.up(network.folder)
