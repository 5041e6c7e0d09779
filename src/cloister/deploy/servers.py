"""Chaincode servers of a development network as detached processes, started before their package is installed."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from cloister.errors import EnvironmentFailed
from cloister.network import Network
from cloister.network.processes import last_line, listens, running_pid, start_detached, stop_process, wait_until

from .errors import ServerDied
from .workspace import REGISTRY, Workspace

NAME = "server"
_RECORD = "server.json"
START_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """One organisation's server of one chaincode."""

    folder: Path
    port: int
    package_id: str

    @property
    def address(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"


def start_plain(plan: ServerPlan, contract: str) -> None:
    """Serve a contract as ordinary chaincode."""
    command = [
        sys.executable,
        "-m",
        "cloister.contract",
        "--contract",
        contract,
        "--chaincode-id",
        plan.package_id,
        "--address",
        plan.address,
    ]
    _start(plan, command)


def start_host(
    plan: ServerPlan, workspace: Workspace, *, msp_id: str, chaincode: str, contract: str, hash_seed: str
) -> None:
    """Run a host with its enclave; its configuration is left in the folder as `host.toml`."""
    text = "\n".join(
        [
            "# Written by `cloister chaincode deploy`. Simulation: for development and tests only.",
            "[organisation]",
            f"msp_id = {json.dumps(msp_id)}",
            "[chaincode]",
            f"name = {json.dumps(chaincode)}",
            f"package_id = {json.dumps(plan.package_id)}",
            f"listen = {json.dumps(plan.address)}",
            "[enclave]",
            'kind = "simulation"',
            f"contract = {json.dumps(contract)}",
            'state = "enclave.sealed"',
            f"simulation_authority = {json.dumps(str(workspace.authority))}",
            f"hash_seed = {json.dumps(hash_seed)}",
            "[registry]",
            f"name = {json.dumps(REGISTRY)}",
            "",
        ]
    )
    (plan.folder / "host.toml").write_text(text, "utf-8")
    _start(plan, [sys.executable, "-m", "cloister", "host", "run", "--config", str(plan.folder / "host.toml")])


def start_again(network: Network) -> list[str]:
    """Start every server of a network that does not run, as it ran before; their folders' names.

    Raises: ServerDied; EnvironmentFailed if a record is damaged.
    """
    started = []
    for organisation in network.organisations:
        for path in sorted(organisation.folder.glob(f"chaincode/*/{_RECORD}")):
            if running_pid(path.parent, NAME) is None:
                try:
                    record = json.loads(path.read_text("utf-8"))
                    _launch(path.parent, list(record["command"]), int(record["port"]))
                except (OSError, ValueError, KeyError, TypeError) as error:
                    raise EnvironmentFailed(f"{path} cannot be read", hint="deploy the chaincode again") from error
                started.append(f"{organisation.name} {path.parent.name}")
    return started


def stop_server(folder: Path) -> bool:
    """Stop a server; False if it was not running."""
    return stop_process(folder, NAME)


def _start(plan: ServerPlan, command: list[str]) -> None:
    if running_pid(plan.folder, NAME) is not None:
        stop_process(plan.folder, NAME)
    (plan.folder / _RECORD).write_text(json.dumps({"command": command, "port": plan.port}) + "\n", "utf-8")
    _launch(plan.folder, command, plan.port)


def _launch(folder: Path, command: list[str], port: int) -> None:
    start_detached(command, folder=folder, name=NAME, environment={"PYTHONUNBUFFERED": "1"})
    log = folder / f"{NAME}.log"

    def up() -> bool:
        if running_pid(folder, NAME) is None:
            raise ServerDied(f"chaincode server ended: {last_line(log)}", hint=f"see {log}")
        return listens(port)

    wait_until(up, what="chaincode server starts", timeout_s=START_TIMEOUT_S, log=log)
