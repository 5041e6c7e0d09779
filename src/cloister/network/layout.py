"""What is where in a network's folder, and what is written down about it (`network.json`)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from cloister.errors import EnvironmentFailed

from .errors import NetworkNotThere
from .options import NetworkOptions

DESCRIPTION = "network.json"
STARTING = ".starting"
"""Marks a folder of ours in which no network is complete yet."""
ORDERER_DOMAIN = "example.com"
ORDERER_MSP = "OrdererMSP"
USERS = 3
"""Client identities per organisation beside the administrator."""


@dataclass(frozen=True, slots=True)
class UserFiles:
    """PEM files of one client identity."""

    msp_id: str
    name: str
    cert_path: Path
    key_path: Path
    msp_folder: Path


@dataclass(frozen=True, slots=True)
class Organisation:
    """A peer organisation with one peer. Endpoints are host:port on loopback."""

    name: str
    msp_id: str
    domain: str
    peer_port: int
    chaincode_port: int
    folder: Path
    crypto: Path

    @property
    def peer_endpoint(self) -> str:
        """host:port of the peer."""
        return f"127.0.0.1:{self.peer_port}"

    @property
    def peer_host(self) -> str:
        """The name in the peer's TLS certificate."""
        return f"peer0.{self.domain}"

    @property
    def peer_crypto(self) -> Path:
        """Folder with the peer's msp and tls folders."""
        return self.crypto / "peers" / self.peer_host

    @property
    def tls_ca_path(self) -> Path:
        """Certificate of the organisation's TLS CA."""
        return self.crypto / "tlsca" / f"tlsca.{self.domain}-cert.pem"

    def user(self, name: str) -> UserFiles:
        """A client identity: Admin, User1 … User3. Raises: NetworkNotThere if there is no such user."""
        folder = self.crypto / "users" / f"{name}@{self.domain}" / "msp"
        certificate = folder / "signcerts" / f"{name}@{self.domain}-cert.pem"
        if not certificate.is_file():
            raise NetworkNotThere(f"{self.name} has no user {name}", hint="expected Admin, User1, User2 or User3")
        return UserFiles(self.msp_id, name, certificate, folder / "keystore" / "priv_sk", folder)

    @property
    def admin(self) -> UserFiles:
        """The organisation's administrator."""
        return self.user("Admin")


@dataclass(frozen=True, slots=True)
class Orderer:
    """A node of the ordering organisation: "orderer", the others "orderer2", "orderer3", …"""

    name: str
    port: int
    admin_port: int
    folder: Path
    crypto: Path

    @property
    def endpoint(self) -> str:
        """host:port of the orderer."""
        return f"127.0.0.1:{self.port}"

    @property
    def host(self) -> str:
        """The name in the orderer's TLS certificate."""
        return f"{self.name}.{ORDERER_DOMAIN}"

    @property
    def node_crypto(self) -> Path:
        """Folder with the orderer's msp and tls folders."""
        return self.crypto / "orderers" / self.host

    @property
    def certificate_path(self) -> Path:
        """The certificate that its block signatures are checked against."""
        return self.node_crypto / "msp" / "signcerts" / f"{self.host}-cert.pem"

    @property
    def tls_ca_path(self) -> Path:
        """Certificate of the orderer organisation's TLS CA."""
        return self.crypto / "tlsca" / f"tlsca.{ORDERER_DOMAIN}-cert.pem"


@dataclass(frozen=True, slots=True)
class Layout:
    """A network's folder, options and ports, and the version of Fabric that it was made with."""

    folder: Path
    options: NetworkOptions
    fabric_version: str
    orderers: tuple[Orderer, ...]
    organisations: tuple[Organisation, ...]

    @property
    def orderer(self) -> Orderer:
        """The first orderer: what talks to one orderer only talks to this one."""
        return self.orderers[0]

    @property
    def genesis_block(self) -> Path:
        """The channel's block 0."""
        return self.folder / "genesis.block"

    @property
    def core(self) -> Path:
        """FABRIC_CFG_PATH for the peer CLI."""
        return self.folder / "core"

    @property
    def builder(self) -> Path:
        """The external builder that peers run: a copy of ours, executable whatever the installation did to it."""
        return self.folder / "ccaas_builder"

    def ports(self) -> dict[str, int]:
        """Every port that the network listens on, by what it is for."""
        found = {}
        for orderer in self.orderers:
            found[orderer.name] = orderer.port
            found[f"{orderer.name} admin"] = orderer.admin_port
        for organisation in self.organisations:
            found[f"{organisation.name} peer"] = organisation.peer_port
            found[f"{organisation.name} chaincode"] = organisation.chaincode_port
        return found

    def ports_of(self, program: str) -> list[int]:
        """The ports of one program: "orderer", "org1 peer"."""
        owner = program.split(maxsplit=1)[0]
        return [port for purpose, port in self.ports().items() if purpose.split()[0] == owner]


