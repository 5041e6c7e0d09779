"""Signatures checked by several threads: every answer is its own signature's, however many threads there are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from cloister.trusted.ledger.identities import BATCH, Task, run_in_turn, run_on
from cloister.trusted.ledger.signatures import Verifier

KEY = ec.generate_private_key(ec.SECP256R1())


def low_s_signature(message: bytes) -> bytes:
    """Half of all signatures have an S that Fabric refuses."""
    while True:
        signature = KEY.sign(message, ec.ECDSA(hashes.SHA256()))
        if Verifier(KEY.public_key()).verify(message, signature):
            return signature


def batches(count: int) -> list[list[Task]]:
    """Every third signature is of another message."""
    verifier = Verifier(KEY.public_key())
    tasks = []
    for number in range(count):
        message = str(number).encode()
        tasks.append((verifier, message + bytes(number % 3 == 0), low_s_signature(message)))
    return [tasks[first : first + BATCH] for first in range(0, count, BATCH)]


@pytest.mark.parametrize("helpers", [0, 1, 3])
@pytest.mark.parametrize("count", [0, 1, 2 * BATCH + 1, 10 * BATCH])
def test_all_threads_together_answer_as_one_alone(count: int, helpers: int) -> None:
    wanted = [number % 3 != 0 for number in range(count)]
    with ThreadPoolExecutor(4) as pool:
        found = run_on(lambda work: pool.submit(work).result, helpers)(batches(count))
    assert [answer for batch in found for answer in batch] == wanted
    assert found == run_in_turn(batches(count))


def test_what_goes_wrong_in_a_helper_is_not_taken_for_an_answer() -> None:
    class Broken(Verifier):
        def verify(self, message: bytes, signature: bytes) -> bool:
            raise RuntimeError(message, signature)

    with ThreadPoolExecutor(4) as pool, pytest.raises(RuntimeError):
        run_on(lambda work: pool.submit(work).result, 3)([[(Broken(None), b"", b"")]] * 8)
