"""The way from a chaincode enclave to its organisation's ledger enclave, made anew whenever it breaks.

The two enclaves attest each other over it; the host only carries their messages.
"""

from __future__ import annotations

import asyncio
import logging

from cloister.ledger_service.client import LedgerServiceClient, open_ledger_service
from cloister.ledger_service.link import LedgerLink, open_ledger_link
from cloister.wire.ledger_messages import SessionConfirm, SessionHello, SessionReady, SessionWelcome
from cloister.wire.messages import ConnectLedger, LedgerConfirm, LedgerHello, LedgerWelcome

from .errors import LEDGER_LOST, EnclaveLost, EnclaveRefused
from .link import EnclaveLink, no_answer

log = logging.getLogger(__name__)


class LedgerPath:
    """`address` is the ledger service's, host:port."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._link: LedgerLink | None = None
        self._enclave: EnclaveLink | None = None
        self._service: LedgerServiceClient | None = None
        self._connecting = asyncio.Lock()

    def question(self, sealed: bytes) -> asyncio.Future[bytes]:
        """Pass a sealed question on, now; empty bytes if there is no ledger enclave."""
        return self._link.question(sealed) if self._link is not None else no_answer()

    async def ensure(self, enclave: EnclaveLink) -> None:
        """See that a session with this chaincode enclave stands. Raises: LedgerLost, LedgerRefused, EnclaveRefused."""
        async with self._connecting:
            if self._enclave is enclave and self._link is not None and self._link.alive:
                return
            await self._drop()
            link = await open_ledger_link(await (await self._reach()).enclave_port())
            try:
                await _establish(enclave, link)
            except BaseException:
                await link.close()
                raise
            self._link, self._enclave = link, enclave
            log.info("session with the ledger enclave established")

    def renew(self) -> None:
        """The next call makes a new session."""
        self._enclave = None

    def failed(self, refused: EnclaveRefused) -> None:
        """A call was refused: if for want of a ledger enclave, the next one makes a new session."""
        if refused.reason in LEDGER_LOST:
            self.renew()

    async def fetch(self, transaction_id: str) -> bytes | None:
        """The block (serialised `common.Block`) that holds a transaction, None if it is not known yet."""
        return await (await self._reach()).fetch(transaction_id)

    async def fetch_envelope(self, transaction_id: str) -> bytes | None:
        """The transaction's envelope or, if that is not at hand, its block; None if it is not known yet."""
        return await (await self._reach()).fetch_envelope(transaction_id)

    async def close(self) -> None:
        """Close all connections."""
        async with self._connecting:
            await self._drop()
            if self._service is not None:
                await self._service.close()
                self._service = None

    async def _drop(self) -> None:
        link, self._link, self._enclave = self._link, None, None
        if link is not None:
            await link.close()

    async def _reach(self) -> LedgerServiceClient:
        if self._service is None or not self._service.alive:
            self._service = await open_ledger_service(self._address)
        return self._service


async def _establish(enclave: EnclaveLink, link: LedgerLink) -> None:
    hello = await enclave.ask(ConnectLedger())
    if not isinstance(hello, LedgerHello):
        raise EnclaveLost("enclave answered something else than a hello")
    welcome = await link.ask(SessionHello(hello.hello), SessionWelcome)
    confirm = await enclave.ask(LedgerWelcome(welcome.welcome))
    if not isinstance(confirm, LedgerConfirm):
        raise EnclaveLost("enclave answered something else than a confirm")
    await link.ask(SessionConfirm(welcome.number, confirm.confirm), SessionReady)
