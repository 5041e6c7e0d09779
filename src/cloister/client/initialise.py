"""Bringing an organisation's enclave to life: evidence, registration, keys. What `cloister init` does.

Run once per organisation, with an identity of that organisation, in any order and as often as one likes: each step
looks first whether it is done. Everything goes through the organisation's peer; no other port, no shared secret.

1 the registry has the appraisal policy · 2 the enclave is provisioned and gives evidence · 3 first organisation: it
makes the key set and registers with it · 4 others: register, ask an enclave of another organisation for the keys, post
them, import them · 5 the enclave is ready.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cloister.errors import CloisterError, CommitRefused, MalformedInput, Refused, RemoteFailed
from cloister.fabric.block import parse_block
from cloister.gateway import Contract, EndorseError, Network
from cloister.trusted.attest.evidence import KIND_SIMULATION, Endorsements
from cloister.trusted.attest.policy import parse_policy

from .retry import retry_early

Progress = Callable[[str], None]
_RACE_CODES = {"MVCC_READ_CONFLICT", "PHANTOM_READ_CONFLICT"}
_ATTEMPTS = 5
LAG_TIMEOUT_S = 10.0
_POLL_S = 0.2
_LAGGING = (
    "the first enclave of a definition brings its key set",
    "no such enclave is registered",
    "has no key set yet",
    "the registry is not configured",
    "is not committed on this channel",
)
"""Refusals of a registry whose peer is a block behind: this organisation's own peer has shown otherwise before."""


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
    once; afterwards they must be the same.
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
    ) -> None:
        self._network = network
        self._chaincode = chaincode
        self._msp_id = msp_id
        self._policy = policy
        self._ledger_measurement = ledger_measurement
        self._progress = progress
        self._host: Contract = network.get_contract(chaincode)
        self._registry: Contract = network.get_contract(registry)

    async def run(self) -> Initialised:
        """Do what is left to do. Raises: Refused, RemoteFailed, CommitRefused, each saying what to do."""
        await self._configure()
        status = await self._ask("status")
        made_keys = False
        key_set = await self._registry_query("get_key_set", self._chaincode)
        if status["state"] != "ready" or status["sequence"] != key_set["sequence"]:
            made_keys = await self._bring_to_ready()
            status = await self._ask("status")
        if status["state"] != "ready":
            raise RemoteFailed(f"enclave of {self._msp_id} is {status['state']}, expected ready", hint="try again")
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

    async def _configure(self) -> None:
        configuration = await self._registry_query("get_configuration")
        if not configuration["policy"]:
            if self._policy is None:
                raise Refused(
                    "the enclave registry has no appraisal policy yet",
                    reason="registry",
                    hint="give one with --policy FILE",
                )
            self._progress("registry: setting the appraisal policy")
            await self._registry_submit(
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
            key_set = await self._registry_query("get_key_set", self._chaincode)
            if not key_set["descriptor"]:
                if await self._make_keys():
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
            await self._take_over(evidence)
            return False
        raise RemoteFailed("initialisation did not settle", hint="run `cloister init` again")

    async def _make_keys(self) -> bool:
        self._progress(f"{self._msp_id}: first enclave of this definition: making the keys")
        made = await self._ask("make-keys")
        try:
            await self._register(made["evidence"], made["descriptor"])
        except CommitRefused as refused:
            if refused.validation_code in _RACE_CODES:
                return False
            raise
        await self._ask("activate")
        return True

    async def _is_own(self, key_set: dict[str, Any]) -> bool:
        """True if the committed key set is this enclave's own candidate (an earlier run was interrupted)."""
        status = await self._ask("status")
        return bool(status["evidence"]) and status["evidence"] == key_set["evidence"]

    async def _take_over(self, evidence: str) -> None:
        status = await self._ask("status")
        newcomer = status["evidence_id"]
        enclaves = await self._registry_query("list_enclaves", self._chaincode)
        if newcomer not in {enclave["evidence_id"] for enclave in enclaves}:
            self._progress(f"{self._msp_id}: registering the enclave")
            await self._register(evidence)
        posted = await self._registry_query("get_export", self._chaincode, newcomer)
        if not posted["export"]:
            await self._request_export(newcomer, enclaves)
        self._progress(f"{self._msp_id}: importing the keys")
        await self._ask("import")

    async def _request_export(self, newcomer: str, enclaves: list[dict[str, str]]) -> None:
        """Ask the enclaves of the other organisations in turn, for a while: their peers may not have the block with
        the registration yet."""
        others = sorted({enclave["msp_id"] for enclave in enclaves} - {self._msp_id})
        deadline = time.monotonic() + LAG_TIMEOUT_S
        while True:
            failures: list[str] = []
            for msp_id in others:
                self._progress(f"{self._msp_id}: asking the enclave of {msp_id} for the keys")
                try:
                    exported = await self._ask("export", newcomer, organisation=msp_id)
                except CloisterError as error:
                    failures.append(f"{msp_id}: {error.message}")
                    continue
                await self._registry_submit(
                    "put_export", self._chaincode, exported["exporter"], newcomer, exported["export"]
                )
                return
            if time.monotonic() > deadline or not others:
                told = "; ".join(failures) or "none is registered"
                raise RemoteFailed(
                    f"no enclave of another organisation gave the keys ({told})",
                    hint="start the host of an organisation that has them, then run `cloister init` again",
                )
            await asyncio.sleep(_POLL_S)

    async def _register(self, evidence: str, descriptor: str = "") -> None:
        endorsements = _base64(Endorsements(KIND_SIMULATION, b"").encode())
        arguments = [self._chaincode, evidence, endorsements, *([descriptor] if descriptor else [])]
        await self._registry_submit("register", *arguments)

    async def _ask(self, call: str, *arguments: str, organisation: str | None = None) -> Any:
        """One of the host's own calls, at this organisation's peer or another's."""
        organisations = [organisation or self._msp_id]

        async def ask() -> bytes:
            return await self._host.evaluate(
                f"cloister:{call}", arguments=list(arguments), endorsing_organizations=organisations
            )

        return _json(await retry_early(ask))

    async def _registry_submit(self, function: str, *arguments: str | bytes) -> None:
        """Submit, again for a while if an organisation's peer has not seen yet what this one has."""
        deadline = time.monotonic() + LAG_TIMEOUT_S
        while True:
            try:
                await retry_early(lambda: self._registry.submit_transaction(function, *arguments))
            except EndorseError as error:
                lagging = any(text in error.message for text in _LAGGING)
                if not lagging or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_POLL_S)
            else:
                return

    async def _registry_query(self, function: str, *arguments: str) -> Any:
        answer = await self._registry.evaluate(
            function, arguments=list(arguments), endorsing_organizations=[self._msp_id]
        )
        return _json(answer)


def _json(answer: bytes) -> Any:
    try:
        return json.loads(answer)
    except ValueError as error:
        raise MalformedInput("answer is not JSON", field="answer") from error


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
