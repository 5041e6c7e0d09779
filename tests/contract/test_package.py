"""What the package is made of: its public names, and that its pure half stays pure."""

from __future__ import annotations

import subprocess
import sys

import cloister.contract

OFFICIAL = {
    "ClientIdentity",
    "Contract",
    "ContractChaincode",
    "ContractInterface",
    "EvaluationContractInterface",
    "IgnoreContractInterface",
    "SettableTransactionContextInterface",
    "SystemContract",
    "SystemContractName",
    "TransactionContext",
    "TransactionContextInterface",
}


def test_the_names_of_the_official_package_are_there() -> None:
    assert set(cloister.contract.__all__) >= OFFICIAL
    assert all(hasattr(cloister.contract, name) for name in cloister.contract.__all__)


def test_importing_the_pure_half_brings_in_no_network_and_no_event_loop() -> None:
    forbidden = "grpc asyncio ssl subprocess logging jsonschema cloister.contract.server"
    program = f"import sys, cloister.contract; print(*sorted(set('{forbidden}'.split()) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
