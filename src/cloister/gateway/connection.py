"""gRPC channels to a peer: from an endpoint, or from a Fabric common connection profile."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from cloister.errors import EnvironmentFailed, MalformedInput, UsageError

from .rpc import CHANNEL_OPTIONS


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a peer is: host:port, its TLS CA in PEM (None: in clear, if allowed), the name in its certificate.

    For peers that ask for mutual TLS: the client's TLS certificate and key, both in PEM.
    """

    address: str
    tls_ca: bytes | None
    tls_name: str = ""
    client_certificate: bytes | None = None
    client_key: bytes | None = None


def open_channel(endpoint: Endpoint, *, allow_plaintext: bool = False) -> Any:
    """A `grpc.aio` channel; the caller closes it.

    Raises: UsageError without TLS CA unless plaintext is allowed, or with only half of the client's TLS files.
    """
    options: list[tuple[str, int | str]] = list(CHANNEL_OPTIONS)
    if endpoint.tls_ca is None:
        if not allow_plaintext:
            raise UsageError(
                f"connection to {endpoint.address} without TLS refused", hint="give the TLS CA certificate of the peer"
            )
        return grpc.aio.insecure_channel(endpoint.address, options=options)
    if (endpoint.client_certificate is None) != (endpoint.client_key is None):
        raise UsageError("mutual TLS: expected the client's TLS certificate and its key, got only one of them")
    if endpoint.tls_name:
        options.append(("grpc.ssl_target_name_override", endpoint.tls_name))
    credentials = grpc.ssl_channel_credentials(endpoint.tls_ca, endpoint.client_key, endpoint.client_certificate)
    return grpc.aio.secure_channel(endpoint.address, credentials, options=options)


def tls_certificate_hash(endpoint: Endpoint) -> bytes:
    """What binds Deliver requests to a mutual TLS connection: SHA-256 of the client's certificate in DER, or nothing.

    Source: Fabric 2.5.9 common/deliver/binding.go. Raises: MalformedInput if it is no certificate.
    """
    if endpoint.client_certificate is None:
        return b""
    try:
        certificate = x509.load_pem_x509_certificate(endpoint.client_certificate)
    except ValueError as error:
        raise MalformedInput("client's TLS certificate: no X.509 certificate in PEM", field="certificate") from error
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()


def endpoint_from_profile(path: Path | str, peer: str | None = None) -> Endpoint:
    """The first peer of the client's organisation in a connection profile (JSON or YAML), or the named one.

    Raises: EnvironmentFailed (file), MalformedInput (content), UsageError (no such peer).
    """
    profile = _load(Path(path))
    peers = _table(profile, "peers", path)
    if peer is None:
        client = profile.get("client")
        organisation = client.get("organization", "") if isinstance(client, Mapping) else ""
        own = _table(profile, "organizations", path).get(organisation, {})
        names = list(own.get("peers", [])) if isinstance(own, Mapping) else []
        peer = next((str(name) for name in (*names, *peers) if name in peers), "")
    node = peers.get(peer)
    if not isinstance(node, Mapping) or not isinstance(node.get("url"), str):
        known = ", ".join(map(str, peers)) or "none"
        raise UsageError(f"{path}: no peer {peer or '(any)'} with a url; peers there: {known}")
    scheme, _, address = node["url"].rpartition("://")
    options = node.get("grpcOptions") or {}
    name = str(options.get("ssl-target-name-override") or options.get("hostnameOverride") or "")
    return Endpoint(address, None if scheme == "grpc" else _tls_ca(node, Path(path)), name)


def _tls_ca(node: Mapping[str, Any], path: Path) -> bytes:
    authorities = node.get("tlsCACerts") or {}
    pem = authorities.get("pem")
    if isinstance(pem, list):
        pem = "\n".join(map(str, pem))
    if isinstance(pem, str) and pem:
        return pem.encode()
    if isinstance(authorities.get("path"), str):
        file = path.resolve().parent / authorities["path"]
        try:
            return Path(file).read_bytes()
        except OSError as error:
            raise EnvironmentFailed(f"{file}: {error.strerror}") from error
    raise MalformedInput(f"{path}: the peer has no tlsCACerts", field="tlsCACerts")


def _load(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
        profile = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise EnvironmentFailed(f"{path}: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise MalformedInput(f"{path}: neither JSON nor YAML", field="profile") from error
    if not isinstance(profile, dict):
        raise MalformedInput(f"{path}: not a connection profile", field="profile")
    return profile


def _table(profile: Mapping[str, Any], name: str, path: Path | str) -> Mapping[str, Any]:
    table = profile.get(name)
    if not isinstance(table, Mapping):
        raise MalformedInput(f"{path}: connection profile without {name}", field=name)
    return table
