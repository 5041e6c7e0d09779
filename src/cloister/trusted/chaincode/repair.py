"""Repair: put back what was last covered of keys that a rogue transaction wrote. A function that every contract has.

Trust level: trusted. The caller brings stored values and endorsement parameters, out of whatever block has them; the
ledger enclave knows the hash of what was last covered, or that there was nothing. Nothing else is ever written: neither
what the rogue transaction wrote nor anything older. The transaction counts only if, where it is committed, each key is
still marked and has the same last covered value (`RestoredRead`). So anybody who may write on the channel may repair:
it changes nothing about what the contract itself last did. The answer holds no secret and is told at endorsement.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from cloister.contract.response import Response, error, success
from cloister.trusted.protocol.questions import ABSENT
from cloister.trusted.protocol.reads import RestoredRead
from cloister.wire.framing import decode_text

from .checked_reads import Reads
from .sealed_state import SealedState

REPAIR = "cloister:repair"
"""The function's name; its arguments: of each key its stored name, stored value and endorsement parameter."""
MAX_KEYS = 1000
_NOT_COVERED = "what is offered for a key is not what was last covered"


async def repair(arguments: Sequence[bytes], reads: Reads, state: SealedState) -> Response:
    """Restore or delete. An empty value or parameter: none is offered, for none is needed.

    Raises: MalformedInput; aborts.
    """
    keys = [decode_text(name, "key") for name in arguments[::3]]
    if len(arguments) % 3 or not 0 < len(keys) <= MAX_KEYS or len(set(keys)) != len(keys) or not all(keys):
        return error(f"repair: expected 1 to {MAX_KEYS} different keys, each with value and endorsement parameter")
    done = {"restored": 0, "deleted": 0, "parameters": 0, "not_marked": 0}
    for key, value, parameter in zip(keys, arguments[1::3], arguments[2::3], strict=True):
        marks = await reads.marks(key)
        if not marks.value_marked and not marks.parameter_marked:
            done["not_marked"] += 1
        if marks.value_marked:
            if marks.value == ABSENT:
                state.delete_stored(key)
                done["deleted"] += 1
            elif hashlib.sha256(value).digest() == marks.value:
                state.restore(key, value)
                done["restored"] += 1
            else:
                return error(_NOT_COVERED)
            reads.restored(RestoredRead(key, marks.value or None))
        if marks.parameter_marked and not (marks.value_marked and marks.value == ABSENT):  # a delete takes it along
            offered = hashlib.sha256(parameter).digest() if parameter else ABSENT
            if offered != marks.parameter:
                return error(_NOT_COVERED)
            state.put_stored_parameter(key, parameter)
            done["parameters"] += 1
            reads.restored(RestoredRead(key, marks.parameter or None, metadata=True))
    if done["not_marked"] == len(keys):
        return error("repair: none of these keys is marked")
    return success(json.dumps(done, sort_keys=True))
