"""Chaincode packages for chaincode-as-a-service, as `peer lifecycle chaincode package` makes them.

A gzipped tar of `metadata.json` {type, label} and `code.tar.gz`, itself a gzipped tar of `connection.json`. Without
times and owners: equal input gives equal bytes, so the package id can be known before anything is installed.
Source: Fabric 2.5.9 core/chaincode/persistence/chaincode_package.go (label, package id = label:SHA-256 of the package).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile

from cloister.errors import UsageError

_LABEL = re.compile(r"[a-zA-Z0-9]+([.+\-_][a-zA-Z0-9]+)*")


def package_chaincode(
    label: str, address: str, *, dial_timeout: str = "10s", tls_root_cert: bytes | None = None
) -> bytes:
    """A package of type `ccaas` whose chaincode server listens at `address` (host:port).

    `tls_root_cert` (PEM): the peer dials with TLS and trusts this CA.
    Raises: UsageError on a label that Fabric would refuse.
    """
    if not _LABEL.fullmatch(label):
        raise UsageError(f"label: expected letters, digits and single . + - _ between them, got {label!r}")
    connection: dict[str, object] = {"address": address, "dial_timeout": dial_timeout, "tls_required": False}
    if tls_root_cert is not None:
        connection |= {"tls_required": True, "root_cert": tls_root_cert.decode("ascii")}
    code = _tar_gz({"connection.json": _json(connection)})
    return _tar_gz({"metadata.json": _json({"path": "", "type": "ccaas", "label": label}), "code.tar.gz": code})


def compute_package_id(label: str, package: bytes) -> str:
    """`label:hex`, what the chaincode server must register with."""
    return f"{label}:{hashlib.sha256(package).hexdigest()}"


def _json(document: dict[str, object]) -> bytes:
    return json.dumps(document, sort_keys=True).encode()


def _tar_gz(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o100644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
