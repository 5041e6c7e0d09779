"""`host.toml`: what one organisation's host serves, where, and with which enclave.

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

[chaincode]
name = "auction"                  # as in the committed definition
package_id = "auction_1:0123..."  # printed by `peer lifecycle chaincode queryinstalled`
listen = "127.0.0.1:9999"         # as in the package's connection.json
# tls_key, tls_certificate, tls_client_ca: PEM files, if the package asks for TLS

[enclave]
kind = "simulation"               # protects nothing; the only kind in this version
contract = "auction.py"           # FILE.py or FILE.py:Class, exactly what was approved
state = "enclave.sealed"          # where the host keeps the enclave's sealed state
simulation_authority = "authority.key"

[registry]
name = "registry"                 # the enclave registry chaincode on the same channel

[ledger]
address = "127.0.0.1:7070"        # the organisation's own ledger service: `cloister ledger run`
"""

_KEYS: dict[str, dict[str, bool]] = {
    "organisation": {"msp_id": True},
    "chaincode": {
        "name": True,
        "package_id": True,
        "listen": True,
        "tls_key": False,
        "tls_certificate": False,
        "tls_client_ca": False,
    },
    "enclave": {"kind": True, "contract": True, "state": True, "simulation_authority": True, "hash_seed": False},
    "registry": {"name": True},
    "ledger": {"address": True},
}


@dataclass(frozen=True, slots=True)
class HostConfig:
    """A host's configuration; paths are absolute. TLS paths are empty if the server is to be plain."""

    msp_id: str
    chaincode: str
    package_id: str
    listen: str
    tls_key: str
    tls_certificate: str
    tls_client_ca: str
    contract: str
    state: Path
    authority: Path
    registry: str
    ledger: str
    hash_seed: str


def load_host_config(path: Path) -> HostConfig:
    """Read and check a `host.toml`. Raises: EnvironmentFailed (file), UsageError (content)."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise EnvironmentFailed(f"{path}: {error.strerror}", hint="give --config FILE; see docs/host.md") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from error
    values = {section: _section(path, document, section) for section in _KEYS}
    for section in document:
        if section not in _KEYS:
            raise UsageError(f"{path}: unknown section [{section}]", hint=f"expected {', '.join(_KEYS)}")
    enclave, chaincode = values["enclave"], values["chaincode"]
    if enclave["kind"] != KIND_SIMULATION:
        raise UsageError(f"{path}: [enclave] kind: expected {KIND_SIMULATION!r}, got {enclave['kind']!r}")
    folder = path.resolve().parent
    return HostConfig(
        msp_id=values["organisation"]["msp_id"],
        chaincode=chaincode["name"],
        package_id=chaincode["package_id"],
        listen=chaincode["listen"],
        tls_key=_optional_path(folder, chaincode["tls_key"]),
        tls_certificate=_optional_path(folder, chaincode["tls_certificate"]),
        tls_client_ca=_optional_path(folder, chaincode["tls_client_ca"]),
        contract=str(folder / enclave["contract"]),
        state=folder / enclave["state"],
        authority=folder / enclave["simulation_authority"],
        registry=values["registry"]["name"],
        ledger=values["ledger"]["address"],
        hash_seed=enclave["hash_seed"] or "0",
    )


def _section(path: Path, document: dict[str, Any], section: str) -> dict[str, str]:
    table = document.get(section)
    if not isinstance(table, dict):
        raise UsageError(f"{path}: section [{section}] is missing", hint="see docs/host.md for an example")
    for key in table:
        if key not in _KEYS[section]:
            raise UsageError(f"{path}: [{section}] has an unknown key {key!r}")
    for key, required in _KEYS[section].items():
        value = table.get(key, "")
        if not isinstance(value, str) or (required and not value):
            raise UsageError(f"{path}: [{section}] {key}: expected text")
    return {key: table.get(key, "") for key in _KEYS[section]}


def _optional_path(folder: Path, value: str) -> str:
    return str(folder / value) if value else ""
