"""Errors of deploying."""

from __future__ import annotations

from cloister.errors import EnvironmentFailed


class ServerDied(EnvironmentFailed):
    """A chaincode server ended while starting; the message quotes its last line."""
