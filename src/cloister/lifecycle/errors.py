"""Errors of lifecycle operations."""

from __future__ import annotations

from cloister.errors import RemoteFailed


class LifecycleError(RemoteFailed):
    """A peer refused to install, or a definition did not become usable in time."""
