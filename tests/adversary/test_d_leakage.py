"""Rows D of the threat list: what plaintext, equality, length, access pattern, kind of failure and error text tell."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cloister.bench.failures import FAILURES, Failing
from cloister.client.errors import ConfidentialCallFailed
from cloister.contract import Contract, TransactionContext
from cloister.errors import Refused
from cloister.testing import ConfidentialChannel, Report, assert_withstands
from cloister.testing.traces import plaintext_in, trace_of
from cloister.testing.withstand import Scenario
from cloister.wire.messages import Result
from support.enclaves import SAMPLES

from .scenes import SECRETS, everything

Step = tuple[str, str, str, Sequence[str]]
"""(member, MSP ID, function, arguments)"""


def test_d1_no_secret_stands_readable_in_blocks_or_with_hosts(report: Report) -> None:
    """Its twins, contracts that write one in clear, are found: tests/testing/test_withstand.py."""
    (found,) = [item for item in report.findings if item.name == "PLAINTEXT"]
    assert found.verdict.withstood


async def test_d1_the_search_sees_what_is_there(channel: ConfidentialChannel) -> None:
    await everything(channel, SECRETS[0])
    assert not plaintext_in(channel, SECRETS[0])
    assert plaintext_in(channel, channel.name.encode()) == "block 0"


async def test_d2_equal_values_are_equal_nowhere() -> None:
    """Of two keys, in two transactions, on two channels of equal identities."""
    first = ConfidentialChannel(SAMPLES / "kv.py")
    second = ConfidentialChannel(SAMPLES / "kv.py", template=first.forged_at_genesis())
    stored: list[bytes] = []
    names: list[str] = []
    for channel in (first, second):
        ann = channel.client("ann")
        for key in ("x", "y", "x"):
            await ann.submit("put_state", key, "the same value")
        for execution in channel.hosts[0].executions:
            assert isinstance(execution.outcome, Result)
            stored += [value for _, value in execution.outcome.puts]
        names += channel.state.keys(channel.height)
    assert len(stored) == len(set(stored)) == 6
    assert len({value[-300:] for value in stored}) == 6
    assert len(names) == len(set(names)) == 4, "nor are equal key names"


def scenario_of(*steps: Step) -> Scenario:
    """Calls in turn; `{}` in an argument stands for the secret."""

    async def scenario(channel: ConfidentialChannel, secret: str) -> None:
        for member, msp_id, function, arguments in steps:
            client = channel.client(member, msp_id)
            filled = [item.replace("{}", secret) for item in arguments]
            found = channel.image.chaincode.find(function)
            await (client.evaluate if found and found.evaluate else client.submit)(function, *filled)

    return scenario


def call(function: str, *arguments: str, by: str = "ann", of: str = "Org1MSP") -> Step:
    return by, of, function, arguments


SAMPLE_SCENARIOS = {
    "auction": scenario_of(
        call("init", "house"),
        call("create", "a"),
        call("submit", "a", "ann", "{}"),
        call("submit", "a", "bob", "50", of="Org2MSP"),
        call("close", "a"),
        call("eval", "a"),
    ),
    "voting": scenario_of(
        call("create", "p", '["1", "1000000000"]'),
        call("vote", "p", "{}", by="bob", of="Org2MSP"),
        call("close", "p"),
        call("tally", "p"),
    ),
    "secret_keeper": scenario_of(call("init"), call("lock_secret", "{}"), call("reveal_secret")),
    "kv": scenario_of(call("put_state", "k", "{}"), call("get_state", "k")),
    "echo": scenario_of(call("echo", "{}")),
}


async def escrow(channel: ConfidentialChannel, secret: str) -> None:
    bank, ann = channel.client("bank"), channel.client("ann", "Org2MSP")
    await bank.submit("init")
    await bank.submit("issue", (await ann.evaluate("whoami")).decode(), secret)
    await ann.evaluate("balance")


@pytest.mark.parametrize("sample", [*SAMPLE_SCENARIOS, "escrow"])
async def test_d3_d4_traces_of_1_and_of_a_billion_are_equal(sample: str) -> None:
    """Which keys are touched, numbers and sizes of everything; their twins are in tests/testing/test_withstand.py."""
    scenario = SAMPLE_SCENARIOS.get(sample, escrow)
    await assert_withstands(SAMPLES / f"{sample}.py", scenario, secrets=("1", "1000000000"), attacks=())


async def test_d3_a_length_above_the_class_is_seen(channel: ConfidentialChannel) -> None:
    """The twin: a value of 300 bytes is in the next class, and that is documented."""
    ann = channel.client("ann")
    await ann.submit("put", "x", "1")
    await ann.submit("put", "x", "1" * 100)
    await ann.submit("put", "x", "1" * 300)
    sizes = [len(item.value or b"") for item in channel.state.history(channel.state.keys(channel.height)[0])]
    assert sizes[0] == sizes[1] < sizes[2]


@pytest.mark.parametrize("failing", FAILURES, ids=lambda failing: failing.name)
def test_d5_every_failure_to_open_is_one_error(failing: Failing) -> None:
    """Another key, place, header, ciphertext, tag, length: no difference but the time, which `cloister bench failures`
    measures. The honest twin opens."""
    failing.succeed()
    told = set()
    for fail in failing.failures.values():
        with pytest.raises(Refused) as caught:
            fail()
        told.add((type(caught.value), caught.value.reason, caught.value.message, caught.value.hint))
    assert len(told) == 1
    assert len(failing.failures) >= 4


class Talkative(Contract):
    """Errors that quote what nobody else may know."""

    async def fail(self, ctx: TransactionContext, kind: str, secret: str) -> str:
        print("printed", secret)
        if kind == "raise":
            raise ValueError(f"not a bid: {secret}")
        if kind == "key":
            return dict[str, str]()[secret]
        if kind == "exit":
            raise SystemExit(secret)
        await ctx.get_stub().get_state("\0" + secret)
        return "OK"


@pytest.mark.parametrize("kind", ["raise", "key", "exit", "stub"])
async def test_d6_error_texts_reach_the_caller_and_nobody_else(kind: str) -> None:
    channel, secret = ConfidentialChannel(Talkative, patience_s=0.0), "number-7350901605880"
    with pytest.raises(ConfidentialCallFailed) as caught:
        await channel.client("ann").submit("fail", kind, secret)
    assert not plaintext_in(channel, secret)
    assert not any(secret in line for line in trace_of(channel))
    if kind == "raise":
        assert secret in caught.value.message
