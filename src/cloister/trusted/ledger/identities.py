"""Public keys of serialised identities, and checking many signatures at once, before any configuration is asked.

Whether a key belongs to a valid member is a matter of the configuration (msp.py); whether it made a signature is not.
So all signatures of a block can be checked first, on as many threads as the caller has: `Runner` is handed in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from fabric_protos.msp import identities_pb2

from cloister.errors import MalformedInput
from cloister.fabric.decoding import decode_message

from .certificates import load_pem_certificate
from .errors import IdentityInvalid
from .policies import SignedItem
from .signatures import Verifier

Task = tuple[Verifier, bytes, bytes]
"""(public key, message, signature)."""
Runner = Callable[[Sequence[Sequence[Task]]], Sequence[Sequence[bool]]]
"""Runs `check_tasks` over every batch, in any order or at once, and gives the answers in the batches' order."""
BATCH = 8
"""Signatures per batch, 0.6 ms of work: all threads are done at nearly the same time."""
MAX_KEYS = 10_000


def check_tasks(batch: Sequence[Task]) -> list[bool]:
    """Whether each signature holds. Releases the interpreter's lock while it computes."""
    return [verifier.verify(message, signature) for verifier, message, signature in batch]


def run_in_turn(batches: Sequence[Sequence[Task]]) -> list[list[bool]]:
    """The simplest Runner."""
    return [check_tasks(batch) for batch in batches]


def run_on(start: Callable[[Callable[[], None]], Callable[[], None]], helpers: int) -> Runner:
    """A Runner on the calling thread and so many helpers: each takes the next batch as soon as it has done one.

    `start` has a function done by another thread and returns how to wait for its end, which raises what it raised.
    """

    def run(batches: Sequence[Sequence[Task]]) -> list[list[bool]]:
        waiting = deque(enumerate(batches))
        answers: list[list[bool]] = [[] for _ in batches]

        def work() -> None:
            while waiting:
                try:
                    place, batch = waiting.popleft()
                except IndexError:  # another thread was faster
                    return
                answers[place] = check_tasks(batch)

        ends = [start(work) for _ in range(min(helpers, len(batches) - 1))]
        work()
        for end in ends:
            end()
        return answers

    return run


class SignatureChecker:
    """Checks signatures and remembers the public keys of identities, at most MAX_KEYS of them."""

    def __init__(self, runner: Runner = run_in_turn) -> None:
        self._runner = runner
        self._keys: dict[bytes, Verifier] = {}

    def check(self, items: Sequence[SignedItem]) -> None:
        """Set `genuine` of every item."""
        tasks = [(self._key(item.identity), item.message, item.signature) for item in items]
        batches = [tasks[start : start + BATCH] for start in range(0, len(tasks), BATCH)]
        position = 0
        for answers in self._runner(batches):
            for answer in answers:
                items[position].genuine = answer
                position += 1

    def _key(self, identity: bytes) -> Verifier:
        """The identity's public key, which verifies nothing if it has none that can be used."""
        try:
            return self._keys[identity]
        except KeyError:
            if len(self._keys) >= MAX_KEYS:
                self._keys.clear()
            key = self._keys[identity] = Verifier(_public_key(identity))
            return key


def _public_key(identity: bytes) -> Any:
    try:
        message = decode_message(identities_pb2.SerializedIdentity(), identity, "serialised identity")
        return load_pem_certificate(message.id_bytes).public_key
    except (MalformedInput, IdentityInvalid):
        return None
