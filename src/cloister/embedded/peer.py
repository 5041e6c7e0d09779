"""One organisation's peer: its identity, packages, private data, and connections to its chaincode servers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from fabric_protos.peer.lifecycle import db_pb2

from cloister.testing.signers import Signer
from cloister.trusted.ledger.definitions import IMPLICIT_PREFIX, LIFECYCLE

from .chaincode_link import ChaincodeLink
from .definitions import SOURCES, Definition, field_key, metadata_key, read_definition
from .errors import ExecutionFailed
from .ledger import Ledger
from .packages import Packages
from .simulation import Simulation
from .store import Store

_PREFIX = metadata_key("namespaces", "")


class Peer:
    """`endpoint` is host:port, as clients are told."""

    def __init__(self, ledger: Ledger, store: Store, signer: Signer, endpoint: str, host: str) -> None:
        self.ledger = ledger
        self.signer = signer
        self.msp_id = signer.msp_id
        self.endpoint = endpoint
        self.host = host
        self.packages = Packages(store, signer.msp_id)
        self._links: dict[str, ChaincodeLink] = {}
        self._dialling: dict[str, asyncio.Lock] = {}

    def simulate(self, transaction_id: str) -> Simulation:
        """A new simulation on what is committed now; the ledger's lock must be held for reading."""
        private = self.ledger.private[self.msp_id]
        return Simulation(transaction_id, self.ledger.state, private, self.ledger.definitions)

    def defined(self, name: str) -> Definition | None:
        """A committed definition, without recording a read."""
        if self.ledger.state.value(LIFECYCLE, metadata_key("namespaces", name)) is None:
            return None
        return read_definition(_Unrecorded(self.ledger), name)

    def names(self) -> list[str]:
        """All defined chaincodes."""
        found = self.ledger.state.range(
            (LIFECYCLE, ""), _PREFIX.encode(), (_PREFIX + "\U0010ffff").encode(), inclusive=False
        )
        return [key.decode().removeprefix(_PREFIX) for key, _ in found]

    def package_id(self, name: str) -> str | None:
        """The package that this organisation approved for the committed definition; None: not approved; "": without.

        Source: Fabric 2.5.9 core/chaincode/lifecycle/cache.go. Approved is what its collection holds the hashes of.
        """
        definition = self.defined(name)
        if definition is None:
            return None
        space = (LIFECYCLE, IMPLICIT_PREFIX + self.msp_id)
        private = self.ledger.private[self.msp_id]
        private_name = f"{name}#{definition.sequence}"
        for field, value in definition.parameters().items():
            held = private.get(space, field_key("namespaces", private_name, field).encode())
            if held is None or held.value != value:
                return None
        held = private.get(space, field_key(SOURCES, private_name, "PackageID").encode())
        return str(db_pb2.StateData.FromString(held.value).String) if held is not None else None

    def runs(self, name: str) -> bool:
        """Whether this peer can run a chaincode: defined, approved, installed."""
        package_id = self.package_id(name)
        return bool(package_id) and self.packages.find(package_id or "") is not None

    def references(self, package_id: str) -> Iterator[tuple[str, str]]:
        """(name, version) of the chaincodes that a package is used for."""
        for name in self.names():
            definition = self.defined(name)
            if definition is not None and self.package_id(name) == package_id:
                yield name, definition.endorsement.version

    async def link(self, package_id: str) -> ChaincodeLink:
        """A connection to the chaincode server of an installed package. Raises: ExecutionFailed."""
        async with self._dialling.setdefault(package_id, asyncio.Lock()):
            link = self._links.get(package_id)
            if link is not None and not link.broken:
                return link
            if link is not None:
                await link.close()
            package = self.packages.find(package_id)
            if package is None:
                raise ExecutionFailed(f"chaincode with package id {package_id} is not installed")
            link = ChaincodeLink(package_id, package.connection)
            await link.connect()
            self._links[package_id] = link
            return link

    async def close(self) -> None:
        """Hang up everywhere."""
        for link in self._links.values():
            await link.close()


class _Unrecorded:
    """Public state of `_lifecycle`, read without a simulation."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def get(self, key: str) -> bytes | None:
        return self._ledger.state.value(LIFECYCLE, key)

    def put(self, key: str, value: bytes) -> None:
        raise AssertionError((key, value))
