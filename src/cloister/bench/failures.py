"""How long it takes to refuse what does not open, by kind of failure: whether the time tells which one it was.

Kinds are measured by turns, so that other load meets all alike; a ratio is of a kind's median to that of all kinds.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from cloister.errors import MalformedInput, Refused
from cloister.trusted.protocol.hpke import SEED_BYTES, HpkeKey, seal_to
from cloister.trusted.protocol.sealing import Place, SealedHeader, ValueCipher, open_response, seal_response

Try = Callable[[], object]
_PLACE = Place(bytes(32), "channel", "chaincode")
_OTHER = Place(bytes(32), "channel", "another")


@dataclass(frozen=True)
class Failing:
    """One thing that opens, and the ways in which it does not."""

    name: str
    succeed: Try
    failures: dict[str, Try]


@dataclass(frozen=True)
class FailureTimes:
    """Median microseconds of one kind, its ratio to the median of all kinds, and the ratio's spread over rounds."""

    thing: str
    kind: str
    microseconds: float
    ratio: float
    lowest: float
    highest: float


def _flipped(sealed: bytes, position: int) -> bytes:
    at = position % len(sealed)
    return sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]


def _value() -> Failing:
    key, other = os.urandom(32), os.urandom(32)
    header = SealedHeader(os.urandom(32), "ab" * 32, os.urandom(32))
    sealed = ValueCipher(key, _PLACE).seal(header, stored_key="k", key="plain", value=b"v" * 100)

    def opening(changed: bytes, *, under: bytes = key, place: Place = _PLACE, stored: str = "k") -> Try:
        cipher = ValueCipher(under, place)
        return lambda: cipher.open(changed, stored_key=stored)

    return Failing(
        "a state value",
        opening(sealed),
        {
            "another key": opening(sealed, under=other),
            "another chaincode": opening(sealed, place=_OTHER),
            "another stored key": opening(sealed, stored="l"),
            "key-set id changed": opening(_flipped(sealed, 5)),
            "writer changed": opening(_flipped(sealed, 40)),
            "selector changed": opening(_flipped(sealed, 80)),
            "ciphertext changed at its beginning": opening(_flipped(sealed, -200)),
            "ciphertext changed at its end": opening(_flipped(sealed, -20)),
            "tag changed": opening(_flipped(sealed, -1)),
            "cut by a byte": opening(sealed[:-1]),
        },
    )


def _response() -> Failing:
    key, other, content = os.urandom(32), os.urandom(32), b"c" * 100
    sealed = seal_response(
        response_key=key, place=_PLACE, transaction_id="ab" * 32, selector=os.urandom(32), content=content
    )

    def opening(changed: bytes, *, under: bytes = key, place: Place = _PLACE, transaction: str = "ab" * 32) -> Try:
        return lambda: open_response(response_key=under, place=place, transaction_id=transaction, sealed=changed)

    return Failing(
        "an outcome",
        opening(sealed),
        {
            "another key": opening(sealed, under=other),
            "another chaincode": opening(sealed, place=_OTHER),
            "another transaction": opening(sealed, transaction="cd" * 32),
            "selector changed": opening(_flipped(sealed, 3)),
            "ciphertext changed": opening(_flipped(sealed, 100)),
            "tag changed": opening(_flipped(sealed, -1)),
        },
    )


def _request() -> Failing:
    key, other, info = HpkeKey(os.urandom(SEED_BYTES)), HpkeKey(os.urandom(SEED_BYTES)), b"info"
    sealed = seal_to(key.public_bytes, b"request" * 100, info)
    return Failing(
        "a request",
        lambda: key.open(sealed, info),
        {
            "another key": lambda: other.open(sealed, info),
            "another transaction or caller": lambda: key.open(sealed, b"other"),
            "encapsulated key changed (ML-KEM)": lambda: key.open(_flipped(sealed, 3), info),
            "encapsulated key changed (X25519)": lambda: key.open(_flipped(sealed, 1100), info),
            "ciphertext changed": lambda: key.open(_flipped(sealed, -100), info),
            "tag changed": lambda: key.open(_flipped(sealed, -1), info),
        },
    )


FAILURES = (_value(), _response(), _request())


def measure_failures(*, rounds: int, repeats: int) -> list[FailureTimes]:
    """Each kind `repeats` times in each of `rounds` rounds, by turns."""
    found = []
    for failing in FAILURES:
        medians: dict[str, list[float]] = {kind: [] for kind in failing.failures}
        for _ in range(rounds):
            times: dict[str, list[int]] = {kind: [] for kind in failing.failures}
            for _ in range(repeats):
                for kind, fail in failing.failures.items():
                    times[kind].append(_time(fail))
            for kind, measured in times.items():
                medians[kind].append(statistics.median(measured) / 1000)
        middle = [statistics.median(each) for each in zip(*medians.values(), strict=True)]
        for kind, each in medians.items():
            ratios = [one / other for one, other in zip(each, middle, strict=True)]
            ratio = statistics.median(ratios)
            times_us = statistics.median(each)
            found.append(FailureTimes(failing.name, kind, times_us, ratio, min(ratios), max(ratios)))
    return found


def _time(fail: Try) -> int:
    """Nanoseconds until the refusal."""
    began = time.perf_counter_ns()
    with contextlib.suppress(Refused, MalformedInput):
        fail()
    return time.perf_counter_ns() - began
