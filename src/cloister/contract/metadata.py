"""What a chaincode says about itself, and how it is written as JSON.

The shape is that of Fabric's contract metadata (fabric-contract-api-go metadata/schema): info, contracts with their
transactions, components with the schemas of structures. Added: `reveal` where a function declares it, and
`clearKeySpaces` where a contract has some.

Trust level: pure, measured into enclaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .functions import TransactionFunction
from .schema import schema_of


@dataclass
class ContactMetadata:
    """Whom to ask about a contract."""

    name: str = ""
    url: str = ""
    email: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON form without empty fields."""
        return _without_empty({"name": self.name, "url": self.url, "email": self.email})


@dataclass
class LicenseMetadata:
    """A contract's licence."""

    name: str = ""
    url: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON form without empty fields."""
        return _without_empty({"name": self.name, "url": self.url})


@dataclass
class InfoMetadata:
    """Title, version and the like, of a contract or a chaincode. Mutable, as authors fill it field by field."""

    description: str = ""
    title: str = ""
    contact: ContactMetadata | None = None
    license: LicenseMetadata | None = None
    version: str = ""
    terms_of_service: str = ""

    def to_dict(self, default_title: str = "undefined") -> dict[str, Any]:
        """JSON form; title and version are never absent there."""
        return _without_empty(
            {
                "description": self.description,
                "title": self.title or default_title,
                "contact": self.contact.to_dict() if self.contact else None,
                "license": self.license.to_dict() if self.license else None,
                "version": self.version or "latest",
                "termsOfService": self.terms_of_service,
            }
        )


def describe_contract(
    name: str,
    info: InfoMetadata,
    functions: Iterable[TransactionFunction],
    components: dict[str, Any],
    clear_key_spaces: tuple[str, ...],
) -> dict[str, Any]:
    """Metadata of one contract; structures that its functions mention are added to `components`."""
    described: dict[str, Any] = {
        "name": name,
        "info": info.to_dict(default_title=name),
        "transactions": [
            _describe_transaction(function, components) for function in sorted(functions, key=lambda item: item.name)
        ],
    }
    if clear_key_spaces:
        described["clearKeySpaces"] = list(clear_key_spaces)
    return described


def _describe_transaction(function: TransactionFunction, components: dict[str, Any]) -> dict[str, Any]:
    kind = "evaluate" if function.evaluate else "submit"
    described: dict[str, Any] = {"name": function.name.rpartition(".")[2], "tag": [kind, kind.upper()]}
    if function.parameters:
        described["parameters"] = [
            {"name": parameter.name, "schema": schema_of(parameter.hint, components)}
            for parameter in function.parameters
        ]
    if function.returns is not None:
        described["returns"] = schema_of(function.returns, components)
    if function.reveal is not None:
        described["reveal"] = function.reveal
    return described


def _without_empty(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}
