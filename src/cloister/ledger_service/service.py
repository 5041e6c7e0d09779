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

from cloister.errors import CloisterError, EnvironmentFailed, MalformedInput
from cloister.gateway.errors import EventsError
from cloister.wire.ledger_messages import FindTransaction, ListSuspects, StartLedger, Suspects, TransactionFound

from .blocks import RecentBlocks
from .config import LedgerConfig
from .control import ControlServer
from .enclave import RunningEnclave, start_ledger_enclave
from .errors import ChannelHalted, LedgerLost, LedgerRefused
from .follower import Follower, Halted
from .messages import (
    BlockFound,
    Document,
    EnclaveAt,
    EnvelopeFound,
    FetchEnvelope,
    FetchTransaction,
    FindEnclave,
    GetServiceStatus,
    GetSuspects,
    NotKnown,
    ServiceReply,
    ServiceRequest,
)
from .orderers import Orderers
from .store import CheckpointStore, keep_refused

FIRST_DELAY_S, LONGEST_DELAY_S = 0.1, 5.0
SILENCE_S = 60.0
"""An orderer that sends no block for so long may be keeping them back: another one is asked."""
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
        self._start = StartLedger(_read(config.genesis), config.msp_id, _read(config.policy), config.registry)
        self._control = ControlServer(config.listen, self._answer)
        self._recent = RecentBlocks()
        self._enclave: RunningEnclave | None = None
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
        return self._enclave.pid if self._enclave is not None else None

    async def serve(self) -> None:
        """Follow the channel. Raises: CloisterError if it cannot start; ChannelHalted if no orderer is left."""
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._standing_enclave()
            await self._control.start()
            tasks.append(asyncio.create_task(self._seal_now_and_then()))
            await self._follow_for_ever()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._control.stop()
            await self._stop_enclave(seal=True)
            await self._orderers.close()

    # --- the enclave ------------------------------------------------------------------------------------------------

    async def _standing_enclave(self) -> RunningEnclave:
        """The enclave; if it is gone, a new one that goes on from the sealed checkpoint."""
        if self._enclave is not None and self._enclave.alive:
            return self._enclave
        await self._stop_enclave(seal=False)
        enclave = await start_ledger_enclave(
            self._start, self._store.load(), channel=self._config.channel, authority=self._config.authority
        )
        self._enclave = enclave
        status = await enclave.status()
        if status.warning:
            log.warning("%s", status.warning)
        self._sealed_height = status.height
        log.info("ledger enclave at height %d", status.height)
        return enclave

    async def _stop_enclave(self, *, seal: bool) -> None:
        enclave, self._enclave = self._enclave, None
        if enclave is not None:
            if seal and enclave.alive:
                await self._seal(enclave)
            await enclave.stop()

    async def _seal(self, enclave: RunningEnclave) -> None:
        """Keep a checkpoint of where the enclave stands. Without one, a restart only takes longer."""
        try:
            status = await enclave.status()
            if status.state != "following" or status.height == self._sealed_height:
                return
            parts = await enclave.feeding.seal()
            await asyncio.to_thread(self._store.save, parts)
            self._sealed_height = status.height
            log.info("sealed a checkpoint at height %d", status.height)
        except CloisterError as error:
            log.warning("no checkpoint sealed: %s", error.message)

    async def _seal_now_and_then(self) -> None:
        """At most so much work is lost if the enclave dies."""
        pause_s = SEAL_EVERY_S
        while True:
            await asyncio.sleep(pause_s)
            began = time.monotonic()
            if self._enclave is not None and self._enclave.alive:
                await self._seal(self._enclave)
            pause_s = max(SEAL_EVERY_S, _SEAL_SHARE * (time.monotonic() - began))

    def _connected(self) -> RunningEnclave:
        if self._enclave is None or not self._enclave.alive:
            raise LedgerLost("ledger enclave lost: it is being started again")
        return self._enclave

    # --- following --------------------------------------------------------------------------------------------------

    async def _follow_for_ever(self) -> None:
        delay_s, turn = FIRST_DELAY_S, 0
        while True:
            sources = self._sources()
            if not sources:
                told = "; ".join(f"{address}: {reason}" for address, reason in self._refused.items())
                raise ChannelHalted(
                    f"no orderer serves a chain that can be accepted ({told})",
                    reason="halted",
                    hint="compare with other members; name other orderers in ledger.toml and start again",
                )
            self._source = sources[turn % len(sources)]
            if await self._follow(self._source, silence_s=SILENCE_S if len(sources) > 1 else None):
                delay_s = FIRST_DELAY_S
            turn += 1
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)

    def _sources(self) -> list[str]:
        """The orderers that have not sent what the enclave refuses."""
        return [address for address in self._orderers.addresses if address not in self._refused]

    async def _follow(self, address: str, *, silence_s: float | None) -> bool:
        """Follow one orderer until it is silent, or it or the enclave breaks; True if that began well."""
        follower: Follower | None = None
        try:
            enclave = await self._standing_enclave()
            follower = Follower(enclave.feeding, self._orderers, self._recent, (await enclave.status()).height)
            await follower.follow(address, silence_s=silence_s)
            log.info("no block from %s for %s s", address, silence_s)
            return True
        except Halted as halted:
            await self._refuse(address, halted)
        except (EventsError, LedgerLost, LedgerRefused, MalformedInput) as error:
            log.warning("%s; trying again", error.message)
        return follower is not None and follower.progressed

    async def _refuse(self, address: str, halted: Halted) -> None:
        """Ask this orderer no more, keep what it sent, and forget the enclave that has stopped for good."""
        reason = f"{halted.status.message} ({halted.status.reason})"
        log.error("REFUSED what %s delivered: %s", address, reason)
        self._refused[address] = reason
        self._recent = RecentBlocks()
        try:
            path = keep_refused(self._config.state, halted.status.height, halted.block)
            log.error("the refused block is kept in %s", path)
        except EnvironmentFailed as error:
            log.warning("the refused block is not kept: %s", error.message)
        await self._stop_enclave(seal=False)

    # --- answers ----------------------------------------------------------------------------------------------------

    async def _answer(self, request: ServiceRequest) -> ServiceReply:
        match request:
            case FindEnclave():
                return EnclaveAt(self._connected().port)
            case FetchTransaction():
                return await self._fetch(request.transaction_id, whole=True)
            case FetchEnvelope():
                return await self._fetch(request.transaction_id, whole=False)
            case GetServiceStatus():
                return Document(json.dumps(await self._status(), sort_keys=True))
            case GetSuspects():
                suspects = await self._connected().asking.ask(ListSuspects(), Suspects)
                return Document(f"[{','.join(suspects.lines)}]")

    async def _fetch(self, transaction_id: str, *, whole: bool) -> ServiceReply:
        enclave = self._connected()
        found = await enclave.asking.ask(FindTransaction(transaction_id), TransactionFound)
        if not found.known:
            return NotKnown((await enclave.status()).height)
        envelope = None if whole else self._recent.envelope(found.block, found.index)
        if envelope is not None:
            return EnvelopeFound(envelope)
        block = self._recent.get(found.block)
        if block is None:
            sources = sorted(self._sources(), key=lambda address: address != self._source)
            block = await self._orderers.block(found.block, sources)
        return BlockFound(block)

    async def _status(self) -> dict[str, Any]:
        status = asdict(await self._connected().status())
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
