"""Servers of a development network as detached processes: chaincode servers, hosts, ledger services."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from cloister.errors import EnvironmentFailed
from cloister.network import Network, Organisation
from cloister.network.network import SERVERS
from cloister.network.processes import (
    free_ports,
    last_line,
    listens,
    running_pid,
    start_detached,
    stop_process,
    wait_until,
)

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
    start_server(plan, command)


def start_host(
    plan: ServerPlan,
    workspace: Workspace,
    *,
    msp_id: str,
    chaincode: str,
    contract: str,
    ledger: str,
    hash_seed: str,
    keep_running: bool = False,
) -> None:
    """Run a host with its enclave; its configuration is left in the folder as `host.toml`.

    `ledger`: address of the organisation's ledger service. `keep_running`: one that runs by this very configuration is
    left alone, else it is started anew.
    """
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
            "[ledger]",
            f"address = {json.dumps(ledger)}",
            "",
        ]
    )
    path = plan.folder / "host.toml"
    if keep_running and running_pid(plan.folder, NAME) is not None and path.read_text("utf-8") == text:
        return
    path.write_text(text, "utf-8")
    start_server(plan, [sys.executable, "-m", "cloister", "host", "run", "--config", str(path)])


def start_ledger(network: Network, organisation: Organisation, workspace: Workspace) -> str:
    """Run an organisation's ledger service, if it does not run yet. Returns its address."""
    folder = organisation.folder / "ledger"
    record = folder / _RECORD
    if not record.exists():
        folder.mkdir(parents=True, exist_ok=True)
        plan = ServerPlan(folder, free_ports(1)[0], "")
        (folder / "ledger.toml").write_text(_ledger_text(network, organisation, workspace, plan.address), "utf-8")
        configuration = str(folder / "ledger.toml")
        start_server(plan, [sys.executable, "-m", "cloister", "ledger", "run", "--config", configuration])
        return plan.address
    command, port = _recorded(record)
    if running_pid(folder, NAME) is None:
        _launch(folder, command, port)
    return f"127.0.0.1:{port}"


def _ledger_text(network: Network, organisation: Organisation, workspace: Workspace, address: str) -> str:
    reader, orderers = organisation.user("User1"), network.layout.orderers
    return "\n".join(
        [
            "# Written by `cloister chaincode deploy`. Simulation: for development and tests only.",
            "[organisation]",
            f"msp_id = {json.dumps(organisation.msp_id)}",
            "[channel]",
            f"name = {json.dumps(network.channel)}",
            f"genesis = {json.dumps(str(network.genesis_block_path))}",
            "[orderers]",
            f"addresses = {json.dumps([orderer.endpoint for orderer in orderers])}",
            f"tls_ca = {json.dumps(str(orderers[0].tls_ca_path))}",
            f"certificate = {json.dumps(str(reader.cert_path))}",
            f"key = {json.dumps(str(reader.key_path))}",
            "[enclave]",
            'kind = "simulation"',
            f"policy = {json.dumps(str(workspace.policy_path))}",
            'state = "state"',
            f"simulation_authority = {json.dumps(str(workspace.authority))}",
            "[registry]",
            f"name = {json.dumps(REGISTRY)}",
            "[service]",
            f"listen = {json.dumps(address)}",
            "",
        ]
    )


def start_again(network: Network) -> list[str]:
    """Start every server of a network that does not run, as it ran before; their folders' names.

    Raises: ServerDied; EnvironmentFailed if a record is damaged.
    """
    started = []
    for organisation in network.organisations:
        found = [path for place in reversed(SERVERS) for path in sorted(organisation.folder.glob(f"{place}/{_RECORD}"))]
        for path in found:  # ledger services before the hosts that need them
            if running_pid(path.parent, NAME) is None:
                _launch(path.parent, *_recorded(path))
                started.append(f"{organisation.name} {path.parent.name}")
    return started


def _recorded(path: Path) -> tuple[list[str], int]:
    """(command, port) of a server that ran before. Raises: EnvironmentFailed."""
    try:
        record = json.loads(path.read_text("utf-8"))
        return list(record["command"]), int(record["port"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EnvironmentFailed(f"{path} cannot be read", hint="deploy the chaincode again") from error


def stop_server(folder: Path) -> bool:
    """Stop a server; False if it was not running."""
    return stop_process(folder, NAME)


def retire_server(folder: Path) -> bool:
    """Stop a server for good: it is not started again with the network. False if it was not running."""
    (folder / _RECORD).unlink(missing_ok=True)
    return stop_process(folder, NAME)


def port_of(folder: Path) -> int | None:
    """The port of the server that ran here, None if there was none, or another program has it now."""
    record = folder / _RECORD
    if not record.exists():
        return None
    _, port = _recorded(record)
    return port if running_pid(folder, NAME) is not None or not listens(port) else None


def start_server(plan: ServerPlan, command: list[str]) -> None:
    """Run a chaincode server instead of the one that runs there, and wait until it listens. Raises: ServerDied."""
    if running_pid(plan.folder, NAME) is not None:
        stop_process(plan.folder, NAME)
    (plan.folder / _RECORD).write_text(json.dumps({"command": command, "port": plan.port}) + "\n", "utf-8")
    _launch(plan.folder, command, plan.port)


def _launch(folder: Path, command: list[str], port: int) -> None:
    start_detached(command, folder=folder, name=NAME, environment={"PYTHONUNBUFFERED": "1"})
    log = folder / f"{NAME}.log"

    def up() -> bool:
        if running_pid(folder, NAME) is None:
            raise ServerDied(f"server ended: {last_line(log)}", hint=f"see {log}")
        return listens(port)

    wait_until(up, what="server starts", timeout_s=START_TIMEOUT_S, log=log)
