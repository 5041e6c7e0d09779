"""Errors of starting and stopping a network."""

from __future__ import annotations

from cloister.errors import EnvironmentFailed, UsageError


class NetworkFailed(EnvironmentFailed):
    """A Fabric program did not do what it was started for; the message quotes its last words."""


class NetworkNotThere(UsageError):
    """The folder holds no network of ours."""
