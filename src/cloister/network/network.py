"""A real Fabric network on this machine: one Raft orderer, organisations with one peer each, one joined channel.

For development and tests. Everything lives in one folder; processes go on when the starting program ends.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cloister.errors import EnvironmentFailed, UsageError

from . import configuration
from .binaries import FabricBinaries, find_binaries
from .claim import claimed, holds_network, make_room
from .client_files import peer_environment, write_client_files
from .errors import NetworkFailed, NetworkNotThere
from .layout import (
    STARTING,
    Layout,
    Orderer,
    Organisation,
    load_layout,
    make_layout,
    ports_needed,
    write_description,
)
from .options import NetworkOptions
from .processes import (
    free_ports,
    last_line,
    listens,
    run_program,
    running_pid,
    start_detached,
    stop_process,
    wait_until,
)

START_TIMEOUT_S = 30.0
BUILDER = Path(__file__).parent / "ccaas_builder"
_LEADER = b"Raft leader changed: 0 -> "
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One program of the network: its pid, or None if it does not run, and the port it serves on."""

    name: str
    pid: int | None
    endpoint: str


def _silent(message: str) -> None:
    del message


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise EnvironmentFailed(f"{error.filename or folder} cannot be removed: {error.strerror}") from error


SERVERS = ("chaincode/*", "ledger")
"""Folders within an organisation's where servers of ours keep their pid files."""


