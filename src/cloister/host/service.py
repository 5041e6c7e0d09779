"""The host's service: calls from the peer to the enclave and back; what dies is started or connected again."""

from __future__ import annotations

import asyncio
import functools
import logging

from cloister.contract.response import Response, ResponseCode, success
from cloister.contract.server import ChaincodeServer, PeerStub
from cloister.contract.server.tls import load_tls
from cloister.errors import CloisterError, EnvironmentFailed, UsageError
from cloister.wire.messages import (
    EnclaveMessage,
    GetStatus,
    HostMessage,
    Invoke,
    OpenCommitted,
    Opened,
    Provision,
    Restore,
    Result,
)

from .config import HostConfig
from .control import OPEN, PREFIX, Control
from .errors import EnclaveLost, EnclaveRefused
from .ledger_path import LedgerPath
from .peer_answers import answer_from_peer, write_result
from .process import EnclaveCommand, EnclaveProcess, start_enclave
from .sealed_file import read_sealed

_REFUSAL_STATUS = ResponseCode.ERROR
_MAX_DESCRIPTION = 1000
log = logging.getLogger(__name__)


class Host:
    """One organisation's host for one confidential chaincode."""

    def __init__(self, config: HostConfig) -> None:
        self._config = config
        self._command = EnclaveCommand(config.contract, config.authority, config.hash_seed)
        self._enclave: EnclaveProcess | None = None
        self._starting = asyncio.Lock()
        self._ledger = LedgerPath(config.ledger)
        self._control = Control(config, self._ask)
        tls = load_tls(config.tls_key, config.tls_certificate, config.tls_client_ca)
        self._server = ChaincodeServer(self._handle, config.package_id, config.listen, tls)

    @property
    def address(self) -> str:
        """host:port of the chaincode server."""
        return self._server.address

    @property
    def enclave_pid(self) -> int | None:
        """Process id of the enclave, None while there is none."""
        return self._enclave.pid if self._enclave else None

    async def start(self) -> None:
        """Start the enclave (from its sealed state, if there is one) and the server. Raises: CloisterError."""
        await self._running()
        await self._server.start()

    async def stop(self) -> None:
        """Finish calls in flight, stop the server and the enclave."""
        await self._server.stop()
        await self._stop_enclave()

    async def serve_forever(self) -> None:
        """Start, serve until SIGINT or SIGTERM, stop."""
        try:
            await self._running()
            await self._server.serve_forever()
        finally:
            await self._stop_enclave()

    async def _stop_enclave(self) -> None:
        await self._ledger.close()
        enclave, self._enclave = self._enclave, None
        if enclave is not None:
            await enclave.stop()

    async def _handle(self, stub: PeerStub) -> Response:
        """One call from the peer. What is refused here holds no secret: reasons are coarse codes."""
        try:
            if stub.arguments and stub.arguments[0] == OPEN:
                return await self._open(stub)
            if stub.arguments and stub.arguments[0].startswith(PREFIX):
                return await self._control.handle(stub)
            return await self._invoke(stub)
        except EnclaveRefused as refused:
            self._ledger.failed(refused)
            return Response(_REFUSAL_STATUS, _describe(refused))
        except CloisterError as error:
            log.warning("call refused: %s", type(error).__name__)
            return Response(_REFUSAL_STATUS, _describe(error))

    async def _invoke(self, stub: PeerStub) -> Response:
        enclave = await self._connected()
        result = await enclave.link.run(Invoke(stub.signed_proposal), functools.partial(answer_from_peer, stub))
        if not isinstance(result, Result):
            raise EnclaveLost("enclave answered something else than a result")
        await write_result(stub, result)
        return success(result.payload)

    async def _open(self, stub: PeerStub) -> Response:
        """The outcome of a committed transaction. Whoever asks gets it; only that transaction's caller can read it."""
        if len(stub.arguments) != 2:
            raise UsageError("open: expected a transaction id")
        transaction_id = stub.arguments[1].decode("ascii", "replace")
        enclave = await self._connected()
        block = await self._ledger.fetch(transaction_id)
        if block is None:
            raise EnclaveRefused("ledger-behind")
        opened = await enclave.link.ask(OpenCommitted(transaction_id, block))
        if not isinstance(opened, Opened):
            raise EnclaveLost("enclave answered something else than an outcome")
        return success(opened.payload)

    async def _ask(self, message: HostMessage) -> EnclaveMessage:
        """For the host's own calls. A new identity needs a new session."""
        if isinstance(message, GetStatus | Provision):
            reply = await (await self._running()).link.ask(message)
            if isinstance(message, Provision):
                self._ledger.renew()
            return reply
        return await (await self._connected()).link.ask(message)

    async def _connected(self) -> EnclaveProcess:
        """The running enclave, with a session with the ledger enclave."""
        enclave = await self._running()
        await self._ledger.ensure(enclave.link)
        return enclave

    async def _running(self) -> EnclaveProcess:
        """The enclave, started (again) if need be and restored from its sealed state."""
        async with self._starting:
            if self._enclave is not None and not self._enclave.alive:
                log.warning("the enclave is gone; it is started again")
                await self._stop_enclave()
            if self._enclave is None:
                enclave = await start_enclave(self._command, self._ledger.question)
                try:
                    await self._restore(enclave)
                except BaseException:
                    await enclave.stop()
                    raise
                self._enclave = enclave
            return self._enclave

    async def _restore(self, enclave: EnclaveProcess) -> None:
        sealed = read_sealed(self._config.state)
        if sealed is None:
            return
        try:
            await enclave.link.ask(Restore(sealed))
        except EnclaveRefused as refused:
            raise EnvironmentFailed(
                f"sealed state {self._config.state} refused by the enclave ({refused.reason})",
                hint="it belongs to another measurement or authority; move it away and run `cloister init` again",
            ) from refused


def _describe(error: CloisterError) -> str:
    """One line for the peer: message and hint. Short, since gRPC limits what errors can carry."""
    text = f"{error.message} ({error.hint})" if error.hint else error.message
    return text[:_MAX_DESCRIPTION]
