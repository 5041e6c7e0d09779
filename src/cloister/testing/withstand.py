"""Does a contract withstand every attack that can be made here? One call, for authors of contracts.

    async def scenario(channel, secret):
        ann, bob = channel.client("ann"), channel.client("bob", "Org2MSP")
        await ann.submit("bid", secret)
        ...
        return await bob.submit("winner")       # what must be equal whatever a host does

    await assert_withstands(Auction, scenario, secrets=("100", "999999999"))

The protocol answers for attacks on state, requests and results. What depends on the contract: whether which keys it
touches, how many and how large values it writes, its events and its clear key names tell a secret, and what can be read
of a transaction that is endorsed and never submitted.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from cloister.client.checkpoints import InMemoryCheckpoints
from cloister.client.confidential import ConfidentialResult
from cloister.client.errors import ConfidentialCallFailed
from cloister.errors import CloisterError, UsageError
from cloister.fabric.proposal import ParsedProposal
from cloister.wire.messages import Refusal

from .attacks import Adversary, Attack, install
from .beside import NeverSubmitted
from .channel import Channel
from .committed_state import StateAnswer, StateQuestion
from .confidential import Call, ConfidentialChannel, ContractSource, Proceed, image_of
from .host import Execution
from .signers import Signer
from .switches import ADVERSARIES
from .traces import Trace, first_difference, plaintext_in, trace_of

Scenario = Callable[[ConfidentialChannel, str], Awaitable[Any]]
"""Calls the contract; the second argument is the secret. Returns what its members have learnt."""
_SEED = b"withstand"
_NEVER = 10**9


class Verdict(Enum):
    """What came of an attack."""

    REFUSED = "refused"
    NO_EFFECT = "no effect"
    NOT_APPLICABLE = "nothing to attack"
    LEAKED = "LEAKED"
    ACCEPTED = "ACCEPTED"

    @property
    def withstood(self) -> bool:
        """Nothing was won."""
        return self not in (Verdict.LEAKED, Verdict.ACCEPTED)


@dataclass(frozen=True)
class Finding:
    """One attack, or one comparison across secrets: `row` of the threat list, `name`, what came of it and why."""

    row: str
    name: str
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True)
class Report:
    """All findings, in the order of the threat list."""

    findings: tuple[Finding, ...]

    @property
    def failures(self) -> tuple[Finding, ...]:
        """What was leaked or accepted."""
        return tuple(item for item in self.findings if not item.verdict.withstood)

    def verdict(self, attack: Attack) -> Verdict:
        """What came of one attack."""
        return next(item.verdict for item in self.findings if item.name == attack.name)

    def __str__(self) -> str:
        width = max(len(item.name) for item in self.findings)
        lines = [f"{item.row:4}{item.name:{width}}  {item.verdict.value:18}{item.detail}" for item in self.findings]
        return "\n".join(line.rstrip() for line in lines)


async def assert_withstands(
    contract: ContractSource,
    scenario: Scenario,
    *,
    secrets: Sequence[str] = ("1", "1000000000"),
    attacks: Iterable[Attack] = tuple(Attack),
) -> Report:
    """Run the scenario under every attack, and honestly with each secret. Raises: AssertionError with the failures.

    `secrets`: two or more, such as a low and a high bid; those of six bytes or more are searched for in all that hosts
    and peers see. Each attack is made from its first opportunity on, and at its last one alone.
    """
    report = await attack_all(contract, scenario, secrets=secrets, attacks=attacks)
    if report.failures:
        told = "\n".join(f"{item.row} {item.name}: {item.verdict.value}: {item.detail}" for item in report.failures)
        raise AssertionError(f"{len(report.failures)} attacks succeeded\n{told}")
    return report


async def attack_all(
    contract: ContractSource,
    scenario: Scenario,
    *,
    secrets: Sequence[str] = ("1", "1000000000"),
    attacks: Iterable[Attack] = tuple(Attack),
) -> Report:
    """The same, and whatever comes of it is in the report. Raises: UsageError if the honest runs already differ."""
    if len(set(secrets)) < 2:
        raise UsageError("secrets: expected two or more different ones, to compare what is seen of them")
    stage = _Stage(contract, scenario)
    findings = await _compare_secrets(stage, secrets)
    if switches := tuple(attacks):
        findings += await _attack_in_turn(stage, secrets, switches)
    return Report(tuple(sorted(findings, key=lambda item: (item.row[0], int(item.row[1:])))))


async def _attack_in_turn(stage: _Stage, secrets: Sequence[str], switches: Sequence[Attack]) -> list[Finding]:
    honest = await stage.honest(secrets[0])
    if honest.told != (await stage.honest(secrets[0])).told:
        raise UsageError(
            "scenario: two honest runs tell different things",
            hint="return only what must be equal whatever a host does",
        )
    opportunities = await _count(stage, secrets[0])
    return [
        await _told_early(stage, switch, secrets)
        if issubclass(ADVERSARIES[switch], NeverSubmitted)
        else await _attacked(stage, switch, secrets[0], honest.told, opportunities[switch])
        for switch in switches
    ]


@dataclass(frozen=True)
class _Run:
    told: Any
    trace: Trace
    readable: str


class _Stage:
    """Makes channels that have equal identities and draw equal keys."""

    def __init__(self, contract: ContractSource, scenario: Scenario) -> None:
        self._image = image_of(contract)
        self._template = Channel()
        self._clients: dict[tuple[str, str], Signer] = {}
        self.scenario = scenario

    def channel(self, *, patience_s: float = 0.0) -> ConfidentialChannel:
        return ConfidentialChannel(
            self._image,
            template=self._template,
            clients=self._clients,
            seed=_SEED,
            checkpoints=InMemoryCheckpoints(),
            patience_s=patience_s,
        )

    async def honest(self, secret: str) -> _Run:
        channel = self.channel(patience_s=5.0)
        told = await self.scenario(channel, secret)
        return _Run(told, trace_of(channel), plaintext_in(channel, secret))


async def _compare_secrets(stage: _Stage, secrets: Sequence[str]) -> list[Finding]:
    runs = [await stage.honest(secret) for secret in secrets]
    readable = next((run.readable for run in runs if run.readable), "")
    difference = next((found for run in runs[1:] if (found := first_difference(runs[0].trace, run.trace))), "")
    return [
        Finding("D1", "PLAINTEXT", *_leak(f"a secret stands readable in {readable}" if readable else "")),
        Finding("D4", "TRACES", *_leak(difference)),
    ]


def _leak(what: str) -> tuple[Verdict, str]:
    return (Verdict.LEAKED, what) if what else (Verdict.NO_EFFECT, "the same for all secrets")


async def _told_early(stage: _Stage, switch: Attack, secrets: Sequence[str]) -> Finding:
    """What is readable without a commit must not depend on the secret."""
    told: list[list[tuple[str, bytes]]] = []
    for secret in secrets:
        channel, adversary = stage.channel(patience_s=5.0), ADVERSARIES[switch]()
        install(channel, adversary)
        await stage.scenario(channel, secret)
        if adversary.findings:
            return _finding(switch, Verdict.LEAKED, adversary.findings[0].what)
        if not adversary.struck:
            return _finding(switch, Verdict.NOT_APPLICABLE)
        if isinstance(adversary, NeverSubmitted):
            told.append(adversary.told)
    for other in told[1:]:
        for one, another in zip(told[0], other, strict=False):
            if one != another:
                what = f'{one[0]} tells what depends on the secret before it is committed: reveal it "on-commit"'
                return _finding(switch, Verdict.LEAKED, what)
    return _finding(switch, Verdict.NO_EFFECT, "nothing readable depends on the secret")


async def _attacked(stage: _Stage, switch: Attack, secret: str, honest: Any, opportunities: int) -> Finding:
    first, ended = await _strike(stage, switch, secret, honest, after=0)
    if not first.verdict.withstood or ended or opportunities < 2:
        return first
    last, _ = await _strike(stage, switch, secret, honest, after=opportunities - 1)
    return first if last.verdict.withstood else last


async def _strike(stage: _Stage, switch: Attack, secret: str, honest: Any, *, after: int) -> tuple[Finding, bool]:
    """What came of it, and whether the scenario went on to its end."""
    channel, adversary = stage.channel(), ADVERSARIES[switch](after)
    install(channel, adversary)
    verdict, detail, ended = await _outcome(stage, channel, secret, honest)
    if adversary.findings:
        verdict, detail = Verdict[adversary.findings[0].kind], adversary.findings[0].what
    elif not adversary.struck:
        verdict, detail = Verdict.NOT_APPLICABLE, ""
    return _finding(switch, verdict, detail), ended


async def _count(stage: _Stage, secret: str) -> dict[Attack, int]:
    """How often each attack finds something to attack in one honest run."""
    channel = stage.channel(patience_s=5.0)
    counting = {switch: maker(_NEVER) for switch, maker in ADVERSARIES.items()}
    for adversary in counting.values():
        adversary.channel = channel
    install(channel, _Several(list(counting.values())))
    await stage.scenario(channel, secret)
    return {switch: adversary.opportunities for switch, adversary in counting.items()}


class _Several(Adversary):
    """Shows everything to several adversaries that only count."""

    def __init__(self, adversaries: list[Adversary]) -> None:
        super().__init__()
        self._adversaries = adversaries

    def proposal(self, signed_proposal: bytes) -> bytes:
        for item in self._adversaries:
            item.proposal(signed_proposal)
        return signed_proposal

    def answer(self, question: StateQuestion, honest: StateAnswer, execution: Execution) -> StateAnswer:
        for item in self._adversaries:
            item.answer(question, honest, execution)
        return honest

    def ledger_answer(self, sealed: bytes) -> bytes:
        for item in self._adversaries:
            item.ledger_answer(sealed)
        return sealed

    def endorsed(self, proposal: ParsedProposal, payload: bytes) -> bytes:
        for item in self._adversaries:
            item.endorsed(proposal, payload)
        return payload

    def ordered(self, envelope: bytes) -> bytes:
        for item in self._adversaries:
            item.ordered(envelope)
        return envelope

    def blocks(self, blocks: Sequence[bytes]) -> Sequence[bytes]:
        for item in self._adversaries:
            item.blocks(blocks)
        return blocks

    async def around(self, call: Call, proceed: Proceed) -> ConfidentialResult:
        for item in self._adversaries:
            proceed = functools.partial(item.around, call, proceed)
        return await proceed()


async def _outcome(stage: _Stage, channel: ConfidentialChannel, secret: str, honest: Any) -> tuple[Verdict, str, bool]:
    try:
        told = await stage.scenario(channel, secret)
    except ConfidentialCallFailed as failed:
        return Verdict.ACCEPTED, f"the contract ran on it and said: {failed.message}", False
    except CloisterError as error:
        return Verdict.REFUSED, error.message, False
    except Exception as error:  # noqa: BLE001 - the scenario's own checks fail: it was told something else
        return Verdict.ACCEPTED, f"the scenario failed: {type(error).__name__}: {error}", False
    if told != honest:
        return Verdict.ACCEPTED, f"the scenario told {told!r}, honestly {honest!r}", True
    refusals = [item.outcome for host in channel.hosts for item in host.executions if isinstance(item.outcome, Refusal)]
    if refusals:
        return Verdict.REFUSED, f"enclave refused: {refusals[0].reason}", True
    return Verdict.NO_EFFECT, "", True


def _finding(switch: Attack, verdict: Verdict, detail: str = "") -> Finding:
    return Finding(switch.row, switch.name, verdict, detail)
