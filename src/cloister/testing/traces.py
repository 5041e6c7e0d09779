"""What a host and everybody who reads the channel see of a scenario: compared across secrets.

Seen are: for each execution the stored keys and ranges that are read, in order, numbers and sizes of rows, sizes of
questions, refusals; the keys that are written, sizes of values, events, endorsement parameters; sizes of answers. Two
runs with equal identities and equal keys must give equal traces, whatever their secrets are.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest

from cloister.wire.messages import AskLedger, GetRange, Refusal, Result, RowsAnswer, ValueAnswer

from .committed_state import StateAnswer, StateQuestion
from .confidential import ConfidentialChannel
from .host import Execution

Trace = tuple[str, ...]
LEAST_NEEDLE = 6
"""Secrets of fewer bytes are not searched for: they stand anywhere by accident."""


def trace_of(channel: ConfidentialChannel) -> Trace:
    """Everything seen so far, one line for each thing."""
    found: list[str] = []
    for host in channel.hosts:
        for number, execution in enumerate(host.executions):
            found += [f"{host.msp_id} call {number}: {line}" for line in _lines(execution)]
    return tuple(found)


def first_difference(one: Trace, other: Trace) -> str:
    """Where two traces begin to differ, in words; empty if they do not."""
    for mine, theirs in zip_longest(one, other, fillvalue="nothing more"):
        if mine != theirs:
            return f"{mine}, with another secret {theirs.partition(': ')[2] or theirs}"
    return ""


def plaintext_in(channel: ConfidentialChannel, secret: str | bytes) -> str:
    """Where a secret stands readable in what hosts, peers and orderers have; empty if nowhere."""
    needle = secret.encode() if isinstance(secret, str) else secret
    if len(needle) < LEAST_NEEDLE:
        return ""
    for number, block in enumerate(channel.forged.blocks):
        if needle in block:
            return f"block {number}"
    for host in channel.hosts:
        for number, execution in enumerate(host.executions):
            if any(needle in part for part in _bytes_of(execution)):
                return f"{host.msp_id} call {number}"
    return ""


def _lines(execution: Execution) -> Iterable[str]:
    answers = iter(execution.answers)
    for question in execution.questions:
        if isinstance(question, AskLedger):
            yield f"asks the ledger enclave alone ({len(question.ledger)} bytes)"
            continue
        yield _question(question)
        answer = next(answers, None)
        if answer is not None:
            yield _answer(answer)
    yield from _outcome(execution.outcome)


def _question(question: StateQuestion) -> str:
    if isinstance(question, GetRange):
        return f"reads the range {question.start!r} to {question.end!r}, limit {question.limit}"
    return f"reads {type(question).__name__[3:].lower()} of key {question.key!r}"


def _answer(answer: StateAnswer) -> str:
    if isinstance(answer, RowsAnswer):
        return "gets rows " + ", ".join(f"{key!r} of {len(value)} bytes" for key, value in answer.rows)
    return f"gets {len(answer.value)} bytes" if answer.value is not None else "gets nothing"


def _outcome(outcome: Result | Refusal) -> Iterable[str]:
    if isinstance(outcome, Refusal):
        yield f"is refused: {outcome.reason}"
        return
    for key, value in outcome.puts:
        yield f"writes {len(value)} bytes under key {key!r}"
    for key in outcome.deletes:
        yield f"deletes key {key!r}"
    for key, parameter in outcome.parameters:
        yield f"sets the endorsement parameter of key {key!r} to {parameter.hex()}"
    if outcome.event_name:
        yield f"sends the event {outcome.event_name!r} with {outcome.event_payload!r}"
    yield f"answers in {len(outcome.payload)} bytes"


def _bytes_of(execution: Execution) -> Iterable[bytes]:
    for question in execution.reads:
        yield repr(question).encode()
    for answer in execution.answers:
        if isinstance(answer, ValueAnswer):
            yield answer.value or b""
        else:
            yield from (value for _, value in answer.rows)
    if isinstance(execution.outcome, Result):
        yield execution.outcome.payload
        yield execution.outcome.event_name.encode() + b"\0" + execution.outcome.event_payload
        yield from (key.encode() + b"\0" + value for key, value in execution.outcome.puts)
