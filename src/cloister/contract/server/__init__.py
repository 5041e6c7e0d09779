"""The chaincode server: speaks gRPC to peers. Untrusted, never part of an enclave."""

from .errors import MessageTooLarge, ServerNotStarted, StreamViolated
from .peer_stub import PeerStub
from .run import contract_handler, serve
from .server import ChaincodeServer
from .session import Handler
from .tls import ServerTls, load_tls

__all__ = [
    "ChaincodeServer",
    "Handler",
    "PeerStub",
    "ServerTls",
    "load_tls",
    "contract_handler",
    "serve",
    "MessageTooLarge",
    "ServerNotStarted",
    "StreamViolated",
]
