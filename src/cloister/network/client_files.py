"""What a network leaves behind for clients: connection profiles, environment files, the peer CLI's configuration."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from .configuration import peer_config, write_yaml
from .layout import USERS, Layout, Organisation, UserFiles


def write_client_files(layout: Layout, programs: Path) -> None:
    """Write them all. `programs`: the folder with Fabric's programs, if there are any."""
    write_yaml(layout.core / "core.yaml", peer_config(layout, layout.organisations[0]))
    for organisation in layout.organisations:
        organisation.folder.mkdir(parents=True, exist_ok=True)
        profile = json.dumps(connection_profile(layout, organisation), indent=2) + "\n"
        (organisation.folder / "connection.json").write_text(profile, "utf-8")
        _write_environment(layout, organisation, organisation.admin, programs, organisation.folder / "peer.env")
        for number in range(1, USERS + 1):
            user = organisation.user(f"User{number}")
            path = organisation.folder / f"user{number}.env"
            _write_environment(layout, organisation, user, programs, path)


def connection_profile(layout: Layout, organisation: Organisation) -> dict[str, Any]:
    """A Fabric common connection profile, as official SDKs read it."""
    peer = organisation.peer_host
    return {
        "name": f"{layout.options.channel}-{organisation.name}",
        "version": "1.0.0",
        "client": {"organization": organisation.name, "connection": {"timeout": {"peer": {"endorser": "30"}}}},
        "channels": {
            layout.options.channel: {"peers": {peer: {}}, "orderers": [item.host for item in layout.orderers]}
        },
        "organizations": {organisation.name: {"mspid": organisation.msp_id, "peers": [peer]}},
        "peers": {peer: _node(organisation.peer_endpoint, organisation.tls_ca_path, peer)},
        "orderers": {item.host: _node(item.endpoint, item.tls_ca_path, item.host) for item in layout.orderers},
    }


def peer_environment(layout: Layout, organisation: Organisation, user: UserFiles) -> dict[str, str]:
    """Environment for the `peer` CLI acting as this user."""
    return {
        "FABRIC_CFG_PATH": str(layout.core),
        "CORE_PEER_LOCALMSPID": organisation.msp_id,
        "CORE_PEER_MSPCONFIGPATH": str(user.msp_folder),
        "CORE_PEER_ADDRESS": organisation.peer_endpoint,
        "CORE_PEER_TLS_ENABLED": "true",
        "CORE_PEER_TLS_ROOTCERT_FILE": str(organisation.tls_ca_path),
        "ORDERER_ADDRESS": layout.orderer.endpoint,
        "ORDERER_CA": str(layout.orderer.tls_ca_path),
        "CHANNEL": layout.options.channel,
        "FABRIC_LOGGING_SPEC": "error",
    }


def _write_environment(layout: Layout, organisation: Organisation, user: UserFiles, programs: Path, path: Path) -> None:
    lines = [f"# Source this file, then use the peer CLI as {user.name} of {organisation.msp_id}. Development only."]
    for name, value in peer_environment(layout, organisation, user).items():
        lines.append(f"export {name}={shlex.quote(value)}")
    lines.append(f'export PATH={shlex.quote(str(programs))}:"$PATH"')
    path.write_text("\n".join(lines) + "\n", "utf-8")


def _node(endpoint: str, tls_ca: Path, name: str) -> dict[str, Any]:
    return {
        "url": f"grpcs://{endpoint}",
        "tlsCACerts": {"pem": tls_ca.read_text("utf-8")},
        "grpcOptions": {"ssl-target-name-override": name, "hostnameOverride": name},
    }
