"""Repairs from outside the enclaves: what is marked, where its last covered value stands, and having it put back.

Nothing here is believed by anybody: an enclave takes only what its ledger enclave knows as last covered
(trusted/chaincode/repair.py). Who brings it, and out of whose blocks, does not matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cloister.errors import MalformedInput, RemoteFailed
from cloister.fabric.block import parse_block
from cloister.fabric.transaction import VALIDATION_PARAMETER, parse_endorsed_transaction
from cloister.gateway import Network
from cloister.trusted.chaincode.repair import REPAIR

from .confidential import ConfidentialContract, ConfidentialResult

BEFORE = "before"
"""Instead of a transaction id: written before the namespace became confidential (trusted/ledger/coverage.py)."""
_MAX_KEYS = 100
_MAX_BYTES = 1 << 20
"""Of one transaction, but for a single value that is larger: orderers refuse what is too large (10 MB by default)."""
Advance = Callable[[int], None]
FetchBlock = Callable[[int], Awaitable[bytes]]
"""A block's number → serialised `common.Block`."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A key's value, or endorsement parameter, that was last written by a transaction that no statement covers.

    `covered`: SHA-256 of what was last covered, empty if it was absent; it stands in block `covered_block` or before.
    """

    chaincode: str
    key: str
    parameter: bool
    block: int
    transaction_id: str
    covered: bytes
    covered_block: int


@dataclass(frozen=True, slots=True)
class Repair:
    """What to do about one key; `found` says in which block each part of it was found."""

    key: str
    suspects: tuple[Suspect, ...]
    value: bytes
    parameter: bytes
    found: tuple[int, ...]

    @property
    def action(self) -> str:
        """In words."""
        done = []
        for suspect in self.suspects:
            what = "endorsement parameter" if suspect.parameter else "value"
            done.append(f"restore the {what}" if suspect.covered else f"delete the {what}")
        return ", ".join(done)


def parse_suspects(documents: Sequence[dict[str, Any]], chaincode: str) -> tuple[Suspect, ...]:
    """One chaincode's, of what a ledger service lists. Raises: MalformedInput."""
    try:
        return tuple(
            Suspect(
                chaincode=item["chaincode"],
                key=item["key"],
                parameter=bool(item["parameter"]),
                block=int(item["block"]),
                transaction_id=item["transaction_id"],
                covered=bytes.fromhex(item["covered"]),
                covered_block=int(item["covered_block"]),
            )
            for item in documents
            if item["chaincode"] == chaincode
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedInput("ledger service: not a list of suspects", field="suspects") from error


def blocks_of_own_peer(network: Network) -> FetchBlock:
    """Blocks as the gateway's own organisation's peer has them. They raise gateway errors."""
    chaincode, own = network.get_contract("qscc"), [network.gateway.identity.msp_id]

    async def fetch(number: int) -> bytes:
        arguments = [network.name, str(number)]
        return await chaincode.evaluate("GetBlockByNumber", arguments=arguments, endorsing_organizations=own)

    return fetch


async def plan_repairs(fetch: FetchBlock, suspects: Sequence[Suspect], *, advance: Advance) -> tuple[Repair, ...]:
    """Find what was last covered in these blocks; `advance` is told how many more were read.

    Raises: RemoteFailed if it is in none of them; MalformedInput; what `fetch` raises.
    """
    search = _Search(fetch, suspects, advance)
    await search.run()
    by_key: dict[str, list[Suspect]] = {}
    for suspect in suspects:
        by_key.setdefault(suspect.key, []).append(suspect)
    return tuple(search.repair(key, items) for key, items in by_key.items())


async def submit_repairs(
    contract: ConfidentialContract, repairs: Sequence[Repair], *, endorsing_organizations: Sequence[str] = ()
) -> ConfidentialResult:
    """Put back what one transaction holds (see `batches`). Raises: as `ConfidentialContract.submit`."""
    arguments = [part for item in repairs for part in (item.key, item.value, item.parameter)]
    return await contract.submit(REPAIR, *arguments, endorsing_organizations=endorsing_organizations)


def batches(repairs: Iterable[Repair]) -> Iterator[list[Repair]]:
    """As many as fit into one transaction, one after the other."""
    batch: list[Repair] = []
    size = 0
    for item in repairs:
        length = len(item.value) + len(item.parameter)
        if batch and (len(batch) == _MAX_KEYS or size + length > _MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += length
    if batch:
        yield batch


class _Search:
    """Looks through blocks for what has the hashes of what was last covered."""

    def __init__(self, fetch: FetchBlock, suspects: Sequence[Suspect], advance: Advance) -> None:
        self._fetch = fetch
        self._advance = advance
        self._wanted = {(item.key, item.parameter, item.covered): item for item in suspects if item.covered}
        self._found: dict[Suspect, tuple[int, bytes]] = {}

    async def run(self) -> None:
        """First where the keys were last written. That may have been their other half: then back, block by block."""
        for number in self._numbers():
            if not self._wanted:
                return
            self._look(number, await self._fetch(number))
            self._advance(1)
        if self._wanted:
            missing = next(iter(self._wanted.values()))
            raise RemoteFailed(
                f"the last covered value of {missing.key!r} (SHA-256 {missing.covered.hex()}) is in no block of this "
                f"peer up to {missing.covered_block}",
                hint="ask a peer that has the whole chain",
            )

    def repair(self, key: str, suspects: Sequence[Suspect]) -> Repair:
        """Of one key, once all is found."""
        parts = {item.parameter: self._found[item] for item in suspects if item.covered}
        blocks = tuple(number for number, _ in parts.values())
        nothing = (0, b"")
        return Repair(key, tuple(suspects), parts.get(False, nothing)[1], parts.get(True, nothing)[1], blocks)

    def _numbers(self) -> Iterator[int]:
        hints = sorted({item.covered_block for item in self._wanted.values()}, reverse=True)
        yield from hints
        known = set(hints)
        yield from (number for number in range(max(hints, default=0), 0, -1) if number not in known)

    def _look(self, number: int, encoded: bytes) -> None:
        for envelope in parse_block(encoded).transactions:
            try:
                action = parse_endorsed_transaction(envelope).action
            except MalformedInput:
                continue  # a configuration, or an invalid transaction of any shape
            for chaincode in {item.chaincode for item in self._wanted.values()}:
                part = action.namespace(chaincode)
                for write in part.writes if part is not None else ():
                    self._take(number, write.key, write.value, parameter=False)
                for metadata in part.metadata_writes if part is not None else ():
                    content = dict(metadata.entries).get(VALIDATION_PARAMETER, b"")
                    self._take(number, metadata.key, content, parameter=True)

    def _take(self, number: int, key: str, content: bytes, *, parameter: bool) -> None:
        suspect = self._wanted.pop((key, parameter, hashlib.sha256(content).digest()), None)
        if suspect is not None:
            self._found[suspect] = number, content
