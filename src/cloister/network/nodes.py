"""The programs of a network, orderers and peers alike: start one, wait for it, stop it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .binaries import FabricBinaries
from .errors import NetworkFailed
from .layout import Layout, Orderer, Organisation
from .processes import last_line, running_pid, start_detached, stop_process, wait_until

START_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Node:
    """One program: its name in messages ("orderer", "org1 peer"), and the port that it opens once it has started."""

    name: str
    program: str
    arguments: tuple[str, ...]
    folder: Path
    endpoint: str
    port: int
    interpreter: tuple[str, ...] = ()
    """What runs it if it is none of Fabric's programs."""

    @property
    def pid(self) -> int | None:
        """None if it does not run."""
        return running_pid(self.folder, self.program)

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.folder / f"{self.program}.log"

    def launch(self, binaries: Callable[[], FabricBinaries]) -> Callable[[], bytes]:
        """Start it; the result reads what it has logged since. Raises: NetworkFailed; EnvironmentFailed."""
        before = self.log.stat().st_size if self.log.exists() else 0
        command = [*(self.interpreter or (binaries().path(self.program),)), *self.arguments]
        environment = {"FABRIC_CFG_PATH": str(self.folder), "FABRIC_LOGGING_SPEC": "info"}
        start_detached(command, folder=self.folder, name=self.program, environment=environment)

        def logged() -> bytes:
            with self.log.open("rb") as file:
                file.seek(before)
                return file.read()

        return logged

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait, but not longer than it lives. Raises: NetworkFailed with its last words."""

        def met() -> bool:
            if condition():
                return True
            if self.pid is None:
                raise NetworkFailed(
                    f"{what}: the program ended; last log line: {last_line(self.log)}", hint=f"see {self.log}"
                )
            return False

        wait_until(met, what=what, timeout_s=START_TIMEOUT_S, log=self.log)

    def stop(self) -> bool:
        """False if it was not running. Raises: NetworkFailed if it belongs to another user."""
        return stop_process(self.folder, self.program)


def orderer_node(orderer: Orderer) -> Node:
    """The orderer's program. Its admin port opens when its channels are loaded, the other one earlier."""
    return Node(orderer.name, "orderer", (), orderer.folder, orderer.endpoint, orderer.admin_port)


def peer_node(organisation: Organisation) -> Node:
    """The peer's program."""
    return Node(
        name=f"{organisation.name} peer",
        program="peer",
        arguments=("node", "start"),
        folder=organisation.folder / "peer",
        endpoint=organisation.peer_endpoint,
        port=organisation.peer_port,
    )


def embedded_node(layout: Layout) -> Node:
    """The one process of an embedded network. It opens the last peer's port last."""
    return Node(
        name="embedded network",
        program="embedded",
        arguments=("--dir", str(layout.folder)),
        folder=layout.folder,
        endpoint=layout.orderer.endpoint,
        port=layout.organisations[-1].peer_port,
        interpreter=(sys.executable, "-m", "cloister.embedded"),
    )
