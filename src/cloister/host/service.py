"""The host's service: calls from the peer to the enclave and back."""

from __future__ import annotations

import functools
import logging

from cloister.contract.response import Response, ResponseCode, success
from cloister.contract.server import ChaincodeServer, PeerStub
from cloister.contract.server.tls import load_tls
from cloister.errors import CloisterError, UsageError
from cloister.wire.messages import EnclaveMessage, Invoke, OpenCommitted, Opened, Result

from .config import HostConfig
from .control import OPEN, PREFIX, Control
from .errors import EnclaveLost, EnclaveRefused
from .kept_enclave import KeptEnclave
from .peer_answers import answer_from_peer, write_result
from .process import EnclaveProcess

_REFUSAL_STATUS = ResponseCode.ERROR
_MAX_DESCRIPTION = 1000
_NOT_ENOUGH = frozenset({"block", "malformed"})
"""Why an envelope is refused whose hash the ledger enclave does not remember: then it takes the whole block."""
log = logging.getLogger(__name__)


class Host:
    """One organisation's host for one confidential chaincode."""

    def __init__(self, config: HostConfig) -> None:
        self._enclave = KeptEnclave(config)
        self._control = Control(config, self._enclave.ask)
        tls = load_tls(config.tls_key, config.tls_certificate, config.tls_client_ca)
        self._server = ChaincodeServer(self._handle, config.package_id, config.listen, tls)

    @property
    def address(self) -> str:
        """host:port of the chaincode server."""
        return self._server.address

    @property
    def enclave_pid(self) -> int | None:
        """Process id of the enclave, None while there is none."""
        return self._enclave.pid

    async def start(self) -> None:
        """Start the enclave (from its sealed state, if there is one) and the server. Raises: CloisterError."""
        await self._enclave.running()
        await self._server.start()

    async def stop(self) -> None:
        """Finish calls in flight, stop the server and the enclave."""
        await self._server.stop()
        await self._enclave.stop()

    async def serve_forever(self) -> None:
        """Start, serve until SIGINT or SIGTERM, stop."""
        try:
            await self._enclave.running()
            await self._server.serve_forever()
        finally:
            await self._enclave.stop()

    async def _handle(self, stub: PeerStub) -> Response:
        """One call from the peer. What is refused here holds no secret: reasons are coarse codes."""
        try:
            if stub.arguments and stub.arguments[0] == OPEN:
                return await self._open(stub)
            if stub.arguments and stub.arguments[0].startswith(PREFIX):
                return await self._control.handle(stub)
            return await self._invoke(stub)
        except EnclaveRefused as refused:
            self._enclave.ledger.failed(refused)
            return Response(_REFUSAL_STATUS, _describe(refused))
        except CloisterError as error:
            log.warning("call refused: %s", type(error).__name__)
            return Response(_REFUSAL_STATUS, _describe(error))

    async def _invoke(self, stub: PeerStub) -> Response:
        enclave = await self._enclave.connected()
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
        enclave = await self._enclave.connected()
        ledger = self._enclave.ledger
        try:
            opened = await _open_from(enclave, transaction_id, await ledger.fetch_envelope(transaction_id))
        except EnclaveRefused as refused:
            if refused.reason not in _NOT_ENOUGH:
                raise
            opened = await _open_from(enclave, transaction_id, await ledger.fetch(transaction_id))
        if not isinstance(opened, Opened):
            raise EnclaveLost("enclave answered something else than an outcome")
        return success(opened.payload)


async def _open_from(enclave: EnclaveProcess, transaction_id: str, committed: bytes | None) -> EnclaveMessage:
    if committed is None:
        raise EnclaveRefused("ledger-behind")
    return await enclave.link.ask(OpenCommitted(transaction_id, committed))


def _describe(error: CloisterError) -> str:
    """One line for the peer: message and hint. Short, since gRPC limits what errors can carry."""
    text = f"{error.message} ({error.hint})" if error.hint else error.message
    return text[:_MAX_DESCRIPTION]