def ports_needed(options: NetworkOptions) -> int:
    """How many ports `make_layout` takes: two for each orderer, then two for each organisation."""
    return 2 * (options.orderers + options.organisations)


def make_layout(folder: Path, options: NetworkOptions, fabric_version: str, ports: list[int]) -> Layout:
    """A layout with these ports. Raises: ValueError if there are not `ports_needed` of them."""
    folder = folder.resolve()
    crypto = folder / "crypto"
    if len(ports) != ports_needed(options):
        raise ValueError(f"expected {ports_needed(options)} ports, got {len(ports)}")
    pairs = list(zip(ports[::2], ports[1::2], strict=True))
    names = ["orderer", *(f"orderer{number}" for number in range(2, options.orderers + 1))]
    orderers = tuple(
        Orderer(
            name=name,
            port=port,
            admin_port=admin_port,
            folder=folder / name,
            crypto=crypto / "ordererOrganizations" / ORDERER_DOMAIN,
        )
        for name, (port, admin_port) in zip(names, pairs[: options.orderers], strict=True)
    )
    organisations = tuple(
        Organisation(
            name=f"org{number}",
            msp_id=f"Org{number}MSP",
            domain=f"org{number}.example.com",
            peer_port=peer_port,
            chaincode_port=chaincode_port,
            folder=folder / f"org{number}",
            crypto=crypto / "peerOrganizations" / f"org{number}.example.com",
        )
        for number, (peer_port, chaincode_port) in enumerate(pairs[options.orderers :], 1)
    )
    return Layout(folder, options, fabric_version, orderers, organisations)


def write_description(layout: Layout, *, binaries: Path) -> None:
    """Write `network.json`: everything a program needs to use the network. It is there completely or not at all."""
    document = {
        "purpose": "development and tests only",
        "channel": layout.options.channel,
        "options": asdict(layout.options),
        "ports": list(layout.ports().values()),
        "binaries": str(binaries),
        "fabric_version": layout.fabric_version,
        "genesis_block": str(layout.genesis_block),
        "orderer": _describe_orderer(layout.orderer),
        "orderers": [_describe_orderer(orderer) for orderer in layout.orderers],
        "organisations": [_describe(organisation) for organisation in layout.organisations],
    }
    unfinished = layout.folder / f".{DESCRIPTION}"
    unfinished.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    unfinished.replace(layout.folder / DESCRIPTION)


def load_layout(folder: Path) -> Layout:
    """Read `network.json`. Raises: NetworkNotThere, EnvironmentFailed."""
    path = folder / DESCRIPTION
    try:
        document = json.loads(path.read_text("utf-8"))
        options = NetworkOptions(**document["options"])
        return make_layout(folder, options, str(document["fabric_version"]), list(document["ports"]))
    except (FileNotFoundError, NotADirectoryError) as error:
        if (folder / STARTING).exists():
            message = f"the network in {folder} is starting, or its start was broken off"
            raise NetworkNotThere(message, hint="`cloister network up` starts it anew") from error
        raise NetworkNotThere(
            f"no network in {folder}", hint="start one with `cloister network up --dir DIR`"
        ) from error
    except OSError as error:
        raise EnvironmentFailed(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise NetworkNotThere(f"{path} is damaged", hint="remove the folder and start a new network") from error


def _describe_orderer(orderer: Orderer) -> dict[str, str]:
    return {
        "name": orderer.name,
        "msp_id": ORDERER_MSP,
        "endpoint": orderer.endpoint,
        "tls_ca": str(orderer.tls_ca_path),
        "tls_name": orderer.host,
    }


def _describe(organisation: Organisation) -> dict[str, object]:
    users = [organisation.user(name) for name in ("Admin", *(f"User{number}" for number in range(1, USERS + 1)))]
    return {
        "name": organisation.name,
        "msp_id": organisation.msp_id,
        "peer": organisation.peer_endpoint,
        "tls_ca": str(organisation.tls_ca_path),
        "tls_name": organisation.peer_host,
        "connection_profile": str(organisation.folder / "connection.json"),
        "environment": str(organisation.folder / "peer.env"),
        "users": {user.name: {"cert": str(user.cert_path), "key": str(user.key_path)} for user in users},
    }
