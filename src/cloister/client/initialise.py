"""Bringing an organisation's enclave to life: evidence, registration, keys. What `cloister init` does.

Run once per organisation, with an identity of that organisation, in any order and as often as one likes: each step
looks first whether it is done. Everything goes through the organisation's peer; no other port, no shared secret.

1 the registry has the appraisal policy · 2 the enclave is provisioned and gives evidence · 3 first organisation: it
makes the key set and registers with it · 4 others: register, ask an enclave of another organisation for the keys, post
them, import them · 5 the enclave is ready. After an upgrade to another measurement, before 3: register, be given the
keys of the definition before by one of its enclaves, import them.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cloister.errors import CloisterError, CommitRefused, Refused, RemoteFailed
from cloister.fabric.block import parse_block
from cloister.gateway import Contract, EvaluateError, Network
from cloister.trusted.attest.evidence import KIND_SIMULATION, Endorsements
from cloister.trusted.attest.policy import parse_policy

from .registry_client import LAG_TIMEOUT_S, POLL_S, RegistryClient, parse_json
from .retry import retry_early

Progress = Callable[[str], None]
HandOver = Callable[[str], Awaitable[None]]
"""Has an enclave of an earlier definition export its keys to a newcomer (evidence id in hex), and posts them."""
_RACE_CODES = {"MVCC_READ_CONFLICT", "PHANTOM_READ_CONFLICT"}
_ATTEMPTS = 5
_EARLIER_KEYS = "enclave refused: earlier-keys"
_EXPORT_HINT = (
    "run `cloister host export` where an enclave of the definition before has its sealed state, then `cloister init` "
    "again: docs/host.md, upgrades"
)


@dataclass(frozen=True, slots=True)
class Initialised:
    """An enclave that is ready. Ids in hex; `made_keys` tells that this enclave made the key set."""

    msp_id: str
    chaincode: str
    sequence: int
    measurement: str
    evidence_id: str
    key_set_id: str
    kind: str
    made_keys: bool


class Initialiser:
    """Initialises one organisation's enclave of one chaincode.

    `policy` (the appraisal policy's JSON) and `ledger_measurement` (32 bytes) are what the registry is configured with,
    once; afterwards they must be the same. `hand_over` brings the keys of an earlier definition after an upgrade;
    without it somebody else must post them.
    """

    def __init__(
        self,
        network: Network,
        *,
        chaincode: str,
        registry: str,
        msp_id: str,
        policy: bytes | None,
        ledger_measurement: bytes,
        progress: Progress,
        hand_over: HandOver | None = None,
    ) -> None:
        self._network = network
        self._chaincode = chaincode
        self._msp_id = msp_id
        self._policy = policy
        self._ledger_measurement = ledger_measurement
        self._progress = progress
        self._hand_over = hand_over
        self._host: Contract = network.get_contract(chaincode)
        self._registry = RegistryClient(network, registry, msp_id)

    async def run(self) -> Initialised:
        """Do what is left to do. Raises: Refused, RemoteFailed, CommitRefused, each saying what to do."""
        await self._configure()
        status = await self._ask("status")
        made_keys = False
        key_set = await self._registry.query("get_key_set", self._chaincode)
        if status["state"] != "ready" or status["sequence"] != key_set["sequence"]:
            made_keys = await self._bring_to_ready()
            status = await self._ask("status")
        if status["state"] != "ready":
            raise RemoteFailed(f"enclave of {self._msp_id} is {status['state']}, expected ready", hint="try again")
        await self._require_not_revoked(status["evidence_id"])
        return Initialised(
            msp_id=self._msp_id,
            chaincode=self._chaincode,
            sequence=status["sequence"],
            measurement=status["measurement"],
            evidence_id=status["evidence_id"],
            key_set_id=status["key_set_id"],
            kind=status["kind"],
            made_keys=made_keys,
        )

    async def _require_not_revoked(self, evidence_id: str) -> None:
        for enclave in await self._registry.query("list_enclaves", self._chaincode):
            if enclave["evidence_id"] == evidence_id and enclave["revoked"]:
                raise Refused(
                    f"enclave {evidence_id} of {self._msp_id} was revoked",
                    reason="revoked",
                    hint="move its sealed state away, start the host again, run `cloister init`: a fresh one comes",
                )

    async def _configure(self) -> None:
        configuration = await self._registry.query("get_configuration")
        if not configuration["policy"]:
            if self._policy is None:
                raise Refused(
                    "the enclave registry has no appraisal policy yet",
                    reason="registry",
                    hint="give one with --policy FILE",
                )
            self._progress("registry: setting the appraisal policy")
            await self._registry.submit(
                "configure", self._policy, await self._genesis_hash(), self._ledger_measurement.hex()
            )
            return
        if self._policy is not None and parse_policy(self._policy).encode() != configuration["policy"].encode():
            raise Refused(
                "the registry was configured with another appraisal policy, which cannot be changed",
                reason="policy",
                hint="compare `cloister submit --plain registry get_configuration` with your file",
            )
        if configuration["ledger_measurement"] != self._ledger_measurement.hex():
            raise Refused(
                f"the registry names another ledger enclave ({configuration['ledger_measurement']}) "
                f"than this version of Cloister has ({self._ledger_measurement.hex()})",
                reason="ledger-measurement",
                hint="use the version of Cloister with which the registry was configured",
            )

    async def _genesis_hash(self) -> str:
        """Header hash of block 0 as this organisation's own peer has it, hex."""
        block = await self._network.get_contract("qscc").evaluate(
            "GetBlockByNumber", arguments=[self._network.name, "0"], endorsing_organizations=[self._msp_id]
        )
        return parse_block(block).header_hash.hex()

    async def _bring_to_ready(self) -> bool:
        """Make keys or take them over, whichever the registry calls for; True if they were made here."""
        fresh = False
        for _ in range(_ATTEMPTS):
            self._progress(f"{self._msp_id}: provisioning the enclave")
            evidence = (await self._ask("provision", *(["fresh"] if fresh else [])))["evidence"]
            key_set = await self._registry.query("get_key_set", self._chaincode)
            if not key_set["descriptor"]:
                if await self._make_keys(evidence, key_set["sequence"]):
                    return True
                fresh = True  # another organisation was first: its keys, and an identity without our own candidate
                continue
            if await self._is_own(key_set):
                await self._ask("activate")
                return True
            status = await self._ask("status")
            if status["state"] == "candidate":
                fresh = True
                continue
            await self._take_over(evidence, key_set["sequence"])
            return False
        raise RemoteFailed("initialisation did not settle", hint="run `cloister init` again")

    async def _make_keys(self, evidence: str, sequence: int) -> bool:
        made = await self._make_unless_earlier() or await self._make_after_earlier(evidence, sequence)
        self._progress(f"{self._msp_id}: first enclave of this definition: it has made the keys")
        try:
            await self._register(made["evidence"], made["descriptor"])
        except CommitRefused as refused:
            if refused.validation_code in _RACE_CODES:
                return False
            raise
        await self._ask("activate")
        return True

    async def _make_unless_earlier(self) -> Any:
        """What the enclave made; None if the keys of an earlier definition must be taken over first."""
        try:
            return await self._ask("make-keys")
        except EvaluateError as error:
            if not any(_EARLIER_KEYS in text for text in (error.message, *(item.message for item in error.details))):
                raise
        return None

    async def _is_own(self, key_set: dict[str, Any]) -> bool:
        """True if the committed key set is this enclave's own candidate (an earlier run was interrupted)."""
        status = await self._ask("status")
        return bool(status["evidence"]) and status["evidence"] == key_set["evidence"]

    async def _take_over(self, evidence: str, sequence: int) -> None:
        """The keys of this definition, from another organisation's enclave.

        Not what an enclave of an earlier one has posted, before or in between: this definition's are not among them.
        """
        newcomer, enclaves = await self._register_newcomer(evidence)
        posted = await self._registry.query("get_export", self._chaincode, newcomer)
        if posted["export"] and posted["exporter_sequence"] == sequence and await self._import_posted():
            return
        others = sorted({enclave["msp_id"] for enclave in enclaves} - {self._msp_id})
        await self._request_export(newcomer, others)
        self._progress(f"{self._msp_id}: importing the keys")
        await self._ask("import")

    async def _make_after_earlier(self, evidence: str, sequence: int) -> Any:
        """What the enclave made once it had the keys so far: as posted, by `hand_over`, or through others' peers.

        An enclave that has not all of them can post its own for anybody: then the next one is asked.
        """
        newcomer, _ = await self._register_newcomer(evidence)
        posted = await self._registry.query("get_export", self._chaincode, newcomer)
        if posted["export"] and (made := await self._make_from_posted()):
            return made
        if self._hand_over is not None:
            await self._hand_over(newcomer)
            if made := await self._make_from_posted():
                return made
            raise RemoteFailed("the enclave of the definition before has not all the keys so far", hint=_EXPORT_HINT)
        keepers = await self._keepers_of_earlier(sequence)
        while keepers:
            keepers.remove(await self._request_export(newcomer, keepers))
            if made := await self._make_from_posted():
                return made
        raise RemoteFailed("none of the enclaves that the peers reach now has all the keys so far", hint=_EXPORT_HINT)

    async def _make_from_posted(self) -> Any:
        """What the enclave made with the keys that were posted for it; None if they are not those it needs."""
        return await self._make_unless_earlier() if await self._import_posted() else None

    async def _import_posted(self) -> bool:
        """False if the enclave refuses what was posted for it: from a revoked one, or older than its own, say."""
        self._progress(f"{self._msp_id}: importing the keys that were posted")
        try:
            await self._ask("import")
        except EvaluateError as error:
            self._progress(f"{self._msp_id}: what was posted is of no use: {error.message}")
            return False
        return True

    async def _register_newcomer(self, evidence: str) -> tuple[str, list[dict[str, str]]]:
        """(evidence id, the enclaves that were registered before)."""
        newcomer = (await self._ask("status"))["evidence_id"]
        enclaves = await self._registry.query("list_enclaves", self._chaincode)
        if newcomer not in {enclave["evidence_id"] for enclave in enclaves}:
            self._progress(f"{self._msp_id}: registering the enclave")
            await self._register(evidence)
        return newcomer, enclaves

    async def _keepers_of_earlier(self, sequence: int) -> list[str]:
        """Organisations whose host runs an enclave with keys of earlier definitions, those of the newest first.

        Raises: RemoteFailed if there is none.
        """
        others: list[str] = []
        for number in range(sequence - 1, 0, -1):
            enclaves = await self._registry.query("list_enclaves", self._chaincode, str(number))
            others += sorted({enclave["msp_id"] for enclave in enclaves} - {self._msp_id, *others})
        found = [msp_id for msp_id in others if await self._is_ready(msp_id)]
        if not found:
            raise RemoteFailed(
                f"{self._chaincode} had keys before sequence {sequence}, and none of the enclaves that the peers reach "
                "now has them",
                hint=_EXPORT_HINT,
            )
        return found

    async def _is_ready(self, msp_id: str) -> bool:
        try:
            return bool((await self._ask("status", organisation=msp_id))["state"] == "ready")
        except CloisterError:
            return False

    async def _request_export(self, newcomer: str, organisations: Sequence[str]) -> str:
        """Ask the enclaves of other organisations in turn, for a while: their peers may not have the block with the
        registration yet. Returns whose enclave gave the keys."""
        deadline = time.monotonic() + LAG_TIMEOUT_S
        for msp_id in organisations:
            self._progress(f"{self._msp_id}: asking the enclave of {msp_id} for the keys")
        while True:
            failures: list[str] = []
            for msp_id in organisations:
                try:
                    exported = await self._ask("export", newcomer, organisation=msp_id)
                    export, sequence = str(exported["export"]), str(exported["exporter_sequence"])
                    arguments = (self._chaincode, str(exported["exporter"]), newcomer, export, sequence)
                    await self._registry.submit("put_export", *arguments)
                except (
                    CloisterError,
                    LookupError,
                    TypeError,
                ) as error:  # whatever a host answers: the next one is asked
                    failures.append(f"{msp_id}: {error.message if isinstance(error, CloisterError) else 'no keys'}")
                    continue
                return msp_id
            if time.monotonic() > deadline or not organisations:
                told = "; ".join(failures) or "none is registered"
                raise RemoteFailed(
                    f"no enclave of another organisation gave the keys ({told})",
                    hint="start the host of an organisation that has them, then run `cloister init` again",
                )
            await asyncio.sleep(POLL_S)

    async def _register(self, evidence: str, descriptor: str = "") -> None:
        endorsements = _base64(Endorsements(KIND_SIMULATION, b"").encode())
        arguments = [self._chaincode, evidence, endorsements, *([descriptor] if descriptor else [])]
        await self._registry.submit("register", *arguments)

    async def _ask(self, call: str, *arguments: str, organisation: str | None = None) -> Any:
        """One of the host's own calls, at this organisation's peer or another's."""
        organisations = [organisation or self._msp_id]

        async def ask() -> bytes:
            return await self._host.evaluate(
                f"cloister:{call}", arguments=list(arguments), endorsing_organizations=organisations
            )

        return parse_json(await retry_early(ask))


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
