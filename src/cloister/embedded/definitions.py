"""Chaincode definitions and approvals in the state of `_lifecycle`: Fabric's keys, values and order of reads.

Source: Fabric 2.5.9 core/chaincode/lifecycle/{serializer,lifecycle}.go. A structure is kept field by field; a field
that does not change is not written again, so that its version stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fabric_protos.peer import collection_pb2
from fabric_protos.peer.lifecycle import chaincode_definition_pb2, db_pb2

from cloister.trusted.ledger.definitions import IMPLICIT_PREFIX, LIFECYCLE

from .simulation import Simulation

NAMESPACES, SOURCES = "namespaces", "chaincode-sources"
DEFINITION, PARAMETERS, LOCAL_PACKAGE = "ChaincodeDefinition", "ChaincodeParameters", "ChaincodeLocalPackage"
DEFAULT_POLICY = bytes.fromhex("12202f4368616e6e656c2f4170706c69636174696f6e2f456e646f7273656d656e74")
"""ApplicationPolicy that refers to /Channel/Application/Endorsement."""


@dataclass(frozen=True)
class Definition:
    """A chaincode definition, defaults filled in. Three fields are generated messages."""

    sequence: int
    endorsement: Any
    validation: Any
    collections: Any

    @classmethod
    def of(cls, arguments: Any) -> Definition:
        """From the arguments of approve, commit or readiness."""
        endorsement = chaincode_definition_pb2.ChaincodeEndorsementInfo(
            version=arguments.version,
            init_required=arguments.init_required,
            endorsement_plugin=arguments.endorsement_plugin or "escc",
        )
        validation = chaincode_definition_pb2.ChaincodeValidationInfo(
            validation_plugin=arguments.validation_plugin or "vscc",
            validation_parameter=arguments.validation_parameter or DEFAULT_POLICY,
        )
        package = collection_pb2.CollectionConfigPackage()
        package.CopyFrom(arguments.collections)
        return cls(arguments.sequence, endorsement, validation, package)

    def parameters(self) -> dict[str, bytes]:
        """Field → StateData of what organisations approve."""
        return {
            "EndorsementInfo": _bytes(self.endorsement.SerializeToString(deterministic=True)),
            "ValidationInfo": _bytes(self.validation.SerializeToString(deterministic=True)),
            "Collections": _bytes(self.collections.SerializeToString(deterministic=True)),
        }

    def fields(self) -> dict[str, bytes]:
        """Field → StateData of what is committed."""
        return {"Sequence": db_pb2.StateData(Int64=self.sequence).SerializeToString(), **self.parameters()}


class Place(Protocol):
    """Where a structure is kept."""

    def get(self, key: str) -> bytes | None:
        """A value, recorded as read."""
        ...

    def put(self, key: str, value: bytes) -> None:
        """Write a value."""
        ...


@dataclass(frozen=True)
class PublicPlace:
    """`_lifecycle`'s public state."""

    simulation: Simulation

    def get(self, key: str) -> bytes | None:
        """A value, recorded as read."""
        return self.simulation.get(LIFECYCLE, key)

    def put(self, key: str, value: bytes) -> None:
        """Write a value."""
        self.simulation.put(LIFECYCLE, key, value)


@dataclass(frozen=True)
class OrganisationPlace:
    """An organisation's implicit collection of `_lifecycle`. Its own peer reads values, all others hashes only."""

    simulation: Simulation
    msp_id: str

    @property
    def collection(self) -> str:
        """The collection's name."""
        return IMPLICIT_PREFIX + self.msp_id

    def get(self, key: str) -> bytes | None:
        """A value, recorded as read."""
        return self.simulation.get_private(LIFECYCLE, self.collection, key)

    def get_hash(self, key: str) -> bytes | None:
        """A value's hash, recorded as read."""
        return self.simulation.get_private_hash(LIFECYCLE, self.collection, key)

    def put(self, key: str, value: bytes) -> None:
        """Write a value."""
        self.simulation.put_private(LIFECYCLE, self.collection, key, value)


def read_metadata(place: Place, kind: str, name: str) -> Any:
    """The `StateMetadata` of a structure, None if there is none."""
    encoded = place.get(metadata_key(kind, name))
    return db_pb2.StateMetadata.FromString(encoded) if encoded is not None else None


def read_field(place: Place, kind: str, name: str, field: str) -> Any:
    """A field's `StateData`, empty if absent."""
    return db_pb2.StateData.FromString(place.get(field_key(kind, name, field)) or b"")


def read_sequence(place: Place, name: str) -> int:
    """The committed sequence, 0 if the chaincode is not defined."""
    return int(read_field(place, NAMESPACES, name, "Sequence").Int64)


def read_definition(place: Place, name: str) -> Definition:
    """A committed definition, field by field."""
    sequence = read_sequence(place, name)
    return _read_parameters(place, name, sequence)


def read_approval(place: Place, name: str, sequence: int) -> Definition:
    """What an organisation approved under NAME#SEQUENCE."""
    return _read_parameters(place, f"{name}#{sequence}", sequence)


def write_structure(place: Place, kind: str, name: str, datatype: str, fields: Mapping[str, bytes]) -> None:
    """Write what has changed of a structure."""
    metadata = read_metadata(place, kind, name)
    known = list(metadata.fields) if metadata is not None else []
    existing = {field: place.get(field_key(kind, name, field)) for field in known}
    for field, value in fields.items():
        if existing.get(field) != value:
            place.put(field_key(kind, name, field), value)
    if metadata is None or metadata.datatype != datatype or known != list(fields):
        encoded = db_pb2.StateMetadata(datatype=datatype, fields=list(fields)).SerializeToString()
        place.put(metadata_key(kind, name), encoded)


def is_approved(place: OrganisationPlace, name: str, definition: Definition) -> bool:
    """Whether an organisation approved exactly this definition, by the hashes of its implicit collection."""
    private_name = f"{name}#{definition.sequence}"
    fields = definition.parameters()
    metadata = db_pb2.StateMetadata(datatype=PARAMETERS, fields=list(fields)).SerializeToString()
    expected = {metadata_key(NAMESPACES, private_name): metadata}
    expected |= {field_key(NAMESPACES, private_name, field): value for field, value in fields.items()}
    found = {key: place.get_hash(key) for key in expected}  # all are read, whatever they hold
    return all(found[key] == hashlib.sha256(value).digest() for key, value in expected.items())


def metadata_key(kind: str, name: str) -> str:
    """Where a structure's type stands."""
    return f"{kind}/metadata/{name}"


def field_key(kind: str, name: str, field: str) -> str:
    """Where a field stands."""
    return f"{kind}/fields/{name}/{field}"


def package_field(package_id: str) -> dict[str, bytes]:
    """The one field of an approval's source."""
    return {"PackageID": db_pb2.StateData(String=package_id).SerializeToString()}


def _read_parameters(place: Place, name: str, sequence: int) -> Definition:
    def field(kind: Any, title: str) -> Any:
        return kind.FromString(read_field(place, NAMESPACES, name, title).Bytes)

    return Definition(
        sequence,
        field(chaincode_definition_pb2.ChaincodeEndorsementInfo, "EndorsementInfo"),
        field(chaincode_definition_pb2.ChaincodeValidationInfo, "ValidationInfo"),
        field(collection_pb2.CollectionConfigPackage, "Collections"),
    )


def _bytes(value: bytes) -> bytes:
    encoded: bytes = db_pb2.StateData(Bytes=value).SerializeToString()
    return encoded
