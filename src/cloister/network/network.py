"""A Fabric network on this machine: orderers, organisations with one peer each, one joined channel.

Of real Fabric programs, or embedded: one Python process that is all nodes. For development and tests. Everything lives
in one folder; processes go on when the starting program ends.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cloister.errors import EnvironmentFailed, UsageError

from . import configuration
from .binaries import FABRIC_VERSION, FabricBinaries, cache_folder, find_binaries
from .channel_configuration import channel_config
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
from .nodes import Node, embedded_node, orderer_node, peer_node
from .options import BFT, EMBEDDED, RAFT, NetworkOptions
from .processes import free_ports, listens, run_program, stop_process

BUILDER = Path(__file__).parent / "ccaas_builder"
_SERVES = {RAFT: b"Raft leader changed: 0 -> ", BFT: b"Starting view with number "}
"""What an orderer logs, once or again, when it takes transactions of the channel. Before, it has no leader."""
LOUD = "EMBEDDED network: one process has everybody's keys. For development and tests, NOT FOR PRODUCTION"
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
"""Folders within an organisation's where servers of ours keep their pid files: what needs others comes before them."""


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
        """The first orderer."""
        return self.layout.orderer

    @property
    def orderers(self) -> tuple[Orderer, ...]:
        """All nodes of the ordering organisation."""
        return self.layout.orderers

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
        with claimed(folder):
            if not holds_network(folder):
                options = options or NetworkOptions()
                binaries = _programs(options)
                make_room(folder)
                return cls._start_new(folder, options, binaries, progress)
            layout = load_layout(folder)
            network = cls(layout, _programs(layout.options))
            if options not in (None, network.layout.options):
                raise UsageError(
                    f"the network in {folder} has other options: {network.layout.options.describe()}",
                    hint="leave the options out, or choose another --dir",
                )
            network._start_again(progress)
            return network

    def status(self) -> tuple[ProcessStatus, ...]:
        """Every program and whether it runs: orderers, then peers."""
        if self.is_embedded:
            pid = embedded_node(self.layout).pid
            return tuple(ProcessStatus(node.name, pid, node.endpoint) for node in self._fabric_nodes())
        return tuple(ProcessStatus(node.name, node.pid, node.endpoint) for node in self._nodes())

    def down(self, *, remove: bool = False) -> int:
        """Stop everything; returns how many programs were running. `remove` deletes the folder too."""
        stopped = 0
        for place in SERVERS:
            pids = self._server_pids(place)
            with ThreadPoolExecutor(max(1, len(pids))) as pool:
                stopped += sum(pool.map(lambda path: stop_process(path.parent, path.stem), pids))
        for nodes in self._stopping_order():
            with ThreadPoolExecutor(len(nodes)) as pool:
                stopped += sum(pool.map(Node.stop, nodes))
        if remove:
            _remove(self.folder)
        return stopped

    def _server_pids(self, place: str) -> list[Path]:
        """Pid files of servers of ours that were deployed on this network."""
        return sorted(path for item in self.organisations for path in item.folder.glob(f"{place}/*.pid"))

    @property
    def is_embedded(self) -> bool:
        """Whether one Python process is all nodes."""
        return self.layout.options.kind == EMBEDDED

    def stop_peer(self, name: str) -> None:
        """Stop one organisation's peer. Raises: UsageError if the network is embedded."""
        self._refuse_embedded()
        peer_node(self.organisation(name)).stop()

    def start_peer(self, name: str) -> None:
        """Start one organisation's peer and wait until it serves. Raises: as `stop_peer`."""
        self._refuse_embedded()
        node = peer_node(self.organisation(name))
        self._launch(node)
        _await_port(node)

    def stop_orderer(self, name: str) -> None:
        """Stop one orderer: "orderer", "orderer2", … Raises: NetworkNotThere."""
        self._orderer_node(name).stop()

    def start_orderer(self, name: str) -> None:
        """Start one orderer and wait until it takes transactions; enough of the others must run. Raises: as `up`."""
        node = self._orderer_node(name)
        serves = self._launch_orderer(node)
        _await_port(node)
        serves()

    def _orderers(self) -> list[Node]:
        return [orderer_node(orderer) for orderer in self.orderers]

    def _peers(self) -> list[Node]:
        return [peer_node(organisation) for organisation in self.organisations]

    def _nodes(self) -> list[Node]:
        return [embedded_node(self.layout)] if self.is_embedded else self._fabric_nodes()

    def _fabric_nodes(self) -> list[Node]:
        return self._orderers() + self._peers()

    def _stopping_order(self) -> list[list[Node]]:
        return [self._nodes()] if self.is_embedded else [self._peers(), self._orderers()]

    def _refuse_embedded(self) -> None:
        if self.is_embedded:
            raise UsageError("an embedded network is one process: its nodes cannot be stopped one by one")

    def _orderer_node(self, name: str) -> Node:
        self._refuse_embedded()
        for node in self._orderers():
            if node.name == name:
                return node
        raise NetworkNotThere(f"no orderer {name} in this network")

    # --- starting ---------------------------------------------------------------------------------------------------

    @classmethod
    def _start_new(
        cls, folder: Path, options: NetworkOptions, binaries: FabricBinaries | None, progress: Progress
    ) -> Network:
        version = binaries.version if binaries is not None else FABRIC_VERSION
        layout = make_layout(folder, options, version, free_ports(ports_needed(options)))
        network = cls(layout, binaries)
        try:
            progress("certificates and genesis block")
            network._generate()
            orderers_serve = network._launch_all(progress)
            if binaries is not None:
                progress(f"joining channel {network.channel}")
                network._join()
            orderers_serve()
            write_description(layout, binaries=binaries.folder if binaries is not None else cache_folder())
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
            orderers_serve = self._launch_all(progress)
            orderers_serve()
        except BaseException:
            self.down()
            raise

    def _generate(self) -> None:
        if self.is_embedded:
            self._launch(embedded_node(self.layout))  # it loads its modules while its files are being made
            from cloister.embedded.prepare import prepare

            prepare(self.layout)
            return
        layout, work = self.layout, self.folder / "config"
        configuration.write_yaml(work / "crypto-config.yaml", configuration.crypto_config(layout))
        crypto = str(self.folder / "crypto")
        self._run("cryptogen", "generate", f"--config={work / 'crypto-config.yaml'}", f"--output={crypto}")
        configuration.write_yaml(work / "configtx.yaml", channel_config(layout))
        arguments = ["-profile", "Channel", "-channelID", self.channel, "-outputBlock", str(layout.genesis_block)]
        self._run("configtxgen", *arguments, "-configPath", str(work))
        for orderer in self.orderers:
            configuration.write_yaml(orderer.folder / "orderer.yaml", configuration.orderer_config(layout, orderer))
        for organisation in self.organisations:
            path = peer_node(organisation).folder / "core.yaml"
            configuration.write_yaml(path, configuration.peer_config(layout, organisation))
        shutil.copytree(BUILDER, layout.builder)
        for script in (layout.builder / "bin").iterdir():
            script.chmod(0o755)
        write_client_files(layout, self.binaries.folder)

    def _launch_all(self, progress: Progress) -> Callable[[], None]:
        """Start what does not run, and wait until it has started; the result waits until all orderers serve."""
        progress(LOUD if self.is_embedded else "orderers and peers")
        waits = [] if self.is_embedded else [self._launch_orderer(node) for node in self._orderers()]
        for node in self._nodes() if self.is_embedded else self._peers():
            self._launch(node)
        for node in self._nodes():
            _await_port(node)

        def serve() -> None:
            for wait in waits:
                wait()

        return serve

    def _launch_orderer(self, node: Node) -> Callable[[], None]:
        """The result waits until it takes transactions. That needs enough orderers, so all have to be started first."""
        logged = self._launch(node)
        if logged is None:
            return lambda: None
        serves = _SERVES[self.layout.options.consensus]
        return lambda: node.wait_for(lambda: serves in logged(), f"{node.name} takes transactions")

    def _launch(self, node: Node) -> Callable[[], bytes] | None:
        """What it logs from now on; None if it runs already."""
        return node.launch(lambda: self.binaries) if node.pid is None else None

    def _join(self) -> None:
        first, *others = self.orderers
        with ThreadPoolExecutor() as pool:
            orderers = [pool.submit(self._join_orderer, orderer) for orderer in others]
            peers = [pool.submit(self._join_peer, organisation) for organisation in self.organisations]
            for join in orderers:
                join.result()
            # After the others, for under BFT it leads: what it sends to one that has not joined yet would be lost.
            self._join_orderer(first)
            for join in peers:
                join.result()

    def _join_orderer(self, orderer: Orderer) -> None:
        tls = orderer.node_crypto / "tls"
        answer = self._run(
            "osnadmin",
            "channel",
            "join",
            f"--channelID={self.channel}",
            f"--config-block={self.layout.genesis_block}",
            f"--orderer-address=127.0.0.1:{orderer.admin_port}",
            f"--ca-file={tls / 'ca.crt'}",
            f"--client-cert={tls / 'server.crt'}",
            f"--client-key={tls / 'server.key'}",
        )
        if "Status: 201" not in answer:
            raise NetworkFailed(f"{orderer.name} did not join the channel: {' '.join(answer.split())[:300]}")

    def _join_peer(self, organisation: Organisation) -> None:
        environment = peer_environment(self.layout, organisation, organisation.admin)
        command = [self.binaries.path("peer"), "channel", "join", "-b", str(self.layout.genesis_block)]
        run_program(command, environment=environment)

    def _run(self, program: str, *arguments: str) -> str:
        return run_program([self.binaries.path(program), *arguments], environment={})


def _programs(options: NetworkOptions) -> FabricBinaries | None:
    """Fabric's programs, None if none are needed. Raises: EnvironmentFailed."""
    if options.kind == EMBEDDED:
        return None
    binaries = find_binaries()
    binaries.require(options.consensus)
    return binaries


def _await_port(node: Node) -> None:
    node.wait_for(lambda: listens(node.port), f"{node.name} starts")
