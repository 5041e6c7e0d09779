"""Chaincode lifecycle: package, install, approve, commit. An asynchronous client, no `peer` program needed."""

from .client import ChaincodeDefinition, Lifecycle, wait_until_usable
from .errors import LifecycleError
from .package import compute_package_id, package_chaincode
from .policy_dsl import parse_policy_expression

__all__ = [
    "ChaincodeDefinition",
    "Lifecycle",
    "LifecycleError",
    "compute_package_id",
    "package_chaincode",
    "parse_policy_expression",
    "wait_until_usable",
]
