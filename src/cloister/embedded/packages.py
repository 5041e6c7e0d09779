"""Chaincode packages of type `ccaas`, as peers install them.

Source: Fabric 2.5.9 core/chaincode/persistence/{chaincode_package,persistence}.go, ccaas_builder.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass

from cloister.errors import CloisterError

from .chaincode_link import Connection
from .store import Store


class PackageInvalid(CloisterError):
    """A package that cannot be installed."""


@dataclass(frozen=True)
class Package:
    """An installed package."""

    package_id: str
    label: str
    connection: Connection


class Packages:
    """Those of one organisation's peer."""

    def __init__(self, store: Store, msp_id: str) -> None:
        self._store = store
        self._msp_id = msp_id
        self._encoded = store.packages(msp_id)
        self._packages = {name: parse_package(encoded) for name, encoded in self._encoded.items()}

    def install(self, encoded: bytes) -> Package:
        """Raises: PackageInvalid, also if it is installed already, as peers do."""
        package = parse_package(encoded)
        if package.package_id in self._packages:
            raise PackageInvalid(f"chaincode already successfully installed (package ID '{package.package_id}')")
        self._store.save_package(self._msp_id, package.package_id, encoded)
        self._encoded[package.package_id], self._packages[package.package_id] = encoded, package
        return package

    def find(self, package_id: str) -> Package | None:
        """None if it is not installed."""
        return self._packages.get(package_id)

    def encoded(self, package_id: str) -> bytes | None:
        """The package as it was installed."""
        return self._encoded.get(package_id)

    def all(self) -> list[Package]:
        """Every installed package, by id."""
        return [package for _, package in sorted(self._packages.items())]


def parse_package(encoded: bytes) -> Package:
    """Raises: PackageInvalid."""
    try:
        outer = _files(encoded)
        metadata = json.loads(outer["metadata.json"])
        label, kind = str(metadata["label"]), str(metadata["type"])
        if kind.lower() not in ("ccaas", "external"):
            raise PackageInvalid(
                f"could not build chaincode: an embedded network runs chaincode as a service only, got type {kind!r}"
            )
        connection = Connection.parse(_files(outer["code.tar.gz"])["connection.json"])
    except (tarfile.TarError, OSError, EOFError, KeyError, ValueError, TypeError) as error:
        raise PackageInvalid(f"could not parse as a chaincode install package: {error}") from error
    return Package(f"{label}:{hashlib.sha256(encoded).hexdigest()}", label, connection)


def _files(encoded: bytes) -> dict[str, bytes]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(encoded), mode="r:gz") as archive:
        for entry in archive:
            file = archive.extractfile(entry) if entry.isfile() else None
            if file is not None:
                found[entry.name.removeprefix("./")] = file.read()
    return found
