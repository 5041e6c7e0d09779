"""TLS of the chaincode server."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

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

    def context(self) -> ssl.SSLContext:
        """Settings for TLS 1.2 and 1.3 with ALPN `h2`. Raises: ServerNotStarted if the files cannot be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION  # RFC 9113 9.2.1
        context.set_alpn_protocols(["h2"])
        try:
            with ExitStack() as stack:
                certificate, key = (stack.enter_context(_as_file(pem)) for pem in (self.certificate, self.key))
                context.load_cert_chain(certificate, key, password="")  # a question on the terminal otherwise
            if self.client_ca is not None:
                context.load_verify_locations(cadata=self.client_ca.decode("ascii"))
                context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an intermediate CA may be the anchor
                context.verify_mode = ssl.CERT_REQUIRED
        except (OSError, ValueError) as error:  # those of TLS among them
            raise ServerNotStarted(
                "TLS key, certificate or client CA cannot be used",
                hint="expected PEM, and a key without password that fits the certificate",
            ) from error
        return context


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


@contextmanager
def _as_file(pem: bytes) -> Iterator[str]:
    """A file name for `ssl`, which takes keys from files only: a pipe keeps them off the disk.

    Raises: OSError if the text does not fit into a pipe (64 KB).
    """
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        written = os.write(writing, pem)
        os.close(writing)
        if written != len(pem):
            raise OSError("too long")
        yield f"/dev/fd/{reading}"
    finally:
        os.close(reading)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ServerNotStarted(f"TLS file {path} cannot be read: {error.strerror}") from error
