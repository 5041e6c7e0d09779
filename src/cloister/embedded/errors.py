"""Errors of an embedded network. What a client is told are Fabric's words where Fabric has some."""

from __future__ import annotations

from cloister.errors import CloisterError, EnvironmentFailed


class SimulationFailed(CloisterError):
    """A request of a chaincode that a peer refuses; the chaincode is told."""


class ProposalRefused(CloisterError):
    """A proposal that is refused before anything runs: the call fails, there is no proposal response."""


class ExecutionFailed(CloisterError):
    """A proposal whose execution failed outside the chaincode: a response of status 500 without payload."""


class BroadcastRefused(CloisterError):
    """A transaction that the orderer does not take. `status` is a `common.Status`."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class StoreDamaged(EnvironmentFailed):
    """The folder's blocks do not give the verdicts that were given when they were written."""
