"""What a host sees of a call must not depend on its secrets: two runs that differ in secrets alone leave equal traces.

Traces: the kind of every question, which keys are the same ones again, sizes of all answers, writes and payloads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from cloister.wire.messages import AskLedger, GetParameter, GetRange, GetState
from support.enclaves import Caller, Session, new_session

Trace = list[tuple[object, ...]]
Run = Callable[[Session, str], None]


def trace_of(sample: str, run: Run, secret: str) -> Trace:
    session = new_session(sample)
    run(session, secret)
    names: dict[str, int] = {}

    def named(key: str) -> int:
        return names.setdefault(key, len(names))

    found: Trace = []
    for item in session.world.trace:
        if isinstance(item, GetState | GetParameter):
            found.append((type(item).__name__, named(item.key), len(item.ledger)))
        elif isinstance(item, GetRange):
            found.append(("GetRange", named(item.start), named(item.end), item.limit, len(item.ledger)))
        elif isinstance(item, AskLedger):
            found.append(("AskLedger", len(item.ledger)))
    for block in session.chain.blocks[1:]:
        found.append(("block", len(block) // 64))  # signatures differ by a byte or two
    values = sorted((named(key), len(value)) for key, value in session.chain.state.items())
    return [*found, ("state", tuple(values))]


def auction(session: Session, secret: str) -> None:
    for function, arguments in (
        ("init", ["house"]),
        ("create", ["a"]),
        ("submit", ["a", "ann", secret]),
        ("submit", ["a", "bob", "50"]),
        ("close", ["a"]),
        ("eval", ["a"]),
    ):
        session.call(function, *arguments)


def voting(session: Session, secret: str) -> None:
    session.call("create", "p", '["1", "1000000000"]')
    replace(session, caller=Caller("Org2MSP", "Ann")).call("vote", "p", secret)
    session.call("close", "p")
    session.call("tally", "p")


def escrow(session: Session, secret: str) -> None:
    bank, ann = session, replace(session, caller=Caller("Org1MSP", "Ann"))
    bank.call("init")
    bank.call("issue", ann.call("whoami").outcome.payload.decode(), secret)
    ann.call("balance")


def keeper(session: Session, secret: str) -> None:
    session.call("init")
    session.call("lock_secret", secret)
    session.call("reveal_secret")


def kv(session: Session, secret: str) -> None:
    session.call("put_state", "k", secret)
    session.call("get_state", "k")


def echo(session: Session, secret: str) -> None:
    session.call("echo", secret)


@pytest.mark.parametrize(
    ("sample", "run"),
    [
        ("auction", auction),
        ("voting", voting),
        ("escrow", escrow),
        ("secret_keeper", keeper),
        ("kv", kv),
        ("echo", echo),
    ],
)
def test_d3_d4_traces_of_1_and_of_a_billion_are_equal(sample: str, run: Run) -> None:
    assert trace_of(sample, run, "1") == trace_of(sample, run, "1000000000")


def test_a_secret_that_changes_what_is_touched_would_be_seen() -> None:
    """The comparison's twin: a secret used as a key shows."""

    def touches(session: Session, secret: str) -> None:
        session.call("put_state", "k1", "x")
        session.call("get_state", secret)

    assert trace_of("kv", touches, "k1") != trace_of("kv", touches, "k2")
