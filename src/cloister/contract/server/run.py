"""Serving a contract: from the dispatcher to the server, configured by arguments or the environment.

Environment, as the official package: CHAINCODE_SERVER_ADDRESS; CHAINCODE_ID or CORE_CHAINCODE_ID_NAME; for TLS
CORE_TLS_CLIENT_KEY_PATH, CORE_TLS_CLIENT_CERT_PATH and, for mutual TLS, CORE_PEER_TLS_ROOTCERT_FILE.
"""

from __future__ import annotations

import asyncio
import logging
import os
from functools import cached_property
from pathlib import Path

from cloister.contract.chaincode_stub import ChaincodeStub
from cloister.contract.contract_chaincode import Chaincode
from cloister.contract.invocation import Invocation
from cloister.contract.response import Response
from cloister.errors import UsageError

from .errors import ServerNotStarted
from .peer_stub import PeerStub
from .server import ChaincodeServer
from .session import Handler
from .tls import ServerTls


def contract_handler(chaincode: Chaincode) -> Handler:
    """The server's handler that runs `chaincode` on the peer's own state."""

    async def handle(peer: PeerStub) -> Response:
        stub = _ContractStub(peer)
        return await (chaincode.init(stub) if peer.is_init else chaincode.invoke(stub))

    return handle


class _ContractStub(ChaincodeStub):
    """Takes the proposal apart once the contract asks for what only that tells, such as the caller: most never do."""

    def __init__(self, peer: PeerStub) -> None:
        self._peer = self._ledger = peer

    @cached_property
    def _invocation(self) -> Invocation:  # type: ignore[override]  # nobody sets it
        return self._peer.invocation()

    def get_args(self) -> list[bytes]:
        return list(self._peer.arguments)

    def get_txid(self) -> str:
        return self._peer.transaction_id

    def get_channel_id(self) -> str:
        return self._peer.channel


def serve_from_environment(
    chaincode: Chaincode,
    *,
    chaincode_id: str | None = None,
    address: str | None = None,
    key: bytes | str | None = None,
    certificate: bytes | str | None = None,
    client_ca: bytes | str | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; the environment wins over the arguments. Keys and certificates: PEM or file names.

    Raises: UsageError if chaincode id or address is missing; ServerNotStarted.
    """
    environment = os.environ
    chaincode_id = environment.get("CHAINCODE_ID") or environment.get("CORE_CHAINCODE_ID_NAME") or chaincode_id
    address = environment.get("CHAINCODE_SERVER_ADDRESS") or address
    if not chaincode_id:
        raise UsageError("chaincode id missing", hint="set CORE_CHAINCODE_ID_NAME or pass cc_id")
    if not address:
        raise UsageError("server address missing", hint="set CHAINCODE_SERVER_ADDRESS or pass address")
    tls = _tls(
        _pem(environment.get("CORE_TLS_CLIENT_KEY_PATH") or key),
        _pem(environment.get("CORE_TLS_CLIENT_CERT_PATH") or certificate),
        _pem(environment.get("CORE_PEER_TLS_ROOTCERT_FILE") or client_ca),
    )
    serve(chaincode, chaincode_id, address, tls)


def serve(chaincode: Chaincode, chaincode_id: str, address: str, tls: ServerTls | None = None) -> None:
    """Serve until SIGINT or SIGTERM, with log lines on standard error if nothing else is configured."""
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(ChaincodeServer(contract_handler(chaincode), chaincode_id, address, tls).serve_forever())


def _tls(key: bytes | None, certificate: bytes | None, client_ca: bytes | None) -> ServerTls | None:
    """A CA alone does not make a server TLS: that variable is also set for other uses."""
    if key is None and certificate is None:
        return None
    if key is None or certificate is None:
        raise UsageError("TLS is incomplete: expected both a key and a certificate")
    return ServerTls(key, certificate, client_ca)


def _pem(value: bytes | str | None) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    if value.lstrip().startswith("-----BEGIN"):
        return value.encode()
    try:
        return Path(value).read_bytes()
    except OSError as error:
        raise ServerNotStarted(f"TLS file {value} cannot be read: {error.strerror}") from error
