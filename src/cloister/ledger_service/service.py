"""One organisation's ledger service: an enclave that follows the channel, whatever breaks around it.

An orderer that is lost is asked again, then the next one. If the enclave halts on a block, the orderer that sent it is
not asked again in this run: the enclave is started anew from its sealed checkpoint and follows another one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cloister.enclave_process import EnclaveRun, start_enclave_process
from cloister.errors import CloisterError, EnvironmentFailed, MalformedInput
from cloister.gateway.errors import EventsError
from cloister.wire.ledger_messages import (
    FindTransaction,
    GetLedgerStatus,
    LedgerStatus,
    ListSuspects,
    RestoreLedger,
    StartLedger,
    Suspects,
    TransactionFound,
)

from .config import LedgerConfig
from .control import ControlServer
from .errors import ChannelHalted, LedgerLost, LedgerRefused
from .follower import Follower, Halted, RecentBlocks
from .link import LedgerLink, open_ledger_link
from .messages import (
    BlockFound,
    Document,
    EnclaveAt,
    FetchTransaction,
    FindEnclave,
    GetServiceStatus,
    GetSuspects,
    NotKnown,
    ServiceReply,
    ServiceRequest,
)
from .orderers import Orderers
from .store import CheckpointStore

MODULE = "cloister.trusted.ledger"
FIRST_DELAY_S, LONGEST_DELAY_S = 0.1, 5.0
SEAL_EVERY_S = 60.0
_SEAL_SHARE = 20
"""Sealing may take at most one part in this many of the time."""
log = logging.getLogger(__name__)


class LedgerService:
    """See the module. `serve` runs until it is cancelled."""

    def __init__(self, config: LedgerConfig) -> None:
        self._config = config
        self._store = CheckpointStore(config.state)
        self._orderers = Orderers(config.orderers, channel=config.channel, msp_id=config.msp_id)
        self._genesis = _read(config.genesis)
        self._policy = _read(config.policy)
        self._control = ControlServer(config.listen, self._answer)
        self._recent = RecentBlocks()
        self._run: EnclaveRun | None = None
        self._link: LedgerLink | None = None
        self._source = ""
        self._refused: dict[str, str] = {}
        self._sealed_height = 0

    @property
    def port(self) -> int:
        """Where hosts find the service."""
        return self._control.port

    @property
    def enclave_pid(self) -> int | None:
        """Process id of the enclave, None while there is none."""
        return self._run.pid if self._run is not None else None

    async def serve(self) -> None:
        """Follow the channel. Raises: CloisterError if it cannot start; ChannelHalted if no orderer is left."""
        try:
            await self._start_enclave()
            await self._control.start()
            await self._follow_for_ever()
        finally:
            await self._control.stop()
            await self._stop_enclave(seal=True)
            await self._orderers.close()

    # --- the enclave ------------------------------------------------------------------------------------------------

    async def _start_enclave(self) -> None:
        environment = {
            "CLOISTER_ENCLAVE_AUTHORITY": str(self._config.authority),
            "PYTHONHASHSEED": "0",
            "LANG": "C.UTF-8",
        }
        self._run = await start_enclave_process(MODULE, environment)
        self._link = await open_ledger_link(self._run.port)
        start = StartLedger(self._genesis, self._config.msp_id, self._policy, self._config.registry)
        status = await self._link.ask(start, LedgerStatus)
        if status.state == "halted":
            raise ChannelHalted(f"genesis block refused: {status.message}", reason=status.reason)
        if status.channel != self._config.channel:
            raise EnvironmentFailed(
                f"genesis block of channel {status.channel}, expected {self._config.channel}",
                hint="see [channel] in ledger.toml",
            )
        if status.warning:
            log.warning("%s", status.warning)
        await self._restore()

    async def _restore(self) -> None:
        """Go on from the sealed checkpoint, if there is one that the enclave takes."""
        link = self._connected()
        parts = self._store.load()
        try:
            for number, part in enumerate(parts, start=1):
                await link.ask(RestoreLedger(part, int(number == len(parts))), LedgerStatus)
        except LedgerRefused as refused:
            log.warning("sealed checkpoint not taken (%s): following from the genesis block", refused.reason)
        status = await link.ask(GetLedgerStatus(), LedgerStatus)
        self._sealed_height = status.height
        log.info("ledger enclave at height %d", status.height)

    async def _stop_enclave(self, *, seal: bool) -> None:
        run, self._run = self._run, None
        link, self._link = self._link, None
        if link is not None:
            if seal and link.alive:
                await self._seal(link)
            await link.close()
        if run is not None:
            await run.stop()

    async def _seal(self, link: LedgerLink) -> None:
        """Keep a checkpoint of where the enclave stands. Without one, a restart only takes longer."""
        try:
            status = await link.ask(GetLedgerStatus(), LedgerStatus)
            if status.state != "following" or status.height == self._sealed_height:
                return
            parts = await link.seal()
            await asyncio.to_thread(self._store.save, parts)
            self._sealed_height = status.height
            log.info("sealed checkpoint at height %d", status.height)
        except CloisterError as error:
            log.warning("no checkpoint sealed: %s", error.message)

    async def _seal_now_and_then(self) -> None:
        pause_s = SEAL_EVERY_S
        while True:
            await asyncio.sleep(pause_s)
            began = time.monotonic()
            await self._seal(self._connected())
            pause_s = max(SEAL_EVERY_S, _SEAL_SHARE * (time.monotonic() - began))

    def _connected(self) -> LedgerLink:
        if self._link is None or not self._link.alive:
            raise LedgerLost("ledger enclave lost: it is being started again")
        return self._link

    # --- following --------------------------------------------------------------------------------------------------

    async def _follow_for_ever(self) -> None:
        delay_s, turn = FIRST_DELAY_S, 0
        while True:
            addresses = [address for address in self._orderers.addresses if address not in self._refused]
            if not addresses:
                told = "; ".join(f"{address}: {reason}" for address, reason in self._refused.items())
                raise ChannelHalted(
                    f"no orderer serves a chain that can be accepted ({told})",
                    reason="halted",
                    hint="compare with other members; name other orderers in ledger.toml and start again",
                )
            self._source = addresses[turn % len(addresses)]
            progressed = await self._follow(self._source)
            turn += 1
            delay_s = FIRST_DELAY_S if progressed else min(2 * delay_s, LONGEST_DELAY_S)
            await asyncio.sleep(delay_s)

    async def _follow(self, address: str) -> bool:
        """Follow one orderer until it, or the enclave, breaks; True if the enclave went forward."""
        if self._run is None or not self._run.alive or self._link is None or not self._link.alive:
            await self._stop_enclave(seal=False)
            await self._start_enclave()
        link = self._connected()
        height = (await link.ask(GetLedgerStatus(), LedgerStatus)).height
        follower = Follower(link, self._orderers, self._recent, height)
        sealing = asyncio.create_task(self._seal_now_and_then())
        try:
            await follower.follow(address)
        except Halted as halted:
            reason = f"block {halted.status.height}: {halted.status.message} ({halted.status.reason})"
            log.error("REFUSED what %s served: %s", address, reason)
            self._refused[address] = reason
            await self._stop_enclave(seal=False)
        except (EventsError, LedgerLost, LedgerRefused, MalformedInput) as error:
            log.warning("%s; trying again", error.message)
        finally:
            sealing.cancel()
            await asyncio.gather(sealing, return_exceptions=True)
        return follower.height > height

    # --- answers ----------------------------------------------------------------------------------------------------

    async def _answer(self, request: ServiceRequest) -> ServiceReply:
        match request:
            case FindEnclave():
                self._connected()
                return EnclaveAt(self._run.port if self._run is not None else 0)
            case FetchTransaction():
                return await self._fetch(request.transaction_id)
            case GetServiceStatus():
                return Document(json.dumps(await self._status(), sort_keys=True))
            case GetSuspects():
                suspects = await self._connected().ask(ListSuspects(), Suspects)
                return Document(f"[{','.join(suspects.lines)}]")

    async def _fetch(self, transaction_id: str) -> ServiceReply:
        link = self._connected()
        found = await link.ask(FindTransaction(transaction_id), TransactionFound)
        if not found.known:
            return NotKnown((await link.ask(GetLedgerStatus(), LedgerStatus)).height)
        block = self._recent.get(found.block)
        return BlockFound(block if block is not None else await self._orderers.block(found.block))

    async def _status(self) -> dict[str, Any]:
        status = asdict(await self._connected().ask(GetLedgerStatus(), LedgerStatus))
        return {
            **{name: value.hex() if isinstance(value, bytes) else value for name, value in status.items()},
            "msp_id": self._config.msp_id,
            "source": self._source,
            "refused_sources": self._refused,
            "sealed_height": self._sealed_height,
        }


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EnvironmentFailed(f"{path}: {error.strerror}") from error
