"""TLS of the chaincode server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from cloister.errors import UsageError

from .errors import ServerNotStarted


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Key and certificate chain in PEM. With `client_ca`, peers must show a certificate that it issued (mutual TLS).

    The certificate must name the host under which the peer dials, as in the package's `connection.json`.
    """

    key: bytes = field(repr=False)
    certificate: bytes
    client_ca: bytes | None = None

    def credentials(self) -> Any:
        """gRPC's server credentials."""
        return grpc.ssl_server_credentials(
            ((self.key, self.certificate),), self.client_ca, require_client_auth=self.client_ca is not None
        )


def load_tls(key: str | None, certificate: str | None, client_ca: str | None = None) -> ServerTls | None:
    """Read PEM files; None, for a plain server, if neither key nor certificate is named.

    Raises: UsageError if only one of the two is named, or a client CA without them; ServerNotStarted if a file cannot
    be read.
    """
    if not key and not certificate and not client_ca:
        return None
    if not key or not certificate:
        raise UsageError(
            "TLS is incomplete: expected both a key and a certificate", hint="give both, or none of them for plain"
        )
    return ServerTls(_read(key), _read(certificate), _read(client_ca) if client_ca else None)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ServerNotStarted(f"TLS file {path} cannot be read: {error.strerror}") from error
