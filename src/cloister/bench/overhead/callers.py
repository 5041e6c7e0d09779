"""How a client calls: the project's own client, plain or confidential, with the times of its stages."""

from __future__ import annotations

import time
from collections.abc import Sequence

from cloister.client.confidential import ConfidentialContract
from cloister.errors import CloisterError
from cloister.gateway import Contract

from .drive import REVEAL, Caller, Done, Times, Until
from .work import Call

_FIRST_ERROR_STATUS = 400


def plain_caller(contracts: Sequence[Contract], organizations: Sequence[str] = ()) -> Caller:
    """Clients take turns at the contracts, one for each organisation's gateway."""

    async def call(wanted: Call, until: Until, client: int) -> Done:
        del until  # nothing is sealed
        contract = contracts[client % len(contracts)]
        times = Times(time.perf_counter())
        if wanted.query:
            answer = await contract.evaluate(wanted.function, arguments=wanted.arguments)
            times.endorsed = times.committed = times.revealed = time.perf_counter()
            return Done(times, answer)
        proposal = contract.new_proposal(
            wanted.function, arguments=wanted.arguments, endorsing_organizations=organizations
        )
        transaction = await proposal.endorse()
        answer = transaction.result
        times.endorsed = time.perf_counter()
        status = await (await transaction.submit()).status()
        times.committed = times.revealed = time.perf_counter()
        status.require_successful()
        return Done(times, answer)

    return call


def confidential_caller(contracts: Sequence[ConfidentialContract]) -> Caller:
    """The same for confidential chaincode: every result is verified, as an ordinary client does."""

    async def call(wanted: Call, until: Until, client: int) -> Done:
        contract = contracts[client % len(contracts)]
        times = Times(time.perf_counter())
        if wanted.query:
            result = await contract.evaluate(wanted.function, *wanted.arguments)
            times.endorsed = times.committed = times.revealed = time.perf_counter()
            return Done(times, result.payload)

        def endorsed(_: object) -> None:
            times.endorsed = time.perf_counter()

        committed = await contract.commit(wanted.function, *wanted.arguments, on_pending=endorsed)
        times.committed = times.revealed = time.perf_counter()
        if until != REVEAL:
            return Done(times, None)
        opened = await contract.open(committed.pending)
        times.revealed = time.perf_counter()
        if opened.outcome.status >= _FIRST_ERROR_STATUS:
            raise CloisterError(f"the contract's error: {opened.outcome.message}")
        return Done(times, opened.outcome.payload)

    return call
