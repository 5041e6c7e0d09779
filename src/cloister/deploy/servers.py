"""Chaincode servers of a development network as detached processes, started before their package is installed."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from cloister.network.processes import last_line, listens, running_pid, start_detached, stop_process, wait_until

from .errors import ServerDied
from .workspace import REGISTRY, Workspace

NAME = "server"
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


def stop_server(folder: Path) -> bool:
    """Stop a server; False if it was not running."""
    return stop_process(folder, NAME)


def _start(plan: ServerPlan, command: list[str]) -> None:
    if running_pid(plan.folder, NAME) is not None:
        stop_process(plan.folder, NAME)
    start_detached(command, folder=plan.folder, name=NAME, environment={"PYTHONUNBUFFERED": "1"})
    log = plan.folder / f"{NAME}.log"

    def up() -> bool:
        if running_pid(plan.folder, NAME) is None:
            raise ServerDied(f"chaincode server ended: {last_line(log)}", hint=f"see {log}")
        return listens(plan.port)

    wait_until(up, what="chaincode server starts", timeout_s=START_TIMEOUT_S, log=log)