class Network:
    """A network in a folder. Make it with `Network.up` or `Network.load`."""

    def __init__(self, layout: Layout, binaries: FabricBinaries | None = None) -> None:
        self.layout = layout
        self._binaries = binaries

    @property
    def binaries(self) -> FabricBinaries:
        """The programs to start it with. Raises: EnvironmentFailed; only here, for stopping needs no programs."""
        if self._binaries is None:
            self._binaries = find_binaries()
        return self._binaries

    @property
    def folder(self) -> Path:
        """The network's folder."""
        return self.layout.folder

    @property
    def channel(self) -> str:
        """The one channel's name."""
        return self.layout.options.channel

    @property
    def organisations(self) -> tuple[Organisation, ...]:
        """The peer organisations."""
        return self.layout.organisations

    @property
    def orderer(self) -> Orderer:
        """The orderer."""
        return self.layout.orderer

    @property
    def genesis_block_path(self) -> Path:
        """The channel's block 0."""
        return self.layout.genesis_block

    def organisation(self, name: str) -> Organisation:
        """By name (org1) or MSP ID (Org1MSP). Raises: NetworkNotThere."""
        for organisation in self.organisations:
            if name in (organisation.name, organisation.msp_id):
                return organisation
        raise NetworkNotThere(f"no organisation {name} in this network")

    @classmethod
    def load(cls, folder: Path | str) -> Network:
        """A network that was started before, running or not. Raises: NetworkNotThere, EnvironmentFailed."""
        return cls(load_layout(Path(folder)))

    @classmethod
    def up(cls, folder: Path | str, options: NetworkOptions | None = None, *, progress: Progress = _silent) -> Network:
        """Start a network: a new one, or the stopped one in the folder with all its ledgers.

        Raises: EnvironmentFailed (port in use, no programs, …); UsageError if options are given and the network in the
        folder has others. On any error and on Ctrl-C what was started is stopped.
        """
        folder = Path(folder).absolute()
        binaries = find_binaries()
        with claimed(folder):
            if not holds_network(folder):
                make_room(folder)
                return cls._start_new(folder, options or NetworkOptions(), binaries, progress)
            network = cls(load_layout(folder), binaries)
            if options not in (None, network.layout.options):
                raise UsageError(
                    f"the network in {folder} has other options: {network.layout.options.describe()}",
                    hint="leave the options out, or choose another --dir",
                )
            network._start_again(progress)
            return network

    def status(self) -> tuple[ProcessStatus, ...]:
        """Every program and whether it runs."""
        found = [ProcessStatus("orderer", running_pid(self._orderer_folder, "orderer"), self.orderer.endpoint)]
        for organisation in self.organisations:
            pid = running_pid(self._peer_folder(organisation), "peer")
            found.append(ProcessStatus(f"{organisation.name} peer", pid, organisation.peer_endpoint))
        return tuple(found)

    def down(self, *, remove: bool = False) -> int:
        """Stop everything; returns how many programs were running. `remove` deletes the folder too."""
        stopped = sum(stop_process(path.parent, path.stem) for path in self._chaincode_pids())
        with ThreadPoolExecutor() as pool:
            stopped += sum(pool.map(self._stop_peer, self.organisations))
        stopped += stop_process(self._orderer_folder, "orderer")
        if remove:
            _remove(self.folder)
        return stopped

    def _chaincode_pids(self) -> list[Path]:
        """Pid files of chaincode servers that were deployed on this network."""
        folders = [item.folder for item in self.organisations]
        return sorted(path for folder in folders for place in SERVERS for path in folder.glob(f"{place}/*.pid"))

    def stop_orderer(self) -> None:
        """Stop the orderer."""
        stop_process(self._orderer_folder, "orderer")

    def stop_peer(self, name: str) -> None:
        """Stop one organisation's peer."""
        self._stop_peer(self.organisation(name))

    def start_peer(self, name: str) -> None:
        """Start one organisation's peer and wait until it serves."""
        organisation = self.organisation(name)
        self._launch_peer(organisation)
        self._await_peer(organisation)

    # --- starting ---------------------------------------------------------------------------------------------------

    @classmethod
    def _start_new(cls, folder: Path, options: NetworkOptions, binaries: FabricBinaries, progress: Progress) -> Network:
        layout = make_layout(folder, options, binaries.version, free_ports(ports_needed(options)))
        network = cls(layout, binaries)
        try:
            progress("certificates and genesis block")
            network._generate()
            leader_elected = network._launch(progress)
            progress(f"joining channel {network.channel}")
            network._join()
            leader_elected()
            write_description(layout, binaries=binaries.folder)
        except BaseException:
            network.down()
            raise
        (folder / STARTING).unlink()
        return network

    def _start_again(self, progress: Progress) -> None:
        status = self.status()
        if all(process.pid for process in status):
            progress("the network is running already")
            return
        for process in status:
            for port in self.layout.ports_of(process.name):
                if process.pid is None and listens(port):
                    raise EnvironmentFailed(
                        f"port in use: {process.name} needs 127.0.0.1:{port}, another program listens there",
                        hint="stop that program, or start a new network in another --dir",
                    )
        try:
            leader_elected = self._launch(progress)
            leader_elected()
        except BaseException:
            self.down()
            raise

    def _generate(self) -> None:
        layout, work = self.layout, self.folder / "config"
        configuration.write_yaml(work / "crypto-config.yaml", configuration.crypto_config(layout))
        crypto = str(self.folder / "crypto")
        self._run("cryptogen", "generate", f"--config={work / 'crypto-config.yaml'}", f"--output={crypto}")
        configuration.write_yaml(work / "configtx.yaml", configuration.channel_config(layout))
        arguments = ["-profile", "Channel", "-channelID", self.channel, "-outputBlock", str(layout.genesis_block)]
        self._run("configtxgen", *arguments, "-configPath", str(work))
        configuration.write_yaml(self._orderer_folder / "orderer.yaml", configuration.orderer_config(layout))
        for organisation in self.organisations:
            path = self._peer_folder(organisation) / "core.yaml"
            configuration.write_yaml(path, configuration.peer_config(layout, organisation))
        shutil.copytree(BUILDER, layout.builder)
        for script in (layout.builder / "bin").iterdir():
            script.chmod(0o755)
        write_client_files(layout, self.binaries)

    def _launch(self, progress: Progress) -> Callable[[], None]:
        """Start what does not run, and wait until it serves; the result waits until the orderer has a Raft leader."""
        progress("orderer and peers")
        leader_elected = self._launch_orderer()
        for organisation in self.organisations:
            self._launch_peer(organisation)
        self._await(lambda: listens(self.orderer.admin_port), "orderer starts", self._orderer_folder, "orderer")
        for organisation in self.organisations:
            self._await_peer(organisation)
        return leader_elected

    def _launch_orderer(self) -> Callable[[], None]:
        """The orderer answers SERVICE_UNAVAILABLE until Raft has a leader; what it logs from now on says when."""
        folder = self._orderer_folder
        if running_pid(folder, "orderer") is not None:
            return lambda: None
        log = folder / "orderer.log"
        before = log.stat().st_size if log.exists() else 0
        command = [self.binaries.path("orderer")]
        environment = {"FABRIC_CFG_PATH": str(folder), "FABRIC_LOGGING_SPEC": "info"}
        start_detached(command, folder=folder, name="orderer", environment=environment)

        def elected() -> bool:
            with log.open("rb") as file:
                file.seek(before)
                return _LEADER in file.read()

        return lambda: self._await(elected, "Raft leader elected", folder, "orderer")

    def _launch_peer(self, organisation: Organisation) -> None:
        folder = self._peer_folder(organisation)
        if running_pid(folder, "peer") is None:
            command = [self.binaries.path("peer"), "node", "start"]
            environment = {"FABRIC_CFG_PATH": str(folder), "FABRIC_LOGGING_SPEC": "info"}
            start_detached(command, folder=folder, name="peer", environment=environment)

    def _join(self) -> None:
        tls = self.orderer.node_crypto / "tls"
        with ThreadPoolExecutor() as pool:
            joins = [
                pool.submit(
                    self._run,
                    "osnadmin",
                    "channel",
                    "join",
                    f"--channelID={self.channel}",
                    f"--config-block={self.layout.genesis_block}",
                    f"--orderer-address=127.0.0.1:{self.orderer.admin_port}",
                    f"--ca-file={tls / 'ca.crt'}",
                    f"--client-cert={tls / 'server.crt'}",
                    f"--client-key={tls / 'server.key'}",
                )
            ]
            joins += [pool.submit(self._join_peer, organisation) for organisation in self.organisations]
            answers = [join.result() for join in joins]
        if "Status: 201" not in answers[0]:
            raise NetworkFailed(f"orderer did not join the channel: {' '.join(answers[0].split())[:300]}")

    def _join_peer(self, organisation: Organisation) -> str:
        environment = peer_environment(self.layout, organisation, organisation.admin)
        command = [self.binaries.path("peer"), "channel", "join", "-b", str(self.layout.genesis_block)]
        return run_program(command, environment=environment)

    def _await_peer(self, organisation: Organisation) -> None:
        folder = self._peer_folder(organisation)
        self._await(lambda: listens(organisation.peer_port), f"{organisation.name} peer starts", folder, "peer")

    def _await(self, condition: Callable[[], bool], what: str, folder: Path, name: str) -> None:
        """Wait for a condition, but not longer than its process lives."""
        log = folder / f"{name}.log"

        def met() -> bool:
            if condition():
                return True
            if running_pid(folder, name) is None:
                raise NetworkFailed(f"{what}: the program ended; last log line: {last_line(log)}", hint=f"see {log}")
            return False

        wait_until(met, what=what, timeout_s=START_TIMEOUT_S, log=log)

    def _stop_peer(self, organisation: Organisation) -> bool:
        return stop_process(self._peer_folder(organisation), "peer")

    def _run(self, program: str, *arguments: str) -> str:
        return run_program([self.binaries.path(program), *arguments], environment={})

    @property
    def _orderer_folder(self) -> Path:
        return self.folder / "orderer"

    def _peer_folder(self, organisation: Organisation) -> Path:
        return organisation.folder / "peer"
