"""The contract that every chaincode has besides its own: it answers with the chaincode's metadata.

Trust level: pure, measured into enclaves.
"""

from __future__ import annotations

from .contract import Contract

SystemContractName = "org.hyperledger.fabric"


class SystemContract(Contract):
    """`org.hyperledger.fabric:GetMetadata`, the name in Go and Node, and `get_metadata` as in Python."""

    Name = SystemContractName

    def __init__(self, metadata: str = "") -> None:
        super().__init__()
        self._metadata = metadata

    def get_metadata(self) -> str:
        """The chaincode's metadata as JSON."""
        return self._metadata

    def GetMetadata(self) -> str:  # noqa: N802  (the name is Fabric's)
        """The chaincode's metadata as JSON."""
        return self._metadata

    def get_evaluate_transactions(self) -> list[str]:
        return ["get_metadata", "GetMetadata"]
