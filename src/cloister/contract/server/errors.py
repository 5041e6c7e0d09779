"""What can go wrong between chaincode server and peer, besides PeerRefused and PeerLost of `cloister.contract`."""

from __future__ import annotations

from cloister.errors import EnvironmentFailed, MalformedInput, UsageError


class StreamViolated(MalformedInput):
    """The peer sent something that the chaincode protocol does not allow; the stream ends, the server lives on."""


class ConnectionViolated(MalformedInput):
    """A client sent something that HTTP/2 or this server's limits do not allow; the connection ends."""


class MessageTooLarge(UsageError):
    """A message for the peer is larger than peers accept."""


class ServerNotStarted(EnvironmentFailed):
    """The server cannot listen, or a key or certificate file cannot be used."""
