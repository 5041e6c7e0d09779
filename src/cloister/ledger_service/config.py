"""`ledger.toml`: which channel an organisation's ledger enclave follows, from which orderers, and where it is found.

Relative paths are relative to the file's folder. Unknown sections and keys are errors, so that a typo is not a default.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloister.errors import EnvironmentFailed, UsageError
from cloister.trusted.attest.evidence import KIND_SIMULATION

EXAMPLE = """\
[organisation]
msp_id = "Org1MSP"

[channel]
name = "mychannel"
genesis = "genesis.block"         # block 0: `peer channel fetch 0 genesis.block -c mychannel`

[orderers]
addresses = ["orderer.example.com:7050", "orderer2.example.com:7050"]
tls_ca = "orderer-tls-ca.pem"     # leave it out for orderers without TLS
certificate = "user.pem"          # a member of the organisation, who reads the channel
key = "user.key"
# tls_name: the name in the orderers' TLS certificates, if it is not their address
# tls_certificate, tls_key: PEM files, if the orderers ask for mutual TLS

[enclave]
kind = "simulation"               # protects nothing; the only kind in this version
policy = "policy.json"            # the channel's appraisal policy
state = "ledger-state"            # folder for sealed checkpoints
simulation_authority = "authority.key"

[registry]
name = "registry"                 # the enclave registry chaincode on the same channel

[service]
listen = "127.0.0.1:7070"         # loopback only: for the organisation's hosts
"""

_TEXT: dict[str, dict[str, bool]] = {
    "organisation": {"msp_id": True},
    "channel": {"name": True, "genesis": True},
    "orderers": {
        "certificate": True,
        "key": True,
        "tls_ca": False,
        "tls_name": False,
        "tls_certificate": False,
        "tls_key": False,
    },
    "enclave": {"kind": True, "policy": True, "state": True, "simulation_authority": True},
    "registry": {"name": True},
    "service": {"listen": True},
}
_LOOPBACK = ("127.0.0.1", "localhost")
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class OrdererFiles:
    """How to reach the orderers and as whom. Optional paths are None."""

    addresses: tuple[str, ...]
    certificate: Path
    key: Path
    tls_ca: Path | None
    tls_name: str
    tls_certificate: Path | None
    tls_key: Path | None


@dataclass(frozen=True, slots=True)
class LedgerConfig:
    """A ledger service's configuration; paths are absolute."""

    msp_id: str
    channel: str
    genesis: Path
    orderers: OrdererFiles
    policy: Path
    state: Path
    authority: Path
    registry: str
    listen: tuple[str, int]


def load_ledger_config(path: Path) -> LedgerConfig:
    """Read and check a `ledger.toml`. Raises: EnvironmentFailed (file), UsageError (content)."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise EnvironmentFailed(f"{path}: {error.strerror}", hint="give --config FILE; see docs/ledger.md") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from error
    for section in document:
        if section not in _TEXT:
            raise UsageError(f"{path}: unknown section [{section}]", hint=f"expected {', '.join(_TEXT)}")
    addresses = _addresses(path, document)
    values = {section: _section(path, document, section) for section in _TEXT}
    if values["enclave"]["kind"] != KIND_SIMULATION:
        raise UsageError(f"{path}: [enclave] kind: expected {KIND_SIMULATION!r}, got {values['enclave']['kind']!r}")
    if bool(values["orderers"]["tls_certificate"]) != bool(values["orderers"]["tls_key"]):
        raise UsageError(f"{path}: [orderers] tls_certificate and tls_key: expected both, got one of them")
    folder = path.resolve().parent
    orderers, enclave = values["orderers"], values["enclave"]
    return LedgerConfig(
        msp_id=values["organisation"]["msp_id"],
        channel=values["channel"]["name"],
        genesis=folder / values["channel"]["genesis"],
        orderers=OrdererFiles(
            addresses=addresses,
            certificate=folder / orderers["certificate"],
            key=folder / orderers["key"],
            tls_ca=_optional(folder, orderers["tls_ca"]),
            tls_name=orderers["tls_name"],
            tls_certificate=_optional(folder, orderers["tls_certificate"]),
            tls_key=_optional(folder, orderers["tls_key"]),
        ),
        policy=folder / enclave["policy"],
        state=folder / enclave["state"],
        authority=folder / enclave["simulation_authority"],
        registry=values["registry"]["name"],
        listen=_listen(path, values["service"]["listen"]),
    )


def _addresses(path: Path, document: dict[str, Any]) -> tuple[str, ...]:
    table = document.get("orderers")
    found = table.pop("addresses", None) if isinstance(table, dict) else None
    if not isinstance(found, list) or not found or not all(isinstance(item, str) and _port(item) for item in found):
        raise UsageError(f"{path}: [orderers] addresses: expected a list of host:port")
    return tuple(found)


def _section(path: Path, document: dict[str, Any], section: str) -> dict[str, str]:
    table = document.get(section)
    if not isinstance(table, dict):
        raise UsageError(f"{path}: section [{section}] is missing", hint="see docs/ledger.md for an example")
    for key in table:
        if key not in _TEXT[section]:
            raise UsageError(f"{path}: [{section}] has an unknown key {key!r}")
    for key, required in _TEXT[section].items():
        value = table.get(key, "")
        if not isinstance(value, str) or (required and not value):
            raise UsageError(f"{path}: [{section}] {key}: expected text")
    return {key: table.get(key, "") for key in _TEXT[section]}


def _listen(path: Path, text: str) -> tuple[str, int]:
    host, port = text.rpartition(":")[0], _port(text)
    if host not in _LOOPBACK or port is None:
        raise UsageError(f"{path}: [service] listen: expected 127.0.0.1:PORT, got {text!r}")
    return host, port


def _port(address: str) -> int | None:
    """The port in host:port, None if it is no such thing."""
    host, _, port = address.rpartition(":")
    return int(port) if host and port.isascii() and port.isdigit() and int(port) <= _MAX_PORT else None


def _optional(folder: Path, value: str) -> Path | None:
    return folder / value if value else None
