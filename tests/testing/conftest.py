"""As a contract author's conftest: the plugin."""

from cloister.testing.plugin import confidential_channel

__all__ = ["confidential_channel"]
